#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

#[test]
fn the_time_left_has_at_most_eight_digits() {
    for (time, text) in [
        (Duration::ZERO, "0u"),
        (Duration::from_millis(3000), "3000000u"),
        (Duration::from_secs(99), "99000000u"),
        (Duration::from_secs(100), "100000m"),
        (Duration::from_secs(200_000), "200000S"),
        (Duration::MAX, "99999999S"),
    ] {
        assert_eq!(grpc_timeout(time), text);
    }
}

/// Whose connections end with a GOAWAY under their first call, the first so many of them; later ones answer.
struct Leaving {
    connections: Arc<AtomicUsize>,
    client: UnaryClient,
}

/// Whether the call belongs to the streams that a GOAWAY says to be worked on.
#[derive(Clone, Copy)]
enum Last {
    BeforeTheCall,
    TheCall,
}

impl Leaving {
    async fn start(leaving: usize, last: Last) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if count.fetch_add(1, Ordering::SeqCst) < leaving {
                    tokio::spawn(leave(stream, last));
                } else {
                    tokio::spawn(answer(stream));
                }
            }
        });
        let client =
            UnaryClient::open(&address.parse().unwrap(), Dialer::plain(), 1 << 20).unwrap();
        Self {
            connections,
            client,
        }
    }

    async fn call(&self) -> Result<Bytes, Unanswered> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let message = Bytes::from_static(b"asked");
        self.client
            .call("/service/method", message, &HeaderMap::new(), deadline)
            .await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Reads until a call is there, says GOAWAY, and closes.
async fn leave(mut stream: TcpStream, last: Last) {
    const HEADERS: u8 = 1;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(&settings).await.unwrap();
    stream.read_exact(&mut [0; 24]).await.unwrap();
    let called = loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        if head[3] == HEADERS {
            break head[8];
        }
    };
    let last = match last {
        Last::BeforeTheCall => 0,
        Last::TheCall => called,
    };
    let go_away = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0];
    stream.write_all(&go_away).await.unwrap();
    stream.shutdown().await.unwrap();
    // What is not read would become a reset that overtakes the GOAWAY.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

async fn answer(stream: TcpStream) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        let fine = Bytes::from_static(b"\0\0\0\0\x04fine");
        body.send_data(fine, false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        body.send_trailers(trailers).unwrap();
    }
}

#[tokio::test]
async fn what_a_leaving_peer_left_out_goes_over_another_connection() {
    let peer = Leaving::start(1, Last::BeforeTheCall).await;
    assert_eq!(peer.call().await.unwrap(), "fine");
    assert_eq!(peer.connections(), 2);
}

#[tokio::test]
async fn what_a_peer_always_leaves_out_was_never_sent() {
    let peer = Leaving::start(usize::MAX, Last::BeforeTheCall).await;
    let outcome = peer.call().await;
    assert!(matches!(outcome, Err(Unanswered::Unsent(_))), "{outcome:?}");
    assert_eq!(peer.connections(), 2, "no more than two attempts");
}

#[tokio::test]
async fn what_a_leaving_peer_may_have_done_is_not_repeated() {
    let peer = Leaving::start(1, Last::TheCall).await;
    let outcome = peer.call().await;
    assert!(matches!(outcome, Err(Unanswered::Lost(_))), "{outcome:?}");
    assert_eq!(peer.connections(), 1);
}
