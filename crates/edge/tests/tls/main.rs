//! Mutual TLS between a listener and its peers, with certificates made on the spot.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod certificates;
mod key_formats;
mod replaced_files;

use fate_edge::channel::{lazy_channel, lazy_channel_over};
use fate_edge::config::Address;
use fate_edge::dial::Dialer;
use fate_edge::grpc::GrpcServices;
use fate_edge::intake::ByteBudget;
use fate_edge::tls::{ClientFiles, ClientTls, Protocol, ServerFiles, ServerTls};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Status;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use certificates::{Authority, Files, Pair};

/// A listener with the health service; it ends with the value.
struct Listening {
    address: Address,
    _stop: DropGuard,
}

async fn listen(files: &ServerFiles) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let (services, health) = GrpcServices::new(ByteBudget::new(1 << 20), Vec::new())
        .await
        .unwrap();
    health.set_serving(true).await;
    let stop = CancellationToken::new();
    let services = services.secured(ServerTls::open(files).unwrap());
    tokio::spawn(services.serve(listener, stop.clone()));
    Listening {
        address,
        _stop: stop.drop_guard(),
    }
}

fn dialer(files: &ClientFiles, name: Option<&str>) -> Dialer {
    let tls = ClientTls::open(files, Protocol::Http2).unwrap();
    Dialer::secured(tls, name).unwrap()
}

async fn check(channel: Channel) -> Result<(), Status> {
    let mut client = HealthClient::new(channel);
    client.check(HealthCheckRequest::default()).await.map(drop)
}

async fn call(server: &Listening, files: &ClientFiles, name: Option<&str>) -> Result<(), Status> {
    check(lazy_channel_over(&server.address, dialer(files, name)).unwrap()).await
}

/// The whole chain of causes.
fn causes(status: &Status) -> String {
    let mut text = status.to_string();
    let mut cause = std::error::Error::source(status);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

#[tokio::test]
async fn peers_that_know_each_other_talk() {
    let authority = Authority::new();
    let server = listen(&Files::new(&authority.issue("127.0.0.1"), &authority).of_server()).await;
    let client = Files::new(&authority.issue("guest"), &authority);
    call(&server, &client.of_client(), None).await.unwrap();
}

#[tokio::test]
async fn each_side_may_have_an_authority_of_its_own() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = listen(&Files::new(&theirs.issue("127.0.0.1"), &ours).of_server()).await;
    let client = Files::new(&ours.issue("guest"), &theirs);
    call(&server, &client.of_client(), None).await.unwrap();
}

#[tokio::test]
async fn clients_the_listener_does_not_trust_are_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = listen(&Files::new(&authority.issue("127.0.0.1"), &authority).of_server()).await;
    let stranger = Files::new(&other.issue("guest"), &authority);
    let expired = Files::new(&authority.issue_expired("guest"), &authority);
    let nobody = Files::new(&authority.issue("guest"), &authority);
    let without = ClientFiles {
        identity: None,
        ..nobody.of_client()
    };
    for (what, files) in [
        ("without a certificate", without),
        ("of another authority", stranger.of_client()),
        ("expired", expired.of_client()),
    ] {
        assert!(call(&server, &files, None).await.is_err(), "{what}");
    }
    call(&server, &nobody.of_client(), None).await.unwrap();
}

#[tokio::test]
async fn listeners_the_client_does_not_trust_are_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let client = Files::new(&authority.issue("guest"), &authority);
    for (shown, cause) in [
        (other.issue("127.0.0.1"), "UnknownIssuer"),
        (authority.issue_expired("127.0.0.1"), "expired"),
        (authority.issue("elsewhere.example"), "not valid for name"),
    ] {
        let server = listen(&Files::new(&shown, &authority).of_server()).await;
        let refused = call(&server, &client.of_client(), None).await.unwrap_err();
        assert!(causes(&refused).contains(cause), "{}", causes(&refused));
    }
}

#[tokio::test]
async fn a_name_can_stand_in_for_the_address() {
    let authority = Authority::new();
    let server =
        listen(&Files::new(&authority.issue("proxy.example"), &authority).of_server()).await;
    let client = Files::new(&authority.issue("guest"), &authority);
    let client = client.of_client();
    let named = |name| call(&server, &client, name);
    named(Some("proxy.example")).await.unwrap();
    assert!(named(Some("other.example")).await.is_err());
    assert!(named(None).await.is_err());
    let tls = ClientTls::open(&client, Protocol::Http2).unwrap();
    assert!(Dialer::secured(tls, Some("no name")).is_err());
}

#[tokio::test]
async fn nobody_talks_in_the_clear() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue("127.0.0.1"), &authority);
    let server = listen(&files.of_server()).await;
    assert!(check(lazy_channel(&server.address).unwrap()).await.is_err());

    // Nor does a client that asked for TLS, when the listener speaks in the clear.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let (services, _) = GrpcServices::new(ByteBudget::new(1 << 20), Vec::new())
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    tokio::spawn(services.serve(listener, stop));
    let channel = lazy_channel_over(&address, dialer(&files.of_client(), None)).unwrap();
    assert!(check(channel).await.is_err());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let own = authority.issue("127.0.0.1");
    let other = authority.issue("127.0.0.1");
    let files = Files::new(&own, &authority);
    let good = files.of_server();
    let with = |chain: &str, key: &str| {
        files.show(&Pair {
            chain: chain.to_owned(),
            key: key.to_owned(),
        });
        ServerTls::open(&good).unwrap_err().to_string()
    };
    assert!(with("", &own.key).contains("chain.pem: there is no certificate"));
    assert!(with(&own.chain, &own.chain).contains("key.pem: there is no private key"));
    let mixed = with(&own.chain, &other.key);
    assert!(
        mixed.contains("chain.pem") && mixed.contains("key.pem"),
        "{mixed}"
    );
    let broken = own.key.replace('M', "#");
    let text = with(&own.chain, &broken);
    assert!(!broken.lines().any(|line| text.contains(line)), "{text}");
    files.show(&own);
    let missing = ServerFiles {
        ca: "/nonexistent/ca.pem".into(),
        ..good.clone()
    };
    let text = ServerTls::open(&missing).unwrap_err().to_string();
    assert!(text.starts_with("/nonexistent/ca.pem: "), "{text}");
}
