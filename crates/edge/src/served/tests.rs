#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use super::*;
use crate::dial::Dialer;
use crate::grpc::GrpcServices;
use crate::unary::{Unanswered, UnaryClient};

#[tokio::test]
async fn a_call_that_panics_takes_no_other_of_its_connection_along() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (services, _health) = GrpcServices::new(ByteBudget::new(1 << 20), Vec::new())
        .await
        .unwrap();
    let services = services
        .with_unary("/test/panics", 1 << 10, |_| async {
            panic!("as it is meant to")
        })
        .with_unary("/test/waits", 1 << 10, |asked| async {
            sleep(Duration::from_millis(200)).await;
            Ok(asked.message)
        });
    let stop = CancellationToken::new();
    let served = tokio::spawn(services.serve(listener, stop.clone()));
    let client = UnaryClient::open(&address.parse().unwrap(), Dialer::plain(), 1 << 20).unwrap();
    let headers = HeaderMap::new();
    let call = |path| {
        let deadline = Instant::now() + Duration::from_secs(20);
        client.call(path, Bytes::from_static(b"asked"), &headers, deadline)
    };
    let (waited, panicked) = tokio::join!(call("/test/waits"), call("/test/panics"));
    assert_eq!(waited.unwrap(), "asked");
    let Unanswered::Said(status) = panicked.unwrap_err() else {
        panic!("it has no status")
    };
    assert_eq!(status.code(), Code::Internal);
    stop.cancel();
    served.await.unwrap();
}

/// A server whose calls never end, or answer a quarter of a mebibyte, and a client that leaves streams so much room.
struct Bare {
    client: h2::client::SendRequest<Bytes>,
    budget: Arc<ByteBudget>,
    stop: CancellationToken,
}

const ROOM: usize = 1 << 20;

impl Bare {
    async fn start(stream_window: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let budget = ByteBudget::new(ROOM);
        let (services, _health) = GrpcServices::new(Arc::clone(&budget), Vec::new())
            .await
            .unwrap();
        let services = services.with_unary("/test/large", 1 << 10, |_| async {
            Ok(Bytes::from(vec![b'x'; 256 << 10]))
        });
        let stop = CancellationToken::new();
        tokio::spawn(services.serve(listener, stop.clone()));
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(stream_window);
        let (client, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self {
            client,
            budget,
            stop,
        }
    }

    async fn ask(
        &mut self,
        path: &str,
        headers: usize,
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let mut request = Request::post(format!("http://a{path}")).body(()).unwrap();
        for _ in 0..headers {
            let value = HeaderValue::from_static("a");
            request.headers_mut().append("x", value);
        }
        std::future::poll_fn(|context| self.client.poll_ready(context))
            .await
            .unwrap();
        self.client.send_request(request, false).unwrap()
    }

    async fn until_held(&self, is_enough: impl Fn(usize) -> bool) {
        let limit = Instant::now() + Duration::from_secs(20);
        while !is_enough(self.budget.held()) {
            let held = self.budget.held();
            assert!(Instant::now() < limit, "{held} bytes are held");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[tokio::test]
async fn heads_of_calls_without_bodies_are_in_the_budget() {
    for path in ["/test/large", "/test/unknown"] {
        let mut bare = Bare::start(1 << 20).await;
        let mut open = Vec::new();
        // 300 headers of one byte on the wire.
        for _ in 0..40 {
            open.push(bare.ask(path, 300).await);
        }
        if path == "/test/large" {
            bare.until_held(|held| held > ROOM / 2).await;
            assert!(bare.budget.held() <= ROOM);
            let (last, _body) = open.pop().unwrap();
            let refused = last.await.unwrap();
            assert_eq!(refused.headers()[Status::GRPC_STATUS], "8");
        }
        drop(open);
        bare.until_held(|held| held == 0).await;
    }
}

#[tokio::test]
async fn answers_that_a_peer_has_no_room_for_are_in_the_budget() {
    let mut bare = Bare::start(0).await;
    let mut answers = Vec::new();
    let mut lost = 0;
    for _ in 0..6 {
        let (answer, mut body) = bare.ask("/test/large", 0).await;
        body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
        match answer.await {
            Ok(answer) => answers.push(answer.into_body()),
            Err(cause) => {
                assert_eq!(cause.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
                lost += 1;
            }
        }
    }
    assert_eq!((answers.len(), lost), (3, 3));
    bare.until_held(|held| held > ROOM / 2).await;
    assert!(bare.budget.held() <= ROOM);
    drop(answers);
    bare.until_held(|held| held == 0).await;
}
