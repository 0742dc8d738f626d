//! One of two addresses does not answer.

use std::time::{Duration, Instant};

use fate_testkit::Link;
use serde_json::json;

use crate::fake_peer::FakePeer;
use crate::lone_proxy::{LoneProxy, packet_to};
use crate::parties::address;

const TIMEOUT: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_silent_is_left_aside_until_it_answers_again() {
    let (mut lost, other) = (FakePeer::quick().await, FakePeer::quick().await);
    let link = Link::to(&lost.address.to_string());
    link.cut();
    let hole = json!({"ip": "127.0.0.1", "port": link.address().parse::<std::net::SocketAddr>().unwrap().port()});
    let routes = json!({"10000": {"default": [hole, address(other.address)]}});
    let timeout = TIMEOUT.as_millis().to_string();
    let properties = [
        ("proxy.grpc.unaryCall.timeout", timeout.as_str()),
        ("routeType", "round_robin"),
    ];
    let proxy = LoneProxy::start(&routes, &properties).await;

    let mut silent = 0;
    for _ in 0..8 {
        silent += usize::from(proxy.send(packet_to("10000", "x")).await.0 == 605);
    }
    assert_eq!(silent, 3, "the fourth call in a row must not go there");
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(
            proxy.send(packet_to("10000", "x")).await,
            (0, "x".to_owned())
        );
    }
    assert!(
        started.elapsed() < 20 * TIMEOUT / 4,
        "{:?}",
        started.elapsed()
    );

    link.mend();
    // A connection from before the cut is given up after pings of 20 s.
    let limit = Instant::now() + Duration::from_secs(90);
    while lost.seen.try_recv().is_err() {
        assert!(Instant::now() < limit, "it is not asked again");
        assert_eq!(proxy.send(packet_to("10000", "x")).await.0, 0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_another_address_a_silent_peer_is_still_asked() {
    let peer = FakePeer::slow().await;
    let routes = json!({"10000": {"default": [address(peer.address)]}});
    let properties = [("proxy.grpc.unaryCall.timeout", "1100")];
    let proxy = LoneProxy::start(&routes, &properties).await;
    for _ in 0..4 {
        assert_eq!(proxy.send(packet_to("10000", "x")).await.0, 605);
    }
    peer.answers.add_permits(100);
    assert_eq!(
        proxy.send(packet_to("10000", "x")).await,
        (0, "x".to_owned())
    );
}
