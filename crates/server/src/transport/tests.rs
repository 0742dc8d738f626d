#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fate_proto::proxy::data_transfer_service_server::{
    DataTransferService, DataTransferServiceServer,
};
use fate_registry::Snapshot;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::*;

fn routes(hosts: &[(&str, String)], proxy: Option<String>) -> Routes {
    let hosts = hosts
        .iter()
        .map(|(party, address)| ((*party).to_owned(), address.parse().unwrap()))
        .collect();
    let proxy: Option<Address> = proxy.map(|address| address.parse().unwrap());
    Routes::new(&hosts, None, proxy.as_ref()).unwrap()
}

async fn error(routes: &Routes, party: &str, limit: Duration) -> CallError {
    let deadline = Instant::now() + limit;
    routes
        .call(party, Packet::default(), deadline)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_party_without_a_route_is_told_apart() {
    let routes = routes(&[("10000", "127.0.0.1:1".to_owned())], None);
    let error = error(&routes, "10001", Duration::from_secs(1)).await;
    assert!(matches!(error, CallError::NoRoute), "{error:?}");
    assert_eq!(routes.address("10001"), None);
    assert_eq!(routes.address("10000").as_deref(), Some("127.0.0.1:1"));
}

#[tokio::test]
async fn a_closed_port_is_unavailable_at_once_and_names_the_address() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let routes = routes(&[], Some(address.clone()));
    let error = error(&routes, "10000", Duration::from_secs(30)).await;
    let CallError::Unavailable(text) = error else {
        panic!("{error:?}")
    };
    assert!(text.starts_with("UNAVAILABLE: "), "{text}");
    assert!(text.ends_with(&format!("({address})")), "{text}");
}

#[tokio::test]
async fn a_peer_that_never_speaks_costs_no_more_than_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let routes = routes(&[], Some(listener.local_addr().unwrap().to_string()));
    let started = Instant::now();
    let error = error(&routes, "10000", Duration::from_millis(200)).await;
    assert!(matches!(error, CallError::Timeout), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// A proxy that answers every packet with itself.
#[derive(Clone, Default)]
struct Answering(Arc<AtomicUsize>);

#[tonic::async_trait]
impl DataTransferService for Answering {
    async fn unary_call(&self, request: Request<Packet>) -> Result<Response<Packet>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(request.into_inner()))
    }
}

impl Answering {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = DataTransferServiceServer::new(self.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }

    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// Takes a connection's first bytes and closes it, over and over.
async fn breaking() -> SocketAddr {
    use tokio::io::AsyncReadExt as _;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The settings of HTTP/2 let the client send its call.
            let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &settings).await;
            let mut received = Vec::new();
            let mut chunk = [0; 4096];
            while !received.windows(5).any(|bytes| bytes == b"asked") {
                match stream.read(&mut chunk).await {
                    Ok(count) if count > 0 => received.extend_from_slice(&chunk[..count]),
                    _ => break,
                }
            }
        }
    });
    address
}

/// Proxies of a registry by weight, beside a configured one.
fn registered(proxies: &[(SocketAddr, u32)], proxy: Option<SocketAddr>) -> Routes {
    let url = |(address, weight): &(SocketAddr, u32)| {
        format!("grpc://{address}/proxy/online/unaryCall?version=216&weight={weight}")
    };
    let list = proxies
        .iter()
        .map(|one| ("proxy", "online", "unaryCall", url(one)));
    let registry = Registry::fixed(Snapshot::of_list(list));
    let proxy: Option<Address> = proxy.map(|address| address.to_string().parse().unwrap());
    Routes::new(&BTreeMap::new(), Some(registry), proxy.as_ref()).unwrap()
}

async fn ask(routes: &Routes) -> Result<Packet, CallError> {
    let packet = Packet {
        body: Some(fate_proto::proxy::Data {
            value: Bytes::from_static(b"asked"),
            ..fate_proto::proxy::Data::default()
        }),
        ..Packet::default()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = routes.call("10000", packet.clone(), deadline).await;
    answer.inspect(|answer| assert_eq!(*answer, packet))
}

#[tokio::test]
async fn a_packet_that_no_dead_proxy_took_goes_to_a_living_one() {
    let living = Answering::default();
    let (dead, other) = (closed_port().await, closed_port().await);
    // The living one is hardly ever drawn first.
    let proxies = [(dead, 1000), (other, 1000), (living.start().await, 1)];
    let routes = registered(&proxies, None);
    for _ in 0..20 {
        ask(&routes).await.unwrap();
    }
    assert_eq!(living.calls(), 20);
}

#[tokio::test]
async fn the_configured_proxy_is_the_last_resort() {
    let (configured, resting) = (Answering::default(), Answering::default());
    // One of weight 0 is to get no calls.
    let proxies = [(closed_port().await, 100), (resting.start().await, 0)];
    let routes = registered(&proxies, Some(configured.start().await));
    for _ in 0..5 {
        ask(&routes).await.unwrap();
    }
    assert_eq!((configured.calls(), resting.calls()), (5, 0));
}

#[tokio::test]
async fn when_none_is_left_the_last_one_is_named() {
    let (dead, configured) = (closed_port().await, closed_port().await);
    let routes = registered(&[(dead, 100)], Some(configured));
    let Err(CallError::Unavailable(text)) = ask(&routes).await else {
        panic!("nobody is there")
    };
    assert!(text.ends_with(&format!("({configured})")), "{text}");
    let one_twice = registered(&[(dead, 100)], Some(dead));
    assert!(ask(&one_twice).await.is_err());
}

#[tokio::test]
async fn what_a_proxy_may_have_passed_on_is_not_repeated() {
    let living = Answering::default();
    let proxies = [(breaking().await, 1000), (living.start().await, 0)];
    let routes = registered(&proxies, Some(living.start().await));
    for _ in 0..5 {
        let outcome = ask(&routes).await;
        assert!(
            matches!(outcome, Err(CallError::Unavailable(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(living.calls(), 0);
}

#[tokio::test]
async fn the_second_proxy_has_no_more_time_than_the_first() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = (silent.local_addr().unwrap(), silent);
    let routes = registered(&[(closed_port().await, 1000), (silent.0, 1)], None);
    let started = Instant::now();
    let error = error(&routes, "10000", Duration::from_millis(300)).await;
    assert!(matches!(error, CallError::Timeout), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}
