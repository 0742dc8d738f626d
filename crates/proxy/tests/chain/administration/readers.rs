//! What the Go client and the Java admin with its pages read of the answers, without asking whether it is there: each of
//! these they take by name and turn into a type, and an absent or other one ends the Go client and empties a page.

use fate_proto::common_service::MetricType;
use fate_proto::model::QueryModelRequest;
use fate_proto::model::model_service_client::ModelServiceClient;
use serde_json::Value;

use super::{Admin, Managed};
use crate::parties::More;

/// Who reads, of which answer, at which path, as what. `[]` goes through all elements, of which there must be one.
const READ: &[(&str, Source, &str, Type)] = &[
    ("Go flow", Source::Metrics, "[].passQps", Type::Number),
    ("Go flow", Source::Metrics, "[].successQps", Type::Number),
    ("Go flow", Source::Metrics, "[].timestamp", Type::Number),
    ("Go flow", Source::Metrics, "[].resource", Type::Text),
    ("admin monitor", Source::Metrics, "[].blockQps", Type::Whole),
    (
        "admin monitor",
        Source::Metrics,
        "[].exceptionQps",
        Type::Whole,
    ),
    ("admin monitor", Source::Metrics, "[].rt", Type::Whole),
    (
        "admin monitor",
        Source::Metrics,
        "[].occupiedPassQps",
        Type::Whole,
    ),
    ("admin monitor", Source::Metrics, "[].passQps", Type::Whole),
    (
        "admin monitor",
        Source::Metrics,
        "[].timestamp",
        Type::Whole,
    ),
    ("Go jvm", Source::Process, "[].timestamp", Type::Number),
    ("Go jvm", Source::Process, "[].threadCount", Type::Number),
    ("Go jvm", Source::Process, "[].yongGcCount", Type::Number),
    ("Go jvm", Source::Process, "[].fullGcCount", Type::Number),
    ("Go jvm", Source::Process, "[].heap.max", Type::Number),
    ("Go jvm", Source::Process, "[].heap.used", Type::Number),
    (
        "Go jvm",
        Source::Process,
        "[].heap.usedPercent",
        Type::Number,
    ),
    ("JVM page", Source::Process, "[].old.used", Type::Whole),
    ("JVM page", Source::Process, "[].eden.used", Type::Whole),
    ("JVM page", Source::Process, "[].heap.used", Type::Whole),
    ("JVM page", Source::Process, "[].nonHeap.used", Type::Whole),
    ("JVM page", Source::Process, "[].survivor.used", Type::Whole),
    ("JVM page", Source::Process, "[].yongGcTime", Type::Whole),
    ("JVM page", Source::Process, "[].fullGcTime", Type::Whole),
    ("JVM page", Source::Process, "[].yongGcCount", Type::Whole),
    ("JVM page", Source::Process, "[].fullGcCount", Type::Whole),
    ("JVM page", Source::Process, "[].threadCount", Type::Whole),
    ("JVM page", Source::Process, "[].timestamp", Type::Whole),
    (
        "Go showHealthInfo",
        Source::Health,
        "records[].checkItemName",
        Type::Text,
    ),
    (
        "Go showHealthInfo",
        Source::Health,
        "records[].msg",
        Type::Text,
    ),
    (
        "Go showHealthInfo",
        Source::Health,
        "records[].healthCheckStatus",
        Type::Text,
    ),
    (
        "Go showconfig",
        Source::Properties,
        "currentVersion",
        Type::Number,
    ),
    ("Basic page", Source::Properties, "useZkRouter", Type::Flag),
    ("Go showmodel", Source::Model, "resourceName", Type::Text),
    ("Models page", Source::Model, "timestamp", Type::Whole),
    ("Models page", Source::Model, "tableName", Type::Text),
    ("Models page", Source::Model, "namespace", Type::Text),
    ("Models page", Source::Model, "role", Type::Text),
    ("Models page", Source::Model, "partId", Type::Text),
    ("Models page", Source::Model, "serviceIds[]", Type::Text),
    (
        "Models page",
        Source::Model,
        "rolePartyMapList[].role",
        Type::Text,
    ),
    (
        "Models page",
        Source::Model,
        "rolePartyMapList[].partId",
        Type::Text,
    ),
    (
        "Go showmodel",
        Source::Model,
        "federationModelMap.10000.role",
        Type::Text,
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Metrics,
    Process,
    Health,
    Properties,
    Model,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Flag,
    /// What Go takes as `float64`.
    Number,
    /// What Jackson puts into a `long`.
    Whole,
}

impl Type {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::Whole => value.is_i64(),
        }
    }
}

