//! What a proxy tells Prometheus and probes.

use fate_testkit::metrics::{Scrape, promtool};
use hyper::Method;
use serde_json::{Value, json};

use crate::asking::{http, post};
use crate::fake_peer::FakePeer;
use crate::lone_proxy::{LoneProxy, packet_to};
use crate::parties::address;

const REQUESTS: &str = "fate_serving_requests_total";

async fn get(proxy: &LoneProxy, path: &str) -> (u16, String) {
    let address = proxy.proxy.http_addr.unwrap();
    http(address, Method::GET, path, &[], "").await
}

#[tokio::test]
async fn calls_are_counted_by_what_became_of_them() {
    let peer = FakePeer::quick().await;
    let routes = json!({"10000": {"serving": [address(peer.address)]}});
    let proxy = LoneProxy::start(&routes, &[]).await;
    for _ in 0..2 {
        assert_eq!(proxy.send(packet_to("10000", "x")).await.0, 0);
    }
    assert_ne!(proxy.send(packet_to("10001", "x")).await.0, 0);
    let asking = r#"{"head":{"serviceId":"my-service"},"body":{"featureData":{}}}"#;
    let path = "/federation/v1/inference";
    let refused = post(proxy.proxy.http_addr.unwrap(), path, asking).await;
    let refused: Value = serde_json::from_str(&refused).unwrap();
    let code = refused["retcode"].to_string();

    let (status, text) = get(&proxy, "/metrics").await;
    assert_eq!(status, 200);
    let scrape = Scrape::read(&text);
    let passed = [("method", "unaryCall"), ("code", "0")];
    assert_eq!(scrape.sum(REQUESTS, &passed), Some(2.0));
    assert_eq!(scrape.sum(REQUESTS, &[("method", "unaryCall")]), Some(3.0));
    let failed = [("method", "inference"), ("code", code.as_str())];
    assert_eq!(scrape.sum(REQUESTS, &failed), Some(1.0));
    let party = [("party", "10000"), ("outcome", "ok")];
    let calls = "fate_serving_remote_requests_total";
    assert_eq!(scrape.sum(calls, &party), Some(2.0));
    assert_eq!(scrape.sum(calls, &[("party", "10001")]), None);
    assert_eq!(
        scrape.sum("fate_serving_route_table_loaded", &[]),
        Some(1.0)
    );
    assert!(!text.contains("my-service"));
    if let Some(said) = promtool(&text) {
        assert_eq!(said, "");
    }
}

#[tokio::test]
async fn a_proxy_that_leads_nowhere_is_not_ready_and_says_why() {
    let proxy = LoneProxy::start(&json!({}), &[("route.table", "/nonexistent/table")]).await;
    assert_eq!(get(&proxy, "/livez").await, (200, "ok".to_owned()));
    let (status, text) = get(&proxy, "/readyz").await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &document["ready"]), (503, &Value::Bool(false)));
    let reason = document["reasons"][0].as_str().unwrap();
    assert!(reason.contains("route table"), "{reason}");

    let proxy = LoneProxy::start(&json!({"1": {}}), &[]).await;
    let (status, text) = get(&proxy, "/readyz").await;
    assert_eq!(status, 200, "{text}");
}
