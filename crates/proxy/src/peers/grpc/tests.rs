#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use h2::Reason;
use h2::server::SendResponse;
use hyper::http::{HeaderValue, Response};
use tokio::net::TcpListener;

use super::*;
use crate::grpc::UNARY_CALL;

type Respond = SendResponse<Bytes>;

/// A peer on the level of HTTP/2: every call gets `answer`, a connection ends after so many calls.
struct Peer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Peer {
    async fn start(calls: usize, answer: impl Fn(&mut Respond) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    let mut left = calls;
                    // What is not answered stays open as long as the connection.
                    let mut kept = Vec::new();
                    while let Some(Ok((request, mut respond))) = connection.accept().await {
                        answer(&mut respond);
                        kept.push((request, respond));
                        left -= 1;
                        if left == 0 {
                            kept.clear();
                            connection.graceful_shutdown();
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn client(&self) -> GrpcPeer {
        client_of(self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn client_of(address: SocketAddr) -> GrpcPeer {
    let address = address.to_string().parse().unwrap();
    let limits = PeerLimits {
        max_in_flight: 1,
        max_message_bytes: 1 << 20,
        http_connect: Duration::from_secs(1),
        http_answer: Duration::from_secs(1),
        lanes: 0,
    };
    GrpcPeer::open(&address, &Dialer::plain(), limits).unwrap()
}

async fn call(client: &GrpcPeer) -> Result<Bytes, NotAnswered> {
    call_within(client, Duration::from_secs(20)).await
}

async fn call_within(client: &GrpcPeer, limit: Duration) -> Result<Bytes, NotAnswered> {
    let message = Bytes::from_static(b"asked");
    let deadline = Instant::now() + limit;
    client
        .unary(UNARY_CALL, message, &CallContext::default(), deadline)
        .await
}

fn headers(status: &str, grpc_status: Option<&'static str>) -> Response<()> {
    let mut response = Response::builder().status(status).body(()).unwrap();
    if let Some(code) = grpc_status {
        let value = HeaderValue::from_static(code);
        response.headers_mut().insert("grpc-status", value);
    }
    response
}

/// A message and what stands behind it.
fn answered(respond: &mut Respond, body: &'static [u8], trailers: Option<&'static str>) {
    let mut stream = respond.send_response(headers("200", None), false).unwrap();
    stream
        .send_data(Bytes::from_static(body), trailers.is_none())
        .unwrap();
    if let Some(code) = trailers {
        let mut map = HeaderMap::new();
        map.insert("grpc-status", HeaderValue::from_static(code));
        stream.send_trailers(map).unwrap();
    }
}

const FINE: &[u8] = b"\0\0\0\0\x04fine";

fn fine(respond: &mut Respond) {
    answered(respond, FINE, Some("0"));
}

async fn failure(answer: impl Fn(&mut Respond) + Clone + Send + 'static) -> NotAnswered {
    let peer = Peer::start(usize::MAX, answer).await;
    call(&peer.client()).await.unwrap_err()
}

#[tokio::test]
async fn calls_at_the_same_time_dial_once() {
    let peer = Peer::start(usize::MAX, fine).await;
    let client = peer.client();
    let calls = (0..20).map(|_| call(&client));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.unwrap(), "fine");
    }
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_ends_is_made_anew() {
    let peer = Peer::start(1, fine).await;
    let client = peer.client();
    let limit = Instant::now() + Duration::from_secs(20);
    let mut answers = 0;
    while answers < 5 {
        assert!(Instant::now() < limit);
        match call(&client).await {
            Ok(_) => answers += 1,
            // The peer hung up just then, and had said so.
            Err(cause) => assert!(!matches!(cause, NotAnswered::Late), "{cause}"),
        }
    }
    assert!(peer.connections() >= 5);
}

#[tokio::test]
async fn nobody_there_is_not_sent_for_all_who_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client_of(address);
    let calls = (0..20).map(|_| call(&client));
    for answer in futures::future::join_all(calls).await {
        let text = "UNAVAILABLE: Connection refused (os error 111)";
        assert_eq!(answer, Err(NotAnswered::Unsent(text.to_owned())));
    }
}

#[tokio::test]
async fn only_a_refused_stream_was_certainly_not_worked_on() {
    let refused = failure(|respond| respond.send_reset(Reason::REFUSED_STREAM)).await;
    assert!(matches!(refused, NotAnswered::Unsent(_)), "{refused:?}");
    for reason in [Reason::INTERNAL_ERROR, Reason::CANCEL] {
        let reset = failure(move |respond| respond.send_reset(reason)).await;
        assert!(matches!(reset, NotAnswered::Failed(_)), "{reset:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_under_a_call_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client_of(listener.local_addr().unwrap());
    let breaking = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let asked = connection.accept().await;
        drop(connection);
        drop(asked);
    };
    let (answer, ()) = tokio::join!(call(&client), breaking);
    assert!(matches!(answer, Err(NotAnswered::Lost(_))), "{answer:?}");
}

#[tokio::test]
async fn what_a_peer_says_instead_of_an_answer() {
    let code = |code: &'static str| {
        move |respond: &mut Respond| {
            let _ = respond.send_response(headers("200", Some(code)), true);
        }
    };
    assert_eq!(
        failure(code("12")).await,
        NotAnswered::Failed("UNIMPLEMENTED: ".to_owned())
    );
    assert_eq!(failure(code("4")).await, NotAnswered::Late);
    let texts = [
        failure(|respond| answered(respond, FINE, Some("13"))).await,
        failure(|respond| answered(respond, FINE, None)).await,
        failure(|respond| answered(respond, b"", Some("0"))).await,
        failure(|respond| answered(respond, b"\0\0\0\0\x09fine", Some("0"))).await,
        failure(|respond| answered(respond, b"\0\xff\0\0\0", Some("0"))).await,
        failure(|respond| drop(respond.send_response(headers("503", None), true))).await,
    ];
    let texts = texts.map(|cause| cause.to_string());
    let expected = [
        "INTERNAL: ",
        "INTERNAL: the answer has no grpc-status",
        "INTERNAL: there is no message",
        "INTERNAL: the message breaks off",
        "OUT_OF_RANGE: the message has 4278190080 bytes, the limit is 1048576",
        "UNKNOWN: the peer answers HTTP 503 Service Unavailable",
    ];
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn silence_is_late_and_no_sign_of_life() {
    let silent = Peer::start(usize::MAX, |_| {}).await;
    let client = silent.client();
    let answer = call_within(&client, Duration::from_millis(200)).await;
    assert_eq!(answer, Err(NotAnswered::Late));
    assert!(!client.is_alive().await);
    let java = Peer::start(usize::MAX, |respond| {
        let _ = respond.send_response(headers("200", Some("12")), true);
    });
    assert!(java.await.client().is_alive().await);
}
