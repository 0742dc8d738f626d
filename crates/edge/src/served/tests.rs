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
