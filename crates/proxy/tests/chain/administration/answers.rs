//! Every method's answers are those of the Java processes, in code, message and shape of the data.

use std::time::{SystemTime, UNIX_EPOCH};

use fate_proto::common_service::MetricType;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::Code;

use super::samples::{METRIC, process, shape};
use super::{Admin, Answer, Managed, SERVICE};
use crate::lone_proxy::LoneProxy;
use crate::parties::More;

const DAY_MS: i64 = 86_400_000;

fn told(code: i32, message: &str) -> Answer {
    (code, message.to_owned(), String::new())
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// `url` with another parameter behind the others, as the Java admin shows it afterwards.
fn with_weight(url: &str, weight: i32) -> String {
    format!("{url}&weight={weight}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_answers_as_java_s() {
    let fate_flow = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!(
        "http://{}/v1/model/transfer",
        fate_flow.local_addr().unwrap()
    );
    let more = More {
        server: &[("model.transfer.url", address.as_str())],
        ..More::default()
    };
    let Some(managed) = Managed::start(&more).await else {
        return;
    };
    managed.score().await;
    let mut server = managed.server().await;

    let model = managed.model();
    counts(&mut server, MetricType::Interface, "I_singleInference").await;
    counts(&mut server, MetricType::Model, &model).await;
    assert_eq!(
        server.metrics(MetricType::Model, "", 0).await,
        (0, String::new(), "[]".to_owned())
    );
    rules(&mut server).await;
    processes(&mut server).await;

    let url = managed.url_of(SERVICE, "inference").await.unwrap();
    services(&mut server, &managed, (SERVICE, "inference"), &url).await;

    let refused = server.update_config("conf/x", "{}").await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (
            Code::Unimplemented,
            "Method com.webank.ai.fate.api.networking.common.CommonService/updateConfig is unimplemented"
        )
    );

    let health = checked(&mut server).await;
    let expected = [
        ("check memory usage", "usage:"),
        (
            "check default fateflow config",
            "default fateflow url is ok ok",
        ),
        (
            "check fateflow in zookeeper",
            "fateflow is not found in zookeeper  warn",
        ),
        ("check model loaded", "model is loaded ok"),
    ];
    assert_eq!(health.len(), expected.len(), "{health:?}");
    for ((item, found), (name, text)) in health.iter().zip(expected) {
        assert_eq!(item, name);
        assert!(found.trim_start().starts_with(text), "{item}: {found}");
    }
    managed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_answers_as_java_s() {
    let Some(managed) = Managed::start(&More::default()).await else {
        return;
    };
    managed.score().await;
    let mut proxy = managed.proxy().await;

    counts(&mut proxy, MetricType::Interface, "I_inference").await;
    assert_eq!(
        proxy.metrics(MetricType::Model, "M_x", 0).await,
        told(110, "find model metric error")
    );
    rules(&mut proxy).await;
    processes(&mut proxy).await;

    let url = managed.url_of("online", "unaryCall").await.unwrap();
    services(&mut proxy, &managed, ("online", "unaryCall"), &url).await;

    let table = managed.parties.guest.folder.path().join("route_table.json");
    let path = table.to_str().unwrap();
    let text = std::fs::read_to_string(&table).unwrap();
    for (path, data, expected) in [
        ("", "{}", told(110, "file path is blank")),
        (path, " ", told(110, "data is blank")),
        (path, text.as_str(), told(0, "success")),
    ] {
        assert_eq!(proxy.update_config(path, data).await.unwrap(), expected);
    }
    // Java writes any file.
    let elsewhere = managed.parties.guest.folder.path().join("other.json");
    let refused = proxy
        .update_config(elsewhere.to_str().unwrap(), &text)
        .await;
    assert_eq!(refused.unwrap().0, 110);
    assert!(!elsewhere.exists());

    let health = checked(&mut proxy).await;
    let peer = managed.parties.hosts["10000"].proxy.inter_addr.port();
    let expected = [
        (
            "check route_table.json exist",
            "check router file : router info is found ok".to_owned(),
        ),
        ("check router", format!("127.0.0.1 {peer}: telneted ok")),
        ("check memory usage", "usage:".to_owned()),
    ];
    assert_eq!(health.len(), expected.len(), "{health:?}");
    for ((item, found), (name, text)) in health.iter().zip(expected) {
        assert_eq!(item, name);
        assert!(found.trim_start().starts_with(&text), "{item}: {found}");
    }
    managed.stop().await;
}

/// `queryMetrics`: each second's numbers in Java's order of members; nothing at all before anything was counted.
async fn counts(admin: &mut Admin, kind: MetricType, resource: &str) {
    let kept = ["resource"];
    let expected = METRIC.replace("I_singleInference", resource);
    let nodes = admin.counted(kind, resource, "passQps").await;
    for node in &nodes {
        assert_eq!(shape(&node.to_string(), &kept), shape(&expected, &kept));
    }
    let times = nodes.iter().map(|node| node["timestamp"].as_i64().unwrap());
    assert!(times.is_sorted());
    let tomorrow = now_ms() + DAY_MS;
    assert_eq!(admin.metrics(kind, resource, tomorrow).await, told(0, ""));
}

/// `updateFlowRule`: any source, any number, in force at once, zero blocks everything.
async fn rules(admin: &mut Admin) {
    assert_eq!(
        admin.set_rule("anything at all", -1.5).await,
        told(0, "success")
    );
    assert_eq!(admin.set_rule("I_QUERY_JVM", 0.0).await, told(0, "success"));
    let (code, message, data) = admin.process().await;
    assert_eq!((code, data.as_str()), (124, ""), "{message}");
    assert_eq!(admin.set_rule("I_QUERY_JVM", 1e9).await, told(0, "success"));
    // Java never counts these.
    admin
        .counted(MetricType::Interface, "I_QUERY_JVM", "blockQps")
        .await;
}

/// `queryJvmInfo`: at most ten seconds, Java's members, numbers of this process.
async fn processes(admin: &mut Admin) {
    let (code, message, data) = admin.process().await;
    assert_eq!((code, message.as_str()), (0, ""));
    let samples: Vec<Value> = serde_json::from_str(&data).unwrap();
    assert!((1..=10).contains(&samples.len()), "{}", samples.len());
    for sample in &samples {
        assert_eq!(shape(&sample.to_string(), &[]), shape(&process(), &[]));
        let heap = &sample["heap"];
        assert!(heap["used"].as_u64() > Some(1 << 20), "{sample}");
        assert!(heap["max"].as_u64() >= heap["used"].as_u64(), "{sample}");
        let percent = heap["usedPercent"].as_f64().unwrap();
        assert!(percent > 0.0 && percent < 1.0, "{sample}");
        assert!(sample["threadCount"].as_u64() > Some(1), "{sample}");
    }
}

/// `updateService`: contract 01 §1.8.
async fn services(admin: &mut Admin, managed: &Managed, of: (&str, &str), url: &str) {
    assert_eq!(
        admin.update_service(url, "", -1).await,
        told(0, "no change")
    );
    assert_eq!(
        admin.update_service(url, "ALL_ALLOWED", -1).await,
        told(0, "no change")
    );
    assert_eq!(
        admin.update_service(url, "no such mode", -1).await,
        told(0, "no change")
    );
    assert_eq!(admin.update_service(url, "", 5).await, told(0, "success"));
    let weighted = with_weight(url, 5);
    crate::lone_proxy::until("the weight is registered", async || {
        managed.url_of(of.0, of.1).await.as_deref() == Some(&weighted)
    })
    .await;
    assert_eq!(
        admin.update_service(&weighted, "", 5).await,
        told(0, "no change")
    );
    // The address is another one now.
    assert_eq!(admin.update_service(url, "", 7).await, told(126, "no node"));
    // Java takes a weight below -1 and divides by it.
    let (code, message, _) = admin.update_service(&weighted, "", -7).await;
    assert_eq!(code, 110, "{message}");
    for nonsense in ["", "nonsense", "grpc://"] {
        let (code, message, data) = admin.update_service(nonsense, "", 5).await;
        assert!(
            code == 110 || code == 126,
            "{nonsense}: {code} {message} {data}"
        );
    }
}

/// `checkHealthService`: items in order, each with its text and status.
async fn checked(admin: &mut Admin) -> Vec<(String, String)> {
    let (code, message, data) = admin.health().await;
    assert_eq!((code, message.as_str()), (0, ""));
    let report: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(report.as_object().unwrap().len(), 1, "{report}");
    let records = report["records"].as_array().unwrap().iter();
    records
        .map(|record| {
            let members: Vec<&str> = record
                .as_object()
                .unwrap()
                .keys()
                .map(String::as_str)
                .collect();
            assert_eq!(members, ["checkItemName", "msg", "healthCheckStatus"]);
            let text = |name: &str| record[name].as_str().unwrap().to_owned();
            let status = text("healthCheckStatus");
            assert!(["ok", "warn", "error"].contains(&status.as_str()));
            (text("checkItemName"), format!("{} {status}", text("msg")))
        })
        .collect()
}

#[tokio::test]
async fn without_a_registry_and_without_health_checks() {
    let properties = [("health.check.allow", "false")];
    let alone = LoneProxy::start(&json!({}), &properties).await;
    let folder = tempfile::tempdir().unwrap();
    let server = crate::parties::start_server(&folder, &properties, None).await;
    for address in [alone.proxy.intra_addr, server.grpc_addr] {
        let mut admin = Admin::of(address).await;
        let (code, message, data) = admin.health().await;
        assert_eq!((code, data.as_str()), (110, ""), "{message}");
        let url = "grpc://127.0.0.1:1/serving/online/x?router_mode=ALL_ALLOWED";
        let (code, message, data) = admin.update_service(url, "", 5).await;
        assert_eq!((code, data.as_str()), (110, ""), "{message}");
    }
}

#[tokio::test]
async fn rules_are_in_force_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".fate");
    for (is_proxy, file) in [(false, "flowRules.json"), (true, "proxyFlowRules.json")] {
        for is_second in [false, true] {
            let (proxy, server) = if is_proxy {
                (
                    Some(crate::parties::start_proxy(&folder, "9999", &json!({}), &[]).await),
                    None,
                )
            } else {
                (
                    None,
                    Some(crate::parties::start_server(&folder, &[], None).await),
                )
            };
            let address = proxy.as_ref().map(|one| one.intra_addr);
            let address = address
                .or(server.as_ref().map(|one| one.grpc_addr))
                .unwrap();
            let mut admin = Admin::of(address).await;
            if is_second {
                assert_eq!(admin.process().await.0, 124);
            } else {
                admin.set_rule("M_x", 2.5).await;
                admin.set_rule("I_QUERY_JVM", 0.0).await;
                let text = std::fs::read_to_string(path.join(file)).unwrap();
                assert_eq!(
                    text,
                    r#"[{"source":"I_QUERY_JVM","allow_qps":0.0},{"source":"M_x","allow_qps":2.5}]"#
                );
            }
            if let Some(proxy) = proxy {
                proxy.drain().await;
            }
            if let Some(server) = server {
                server.drain().await;
            }
        }
    }
}
