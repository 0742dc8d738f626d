//! A proxy and a server of one process: nothing of this party goes over a socket, and the ports close before the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fate_proto::proxy::Packet;
use fate_proto::proxy::data_transfer_service_client::DataTransferServiceClient;
use fate_proxy::{Config, Embedding, NoAnswer, OwnServer, Proxy, ProxyHandle, RunningProxy};
use futures::future::BoxFuture;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::asking::post;
use crate::lone_proxy::{outcome, packet_to, until};

/// Answers what it is asked, as soon as it may; holds every model.
#[derive(Debug, Clone)]
struct Echo {
    answers: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

impl Echo {
    fn new(answers: usize) -> Self {
        Self {
            answers: Arc::new(Semaphore::new(answers)),
            calls: Arc::new(Semaphore::new(0)),
        }
    }

    async fn answer<T>(&self, asked: T) -> T {
        self.calls.add_permits(1);
        self.answers.acquire().await.unwrap().forget();
        asked
    }

    fn calls(&self) -> usize {
        self.calls.available_permits()
    }
}

impl OwnServer for Echo {
    fn grpc_addr(&self) -> SocketAddr {
        // Nobody listens there.
        "127.0.0.1:1".parse().unwrap()
    }

    fn holds(&self, _: &Packet) -> bool {
        true
    }

    fn is_bound(&self, _: &str) -> bool {
        true
    }

    fn unary_call(&self, packet: Packet) -> BoxFuture<'_, Packet> {
        Box::pin(self.answer(packet))
    }

    fn infer(&self, body: Bytes) -> BoxFuture<'_, Vec<u8>> {
        Box::pin(self.answer(body.to_vec()))
    }

    fn infer_batch(&self, _: Bytes) -> BoxFuture<'_, Vec<u8>> {
        Box::pin(self.answer(b"{\"retcode\":0,\"batch\":true}".to_vec()))
    }
}

/// Party 9999.
async fn start(server: &Echo, properties: &[(&str, &str)]) -> (RunningProxy, ProxyHandle, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("route_table.json");
    let text = json!({"route_table": {}, "permission": {"default_allow": true}}).to_string();
    std::fs::write(&table, text).unwrap();
    let mut pairs = vec![
        ("coordinator", "9999"),
        ("server.port", "0"),
        ("proxy.grpc.intra.port", "0"),
        ("proxy.grpc.inter.port", "0"),
        ("proxy.bind.http", "127.0.0.1"),
        ("proxy.bind.intra", "127.0.0.1"),
        ("proxy.bind.inter", "127.0.0.1"),
        ("route.table", table.to_str().unwrap()),
        ("proxy.state.path", folder.path().to_str().unwrap()),
        ("useZkRouter", "false"),
    ];
    pairs.extend_from_slice(properties);
    let embedding = Embedding {
        own_server: Some(Arc::new(server.clone())),
        ..Embedding::default()
    };
    let config = Config::from_pairs(pairs).unwrap();
    let prepared = Proxy::prepare(config, embedding).await.unwrap();
    let handle = prepared.handle();
    (prepared.serve().await.unwrap(), handle, folder)
}

async fn send(at: SocketAddr, packet: Packet) -> (i64, String) {
    let client = DataTransferServiceClient::connect(format!("http://{at}")).await;
    outcome(client.unwrap().unary_call(packet).await)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_for_this_party_takes_no_socket() {
    let server = Echo::new(Semaphore::MAX_PERMITS);
    let (proxy, handle, _folder) = start(&server, &[]).await;
    for at in [proxy.inter_addr, proxy.intra_addr] {
        assert_eq!(
            send(at, packet_to("9999", "asked")).await,
            (0, "asked".to_owned())
        );
    }
    let own = handle
        .unary_call(packet_to("9999", "own"), soon())
        .await
        .unwrap();
    assert_eq!(own.body.unwrap().value, "own");
    // Other parties are no business of the server.
    let other = handle
        .unary_call(packet_to("10000", "x"), soon())
        .await
        .unwrap();
    let body = other.body.unwrap().value;
    assert!(
        body.starts_with(br#"{"retcode":610,"retmsg":"No available endpoint"#),
        "{body:?}"
    );

    let http = proxy.http_addr.unwrap();
    let asked = r#"{"head":{"serviceId":"s"},"body":{"featureData":{}}}"#;
    let answer = post(http, "/federation/v1/inference", asked).await;
    assert_eq!(answer, r#"{"serviceId":"s","featureData":{}}"#);
    let answer = post(http, "/federation/v1/batchInference", asked).await;
    assert_eq!(answer, r#"{"retcode":0,"batch":true}"#);
    assert_eq!(server.calls(), 5);
    proxy.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_server_is_given_up_and_takes_no_more_than_a_peer_s_places() {
    let server = Echo::new(0);
    let limits = [
        ("proxy.peer.max.inflight", "1"),
        ("proxy.grpc.unaryCall.timeout", "2000"),
    ];
    let (proxy, _, _folder) = start(&server, &limits).await;
    let at = proxy.inter_addr;
    let first = tokio::spawn(send(at, packet_to("9999", "x")));
    until("the first call waits", async || server.calls() == 1).await;
    assert_eq!(send(at, packet_to("9999", "x")).await.0, 624);
    let late = first.await.unwrap();
    assert_eq!(late, (605, "grpc unaryCall error 127.0.0.1:1".to_owned()));
    proxy.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_close_first_and_the_server_still_reaches_the_proxy() {
    let server = Echo::new(0);
    let (mut proxy, handle, _folder) = start(&server, &[]).await;
    let at = proxy.inter_addr;
    let waiting = tokio::spawn(send(at, packet_to("9999", "in flight")));
    until("the call waits", async || server.calls() == 1).await;
    let closing = tokio::spawn(async move {
        proxy.close_ports().await;
        proxy
    });
    // A call of the server, whose own calls in flight are not answered yet.
    let own = tokio::spawn({
        let handle = handle.clone();
        async move { handle.unary_call(packet_to("9999", "own"), soon()).await }
    });
    until("both calls wait", async || server.calls() == 2).await;
    server.answers.add_permits(2);
    assert_eq!(waiting.await.unwrap(), (0, "in flight".to_owned()));
    assert_eq!(own.await.unwrap().unwrap().body.unwrap().value, "own");
    let proxy = closing.await.unwrap();
    assert!(tokio::net::TcpStream::connect(at).await.is_err());
    server.answers.add_permits(1);
    assert!(
        handle
            .unary_call(packet_to("9999", "last"), soon())
            .await
            .is_ok()
    );
    drop(proxy);
    let stopped = handle.unary_call(packet_to("9999", "x"), soon()).await;
    assert!(matches!(stopped, Err(NoAnswer::Stopped)), "{stopped:?}");
}
