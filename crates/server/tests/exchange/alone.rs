//! A homogeneous model: the guest answers alone, though the publish request names a host, which nobody reaches.

use std::collections::BTreeMap;

use base64::Engine as _;
use fate_proto::buffer::{LrModelMeta, LrModelParam, Pipeline};
use prost::Message as _;
use serde_json::{Value, json};

use crate::cluster::{Node, models, publish_request};

fn cache() -> Vec<u8> {
    let dsl = json!({"components": {"homo_lr_0": {
        "input": {"data": {"test_data": ["args.eval_data"]}}, "CodePath": "HomoLRClient"}}});
    let pipeline = Pipeline {
        inference_dsl: dsl.to_string().into_bytes().into(),
        fate_version: "1.11.4".to_owned(),
        ..Pipeline::default()
    };
    let meta = LrModelMeta {
        module: "HomoLR".to_owned(),
        ..LrModelMeta::default()
    };
    let param = LrModelParam {
        weight: [("x0".to_owned(), 0.5), ("x1".to_owned(), -2.0)].into(),
        intercept: 0.25,
        header: vec!["x0".to_owned(), "x1".to_owned()],
        ..LrModelParam::default()
    };
    let text = |bytes: Vec<u8>| base64::engine::general_purpose::STANDARD.encode(bytes);
    let buffers: BTreeMap<&str, String> = [
        ("pipeline.pipeline:Pipeline", text(pipeline.encode_to_vec())),
        (
            "homo_lr_0.model:HomoLogisticRegressionMeta",
            text(meta.encode_to_vec()),
        ),
        (
            "homo_lr_0.model:HomoLogisticRegressionParam",
            text(param.encode_to_vec()),
        ),
    ]
    .into();
    serde_json::to_vec(&buffers).unwrap()
}

/// A node with the model as this role has it.
async fn node(role: &str) -> Node {
    let node = Node::start(&[("federation.hosts", "10000=127.0.0.1:1")]).await;
    let path = node.folder.path().join("homo.cache");
    std::fs::write(&path, cache()).unwrap();
    let mut request = publish_request(role);
    request.load_type = "CACHE".to_owned();
    request.file_path = path.to_str().unwrap().to_owned();
    let loaded = models(node.grpc())
        .await
        .publish_load(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(loaded.status_code, 0, "{}", loaded.message);
    assert!(loaded.message.contains("homogeneous"), "{}", loaded.message);
    node
}

fn assert_score(data: &Value, sum: f64) {
    let score = data["score"].as_f64().unwrap_or_else(|| panic!("{data}"));
    assert!(
        (score - 1.0 / (1.0 + (-sum).exp())).abs() <= 1e-12,
        "{data}"
    );
}

#[tokio::test]
async fn a_homogeneous_model_asks_no_host() {
    let guest = node("guest").await;
    assert_eq!(guest.bind_example("homo").await.status_code, 0);
    let answer = guest
        .infer(r#"{"serviceId":"homo","featureData":{"x0":3,"x1":"0.5"}}"#)
        .await;
    assert_eq!(answer["retcode"], 0, "{answer}");
    assert_score(&answer["data"], 0.75);

    let answer = guest
        .infer_batch(
            r#"{"serviceId":"homo","batchDataList":[
            {"index":0,"featureData":{"x0":3,"x1":0.5}},
            {"index":1,"featureData":{"x0":"no"}},
            {"index":2,"featureData":{"x0":-1,"x1":-1},"sendToRemoteFeatureData":{"id":"7"}}]}"#,
        )
        .await;
    assert_eq!(answer["retcode"], 0, "{answer}");
    let rows = answer["batchDataList"].as_array().unwrap();
    assert_score(&rows[0]["data"], 0.75);
    assert_ne!(rows[1]["retcode"], 0, "{answer}");
    assert_score(&rows[2]["data"], 1.75);
}

/// FATE-Flow loads every party's part, also where it is never asked for.
#[tokio::test]
async fn its_host_loads_its_part() {
    node("host").await;
}
