//! What a server tells Prometheus, probes and callers that come too often.

use std::collections::BTreeSet;

use fate_testkit::metrics::{Scrape, promtool};
use serde_json::Value;

use crate::cluster::{Node, guest_of, http, pair};
use crate::false_host::{FalseHost, Manner};

const SINGLE: &str =
    r#"{"serviceId":"lr-test","featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"1"}}"#;
const BATCH: &str = r#"{"serviceId":"lr-test","batchDataList":[{"index":0,"featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"1"}}]}"#;
const REQUESTS: &str = "fate_serving_requests_total";
const SECONDS: &str = "fate_serving_request_duration_seconds_count";

async fn page(node: &Node) -> String {
    let (status, page) = http(node.http(), "GET /metrics", b"").await;
    assert_eq!(status, 200);
    page
}

#[tokio::test]
async fn every_meter_is_on_the_page_and_moves_by_what_happened() {
    let on = ("remoteModelInferenceResultCacheSwitch", "true");
    let parties = pair(&[on], &[]).await;
    for _ in 0..3 {
        assert_eq!(parties.guest.infer(SINGLE).await["retcode"], 0);
    }
    assert_eq!(parties.guest.infer_batch(BATCH).await["retcode"], 0);
    let unknown = parties.guest.infer(r#"{"serviceId":"nobody's"}"#).await;
    assert_eq!(unknown["retcode"], 104);

    let text = page(&parties.guest).await;
    let guest = Scrape::read(&text);
    let role = ("role", "guest");
    let single = [role, ("method", "singleInference")];
    let of_code = |code| [role, ("method", "singleInference"), ("code", code)];
    assert_eq!(guest.sum(REQUESTS, &of_code("0")), Some(3.0));
    assert_eq!(guest.sum(REQUESTS, &of_code("104")), Some(1.0));
    assert_eq!(guest.sum(REQUESTS, &of_code("105")), None);
    assert_eq!(guest.sum(REQUESTS, &single), Some(4.0));
    let of_stage = |stage| [role, ("method", "singleInference"), ("stage", stage)];
    for (stage, count) in [
        ("parse", 3.0),
        ("local", 3.0),
        ("remote", 3.0),
        ("merge", 3.0),
    ] {
        assert_eq!(guest.sum(SECONDS, &of_stage(stage)), Some(count), "{stage}");
    }
    assert_eq!(guest.sum(SECONDS, &of_stage("total")), Some(4.0));
    assert_eq!(guest.sum(SECONDS, &of_stage("features")), None);
    // The batch found what the first call had learned.
    assert_eq!(guest.sum("fate_serving_cache_hits_total", &[]), Some(3.0));
    assert_eq!(guest.sum("fate_serving_cache_misses_total", &[]), Some(1.0));
    let asked = [("party", "10000"), ("outcome", "ok")];
    assert_eq!(
        guest.sum("fate_serving_remote_requests_total", &asked),
        Some(1.0)
    );
    assert_eq!(guest.sum("fate_serving_models_loaded", &[role]), Some(1.0));
    assert_eq!(
        guest.sum("fate_serving_models_loaded", &[("role", "host")]),
        Some(0.0)
    );
    assert_eq!(guest.sum("fate_serving_services_bound", &[]), Some(1.0));
    let rows = "fate_serving_batch_size";
    assert_eq!(guest.sum(&format!("{rows}_count"), &[role]), Some(1.0));
    assert_eq!(guest.sum(&format!("{rows}_sum"), &[role]), Some(1.0));
    let semantics = [role, ("semantics", "fate")];
    assert_eq!(guest.sum("fate_serving_model_info", &semantics), Some(1.0));
    assert_eq!(guest.sum("fate_serving_inflight", &[]), Some(0.0));
    assert_eq!(guest.sum("fate_serving_build_info", &[]), Some(1.0));
    assert!(guest.sum("process_resident_memory_bytes", &[]) > Some(1e6));
    for name in ["lr-test", "nobody's"] {
        assert!(!text.contains(&format!("\"{name}\"")), "{name} is a label");
    }

    let host = Scrape::read(&page(&parties.host).await);
    let answered = [
        ("role", "host"),
        ("method", "federatedInference"),
        ("code", "0"),
    ];
    assert_eq!(host.sum(REQUESTS, &answered), Some(1.0));
    let features = [("role", "host"), ("stage", "features")];
    assert_eq!(host.sum(SECONDS, &features), Some(1.0));
    if let Some(said) = promtool(&text) {
        assert_eq!(said, "");
    }
}

#[tokio::test]
async fn every_model_that_comes_is_measured_also_at_a_restart() {
    let node = Node::start(&[]).await;
    let loaded = node.load_example("guest").await;
    assert_eq!(loaded.status_code, 0, "{}", loaded.message);
    let loads = |scrape: &Scrape, way| {
        let name = "fate_serving_model_load_duration_seconds_count";
        scrape.sum(name, &[("way", way)])
    };
    let scrape = Scrape::read(&page(&node).await);
    assert_eq!(loads(&scrape, "load"), Some(1.0));
    assert_eq!(loads(&scrape, "restore"), Some(0.0));
    let sum = scrape.sum("fate_serving_model_load_duration_seconds_sum", &[]);
    assert!(sum > Some(0.0));
    let node = node.restart(&[]).await;
    let scrape = Scrape::read(&page(&node).await);
    assert_eq!(loads(&scrape, "load"), Some(0.0));
    assert_eq!(loads(&scrape, "restore"), Some(1.0));
    assert_eq!(loads(&scrape, "copy"), Some(0.0));
}

/// Names that dashboards are built on.
#[tokio::test]
async fn the_families_of_an_idle_server() {
    let node = Node::start(&[]).await;
    let scrape = Scrape::read(&page(&node).await);
    let families: BTreeSet<&str> = scrape
        .families()
        .into_iter()
        .filter(|name| name.starts_with("fate_serving_"))
        .collect();
    let expected = [
        "fate_serving_batch_size",
        "fate_serving_flow_log_dropped_total",
        "fate_serving_model_info",
        "fate_serving_build_info",
        "fate_serving_cache_hits_total",
        "fate_serving_cache_misses_total",
        "fate_serving_held_bytes",
        "fate_serving_inflight",
        "fate_serving_inflight_limit",
        "fate_serving_log_dropped_total",
        "fate_serving_thread_delay_seconds",
        "fate_serving_model_load_duration_seconds",
        "fate_serving_models_loaded",
        "fate_serving_remote_duration_seconds",
        "fate_serving_remote_refusals_total",
        "fate_serving_remote_requests_total",
        "fate_serving_request_duration_seconds",
        "fate_serving_requests_total",
        "fate_serving_services_bound",
        "fate_serving_shed_total",
    ];
    assert_eq!(families, expected.into_iter().collect());
}

#[tokio::test]
async fn calls_to_hosts_that_fail_count_too() {
    let host = FalseHost::start(Manner::Fails).await;
    let guest = guest_of(host.address, &[]).await;
    assert_eq!(guest.infer(SINGLE).await["retcode"], 105);
    let scrape = Scrape::read(&page(&guest).await);
    let failed = [("party", "10000"), ("outcome", "unavailable")];
    assert_eq!(
        scrape.sum("fate_serving_remote_requests_total", &failed),
        Some(1.0)
    );
    assert_eq!(
        scrape.sum("fate_serving_remote_duration_seconds_count", &[]),
        Some(1.0)
    );
}

#[tokio::test]
async fn refusals_of_a_proxy_on_the_way_are_told_apart() {
    let body = r#"{"retcode":605,"retmsg":"no way","data":{}}"#;
    let host = FalseHost::start(Manner::Says(body.to_owned())).await;
    let guest = guest_of(host.address, &[]).await;
    assert_eq!(guest.infer(SINGLE).await["retcode"], 2605);
    let scrape = Scrape::read(&page(&guest).await);
    let refusals = scrape.sum("fate_serving_remote_refusals_total", &[("party", "10000")]);
    assert_eq!(refusals, Some(1.0));
    let counted = scrape.sum("fate_serving_requests_total", &[("code", "2605")]);
    assert_eq!(counted, Some(1.0));
}

/// Status, head and body.
async fn answer(node: &Node, path: &str, body: &[u8]) -> (u16, String, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut connection = tokio::net::TcpStream::connect(node.http()).await.unwrap();
    let request = format!(
        "{path} HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    connection.write_all(body).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

#[tokio::test]
async fn who_is_refused_for_too_many_calls_is_told_when_to_come_again() {
    let host = FalseHost::start(Manner::Fails).await;
    let guest = guest_of(host.address, &[]).await;
    let (status, head, _) = answer(&guest, "POST /v1/inference", SINGLE.as_bytes()).await;
    assert_eq!(status, 200);
    assert!(!head.contains("retry-after"), "{head}");
    let mut common = fate_proto::common_service::common_service_client::CommonServiceClient::new(
        crate::cluster::channel(guest.grpc()).await,
    );
    let nothing = fate_proto::common_service::UpdateFlowRuleRequest {
        source: "I_singleInference".to_owned(),
        allow_qps: 0.0,
    };
    common.update_flow_rule(nothing).await.unwrap();
    let enveloped = format!(r#"{{"head":{{"serviceId":"lr-test"}},"body":{SINGLE}}}"#);
    for (path, body) in [
        ("POST /v1/inference", SINGLE),
        ("POST /federation/v1/inference", enveloped.as_str()),
    ] {
        let (status, head, body) = answer(&guest, path, body.as_bytes()).await;
        assert_eq!(status, 200, "{path}");
        assert!(head.contains("\r\nretry-after: 1"), "{head}");
        assert!(body.starts_with(r#"{"retcode":124,"#), "{body}");
    }
    let scrape = Scrape::read(&page(&guest).await);
    assert_eq!(
        scrape.sum("fate_serving_shed_total", &[("reason", "rate")]),
        Some(2.0)
    );
}

#[tokio::test]
async fn probes_are_answered_in_words() {
    let node = Node::start(&[]).await;
    let (status, _, body) = answer(&node, "GET /livez", b"").await;
    assert_eq!((status, body.as_str()), (200, "ok"));
    let (status, _, body) = answer(&node, "GET /readyz", b"").await;
    assert_eq!(
        (status, body.as_str()),
        (200, "ready\nwarning: no model is loaded\n")
    );
    let (status, body) = http(node.http(), "GET /readyz", b"").await;
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &document["ready"]), (200, &Value::Bool(true)));
    assert_eq!(document["warnings"][0], "no model is loaded");
    node.load_example("host").await;
    let (_, _, body) = answer(&node, "GET /readyz", b"").await;
    let warned = "warning: a host's model is loaded, and feature.single.adaptor is not set";
    assert!(body.contains(warned), "{body}");

    let closed = fate_testkit::free_port();
    let address = format!("127.0.0.1:{closed}");
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().to_str().unwrap();
    let away = [("zk.url", address.as_str()), ("registry.cache.path", cache)];
    let node = Node::start(&away).await;
    let (status, _, body) = answer(&node, "GET /readyz", b"").await;
    assert_eq!(status, 503, "{body}");
    assert!(
        body.starts_with("not ready\nreason: not registered in ZooKeeper yet"),
        "{body}"
    );
    let (status, _, _) = answer(&node, "GET /ready", b"").await;
    assert_eq!(status, 200, "it takes calls");
    let scrape = Scrape::read(&page(&node).await);
    assert_eq!(
        scrape.sum("fate_serving_registry_connected", &[]),
        Some(0.0)
    );
}