/// All values that a path leads to; an absent member is null.
fn at<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let Some((step, rest)) = path
        .split_once('.')
        .or((!path.is_empty()).then_some((path, "")))
    else {
        return vec![value];
    };
    let (name, is_list) = match step.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (step, false),
    };
    let value = if name.is_empty() { value } else { &value[name] };
    if !is_list {
        return at(value, rest);
    }
    let all = value
        .as_array()
        .unwrap_or_else(|| panic!("{step} is no list: {value}"));
    assert!(!all.is_empty(), "{step} is empty");
    all.iter().flat_map(|one| at(one, rest)).collect()
}

fn assert_readable(role: &str, source: Source, data: &str) {
    let document: Value =
        serde_json::from_str(data).unwrap_or_else(|_| panic!("{source:?}: {data}"));
    for (reader, _, path, kind) in READ.iter().filter(|read| read.1 == source) {
        for value in at(&document, path) {
            assert!(
                kind.is_of(value),
                "{role}, {reader}: {source:?} {path} is {value}, not {kind:?}"
            );
        }
    }
}

async fn assert_role(role: &str, admin: &mut Admin, resource: &str) {
    let counted = admin
        .counted(MetricType::Interface, resource, "passQps")
        .await;
    assert_readable(role, Source::Metrics, &Value::Array(counted).to_string());
    let (_, _, all) = admin.metrics(MetricType::Interface, "", 0).await;
    assert_readable(role, Source::Metrics, &all);
    assert_readable(role, Source::Process, &admin.process().await.2);
    assert_readable(role, Source::Health, &admin.health().await.2);
    assert_readable(role, Source::Properties, &admin.properties("").await.2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_the_go_client_and_the_admin_read_is_there() {
    let Some(managed) = Managed::start(&More::default()).await else {
        return;
    };
    managed.score().await;
    let mut server = managed.server().await;
    assert_role("server", &mut server, "I_singleInference").await;
    let model = server
        .counted(MetricType::Model, &managed.model(), "passQps")
        .await;
    assert_readable("server", Source::Metrics, &Value::Array(model).to_string());
    assert_role("proxy", &mut managed.proxy().await, "I_inference").await;

    let address = format!("http://{}", managed.parties.guest.server.grpc_addr);
    let mut models = ModelServiceClient::connect(address).await.unwrap();
    let listed = models
        .query_model(QueryModelRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((listed.retcode, listed.model_infos.len()), (0, 1));
    let info = &listed.model_infos[0];
    assert_readable("server", Source::Model, &info.content);
    let nodes = &info.model_processor_ext.as_ref().unwrap().nodes;
    assert!(!nodes.is_empty());
    for node in nodes {
        // The pipeline page: a name, and parameters that are an object.
        let parameters: Value = serde_json::from_str(&node.params).unwrap();
        assert!(!node.name.is_empty() && parameters.is_object(), "{node:?}");
    }
    managed.stop().await;
}

#[test]
fn what_is_missing_or_of_another_type_is_found() {
    let refuses = |data: &str| {
        let data = data.to_owned();
        std::panic::catch_unwind(move || assert_readable("test", Source::Health, &data)).is_err()
    };
    assert!(!refuses(
        r#"{"records":[{"checkItemName":"a","msg":"b","healthCheckStatus":"ok"}]}"#
    ));
    for data in [
        r#"{"records":[]}"#,
        r#"{"records":null}"#,
        r#"{}"#,
        r#"{"records":[{"checkItemName":"a","msg":1,"healthCheckStatus":"ok"}]}"#,
        r#"{"records":[{"checkItemName":"a","healthCheckStatus":"ok"}]}"#,
    ] {
        assert!(refuses(data), "{data}");
    }
}
