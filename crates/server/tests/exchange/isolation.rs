//! Too many calls: one model cannot take the places of the others, and late threads let fewer in.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fate_edge::adaptive;
use fate_proto::inference::InferenceMessage;
use fate_proto::inference::inference_service_client::InferenceServiceClient;
use fate_proto::model::{ModelInfo, Party, RoleModelInfo};
use fate_testkit::metrics::Scrape;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::cluster::{Node, channel, guest_of, http, models, publish_request};
use crate::example::{self, GUEST, HOST};
use crate::false_host::{FalseHost, Manner};

const SUCCESS: &str =
    r#"{"retcode":0,"retmsg":"","data":{"hetero_lr_0":{"score":0.25},"retcode":0}}"#;
const OTHER_VERSION: &str = "2021";
const LIMIT: &str = "fate_serving_inflight_limit";

fn question(service_id: &str) -> String {
    format!(
        r#"{{"serviceId":"{service_id}","featureData":{{"x0":0.5}},"sendToRemoteFeatureData":{{"id":"1"}}}}"#
    )
}

fn hangs() -> Manner {
    Manner::Dawdles(Duration::from_secs(60), SUCCESS.to_owned())
}

/// Calls on one connection, each in a task.
async fn calls(node: &Node, service_id: &'static str, count: usize) -> JoinSet<Value> {
    let client = InferenceServiceClient::new(channel(node.grpc()).await);
    let mut asked = JoinSet::new();
    for _ in 0..count {
        let mut client = client.clone();
        asked.spawn(async move {
            let message = InferenceMessage {
                body: question(service_id).into_bytes().into(),
                ..InferenceMessage::default()
            };
            let answer = client.inference(message).await.unwrap().into_inner();
            serde_json::from_slice(&answer.body).unwrap()
        });
    }
    asked
}

/// A second model of the guest, with a host of its own, bound to `other`.
async fn load_other(guest: &Node) {
    let path = guest.folder.path().join("other.cache");
    example::write_cache(&path, "guest");
    let info = |party: &str, namespace: &str| {
        let model = ModelInfo {
            table_name: OTHER_VERSION.to_owned(),
            namespace: namespace.to_owned(),
        };
        RoleModelInfo {
            role_model_info: [(party.to_owned(), model)].into(),
        }
    };
    let mut request = publish_request("guest");
    request.model = [
        ("guest".to_owned(), info("9999", GUEST)),
        (
            "host".to_owned(),
            info("10001", &HOST.replacen("10000", "10001", 1)),
        ),
    ]
    .into();
    let host = Party {
        party_id: vec!["10001".to_owned()],
    };
    request.role.insert("host".to_owned(), host);
    request.load_type = "CACHE".to_owned();
    request.file_path = path.to_str().unwrap().to_owned();
    let mut models = models(guest.grpc()).await;
    let loaded = models.publish_load(request.clone()).await.unwrap();
    assert_eq!(loaded.get_ref().status_code, 0, "{loaded:?}");
    request.service_id = "other".to_owned();
    let bound = models.publish_bind(request).await.unwrap();
    assert_eq!(bound.get_ref().status_code, 0, "{bound:?}");
}

async fn figure(node: &Node, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let (_, page) = http(node.http(), "GET /metrics", b"").await;
    Scrape::read(&page).sum(name, labels)
}

#[tokio::test]
async fn a_model_whose_host_hangs_leaves_places_to_the_others() {
    let hanging = FalseHost::start(hangs()).await;
    let quick = FalseHost::start(Manner::Says(SUCCESS.to_owned())).await;
    let guest = guest_of(
        hanging.address,
        &[
            ("federation.hosts", &hosts(hanging.address, quick.address)),
            ("single.inference.rpc.timeout", "30000"),
            ("serving.max.inflight", "4"),
            ("serving.model.share", "0.5"),
        ],
    )
    .await;
    load_other(&guest).await;

    let mut waiting = calls(&guest, "lr-test", 10).await;
    for _ in 0..8 {
        let refused = waiting.join_next().await.unwrap().unwrap();
        assert_eq!(refused["retcode"], 124, "{refused}");
        let text = refused["retmsg"].as_str().unwrap();
        let expected = "request was block by over load, model resource: M_";
        assert!(text.starts_with(expected), "{text}");
    }
    // Those two are on their way.
    let limit = Instant::now() + Duration::from_secs(20);
    while hanging.asked.lock().len() < 2 {
        assert!(Instant::now() < limit, "the host is not asked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for _ in 0..3 {
        let answer = guest.infer(&question("other")).await;
        assert_eq!(answer["retcode"], 0, "{answer}");
    }
    let (status, answer) = http(
        guest.http(),
        "POST /v1/inference",
        question("lr-test").as_bytes(),
    )
    .await;
    assert_eq!(status, 200);
    assert!(answer.starts_with(r#"{"retcode":124,"#), "{answer}");
    assert_eq!(hanging.asked.lock().len(), 2);
    let shed = [("reason", "model")];
    assert_eq!(
        figure(&guest, "fate_serving_shed_total", &shed).await,
        Some(9.0)
    );
    assert_eq!(
        figure(&guest, "fate_serving_inflight", &[("gate", "inference")]).await,
        Some(2.0)
    );
}

fn hosts(hanging: SocketAddr, quick: SocketAddr) -> String {
    format!("10000={hanging},10001={quick}")
}

/// Keeps the thread of the test, and with it the server's, busy.
async fn busy_for(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(400));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn late_threads_let_fewer_calls_in_and_slow_hosts_do_not() {
    let host = FalseHost::start(hangs()).await;
    let patient = ("single.inference.rpc.timeout", "60000");
    let guest = guest_of(host.address, &[patient]).await;
    let waiting = calls(&guest, "lr-test", adaptive::floor() + 8).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(figure(&guest, LIMIT, &[]).await, Some(512.0));

    busy_for(Duration::from_secs(4)).await;
    let lowered = figure(&guest, LIMIT, &[]).await.unwrap();
    assert!(lowered < 512.0, "{lowered}");
    assert!(lowered >= adaptive::floor() as f64, "{lowered}");
    let limit = Instant::now() + Duration::from_secs(20);
    while figure(&guest, LIMIT, &[]).await.unwrap() <= lowered {
        assert!(Instant::now() < limit, "the limit does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(waiting);
}

#[tokio::test]
async fn the_limit_stays_where_it_is_when_it_is_told_to() {
    let host = FalseHost::start(hangs()).await;
    let pairs = [
        ("single.inference.rpc.timeout", "60000"),
        ("serving.adaptive", "false"),
    ];
    let guest = guest_of(host.address, &pairs).await;
    let waiting = calls(&guest, "lr-test", adaptive::floor() + 8).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    busy_for(Duration::from_secs(3)).await;
    assert_eq!(figure(&guest, LIMIT, &[]).await, Some(512.0));
    drop(waiting);
}
