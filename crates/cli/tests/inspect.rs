//! `fate-serving model inspect` from outside: every form of a model, verdicts, exit codes.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod made_sets;
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use fate_inference::PIPELINE_KEY;
use fate_proto::buffer::Pipeline;
use process::golden;
use prost::Message as _;
use serde_json::{Value, json};

fn fate_serving(args: &[&str], path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fate-serving"))
        .args(["--log-level", "warn", "model", "inspect"])
        .args(args)
        .arg(path)
        .output()
        .unwrap()
}

fn text(path: &Path) -> String {
    String::from_utf8(fate_serving(&[], path).stdout).unwrap()
}

fn json(args: &[&str], path: &Path) -> (Option<i32>, Value) {
    let output = fate_serving(&[&["--output", "json"], args].concat(), path);
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code(), json)
}

/// The report without what depends on where the model was read from.
fn facts(path: &Path) -> Value {
    let (code, mut report) = json(&[], path);
    assert_eq!(code, Some(0), "{report:#}");
    let models = report["models"].as_array_mut().unwrap();
    assert_eq!(models.len(), 1);
    models[0].as_object_mut().unwrap().remove("path");
    models[0].take()
}

/// A cache file of one pipeline and nothing else.
fn pipeline_only(directory: &Path, dsl: &Value) -> PathBuf {
    let pipeline = Pipeline {
        inference_dsl: dsl.to_string().into(),
        ..Pipeline::default()
    };
    let buffer = base64::engine::general_purpose::STANDARD.encode(pipeline.encode_to_vec());
    let path = directory.join("cache");
    fs::write(&path, json!({ PIPELINE_KEY: buffer }).to_string()).unwrap();
    path
}

#[test]
fn a_set_shows_every_party() {
    let (code, report) = json(&[], &golden("sbt_two_hosts"));
    assert_eq!(code, Some(0));
    let models = report["models"].as_array().unwrap();
    let parties: Vec<_> = models
        .iter()
        .map(|model| format!("{} {}", model["role"], model["party_id"]))
        .collect();
    assert_eq!(
        parties,
        [
            r#""guest" "9999""#,
            r#""host" "10000""#,
            r#""host" "10001""#
        ]
    );
    let guest = &models[0];
    assert_eq!(guest["table_name"], "202403020000009815800");
    assert_eq!(
        guest["namespace"],
        "guest#9999#guest-9999#host-10000_10001#model"
    );
    assert_eq!(guest["fate_version"], "1.11.4");
    assert_eq!(guest["hosts"], json!(["10000", "10001"]));
    assert_eq!(guest["verdict"]["needs_hosts"], true);
    assert_eq!(guest["verdict"]["servable"], true);
    let component = &guest["components"][2];
    assert_eq!(component["class"], "HeteroSecureBoostingTreeGuest");
    assert_eq!(component["treatment"], "model");
    assert_eq!(component["size"]["forest"]["trees"], 24);
    assert_eq!(models[2]["features"][0], "worst_area");
}

#[test]
fn the_text_tells_people_the_same() {
    let text = text(&golden("lr_scale_onehot").join("guest_9999"));
    for expected in [
        "party         guest 9999, hosts of the model: 10000",
        "FATE version  1.11.4",
        "verdict       servable with semantics fate: binary logistic regression, needs the hosts' parts",
        "hetero_lr_0               HeteroLRGuest              model         23 weights; 864 bytes",
        "feature_scale_0           Scale                      transform     standard_scale of 5 columns; 524 bytes",
        "features needed (8):\n    age\n    credit_limit\n",
        "semantics differ (",
        "    FATE-Serving 2.1.7 encodes every feature that is not an integer token as category 0",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn all_forms_of_a_model_give_the_same_facts() {
    let party = golden("lr_plain").join("guest_9999");
    let facts_of_party = facts(&party);
    assert_eq!(facts(&party.join("index.json")), facts_of_party);

    let model = fate_golden::PartyModel::open(&party).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    let texts = model.buffers.iter().map(|(key, buffer)| {
        (
            key.clone(),
            Value::from(base64::engine::general_purpose::STANDARD.encode(buffer)),
        )
    });
    fs::write(&cache, Value::Object(texts.collect()).to_string()).unwrap();
    assert_eq!(facts(&cache), facts_of_party);

    let archive = directory.path().join("model.zip");
    made_sets::write_archive(&archive, &model.buffers);
    assert_eq!(facts(&archive), facts_of_party);

    // The folder's names win over the pipeline's: FATE-Flow publishes by them.
    let cache = directory.path().join("model_local_cache");
    let folder = cache.join("guest#9999#moved").join("v 2");
    made_sets::write_flow_folder(&folder, &model.buffers);
    let mut moved = facts(&folder);
    assert_eq!(moved["namespace"], "guest#9999#moved");
    assert_eq!(moved["table_name"], "v 2");
    for name in ["namespace", "table_name"] {
        moved[name] = facts_of_party[name].clone();
    }
    assert_eq!(moved, facts_of_party);
}

#[tokio::test]
async fn a_record_of_a_store_tells_its_semantics() {
    let directory = tempfile::tempdir().unwrap();
    let party = golden("lr_plain").join("guest_9999");
    let model = fate_golden::PartyModel::open(&party).unwrap();
    let texts = model.buffers.iter().map(|(key, buffer)| {
        let text = base64::engine::general_purpose::STANDARD.encode(buffer);
        (key.clone(), Value::from(text))
    });
    let cache = Value::Object(texts.collect()).to_string();
    let host = model.key.namespace.replacen("guest#9999", "host#10000", 1);
    let described = json!({
        "timestamp": 1, "tableName": model.key.table_name, "namespace": model.key.namespace,
        "role": "guest", "partId": "9999", "semantics": "java",
        "federationModelMap": { "10000": {
            "timestamp": 1, "tableName": model.key.table_name, "namespace": host,
        } },
    });
    let settings = fate_model::Settings::new(directory.path());
    let (models, _) = fate_model::Models::open(settings).await.unwrap();
    models
        .import(
            &model.key,
            described.to_string().as_bytes(),
            cache.as_bytes(),
        )
        .await
        .unwrap();
    let records = directory.path().join(".fate/serving/models");
    let (code, report) = json(&[], &records);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["models"][0]["verdict"]["semantics"], "java");
    assert_eq!(report["models"][0]["hosts"], json!(["10000"]));
    let record = fs::read_dir(&records).unwrap().next().unwrap().unwrap();
    let mut asked = json(&["--semantics", "fate"], &record.path()).1["models"][0].take();
    asked.as_object_mut().unwrap().remove("path");
    assert_eq!(asked, facts(&party));

    let mut bytes = fs::read(record.path()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = directory.path().join("damaged.model");
    fs::write(&damaged, bytes).unwrap();
    let output = fate_serving(&[], &damaged);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("damaged.model: the checksum does not match"),
        "{said}"
    );
}

#[test]
fn a_refused_model_names_component_and_reason_and_ends_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let dsl = json!({ "components": { "nn_0": { "CodePath": "a/HeteroNNGuest" } } });
    let path = pipeline_only(directory.path(), &dsl);
    let (code, report) = json(&[], &path);
    assert_eq!(code, Some(1));
    let model = &report["models"][0];
    assert_eq!(model["verdict"]["servable"], false);
    assert_eq!(model["verdict"]["component"], "nn_0 (HeteroNNGuest)");
    assert!(!model["verdict"]["reason"].as_str().unwrap().is_empty());
    assert_eq!(model["components"][0]["class"], "HeteroNNGuest");
    assert!(
        text(&path).contains(
            "verdict       refused with semantics fate: component nn_0 (HeteroNNGuest): "
        )
    );
}

#[test]
fn the_semantics_are_those_asked_for() {
    let (code, report) = json(&["--semantics", "java"], &golden("linr").join("guest_9999"));
    assert_eq!(code, Some(1));
    let model = &report["models"][0];
    assert_eq!(
        (
            &model["verdict"]["semantics"],
            &model["verdict"]["servable"]
        ),
        (&json!("java"), &json!(false))
    );
    assert_eq!(
        (
            &model["otherwise"]["semantics"],
            &model["otherwise"]["servable"]
        ),
        (&json!("fate"), &json!(true))
    );
}

#[test]
fn a_cache_file_of_java_tells_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let dsl = json!({ "components": { "nn_0": { "CodePath": "HeteroNNGuest" } } });
    let path = pipeline_only(directory.path(), &dsl);
    let named = directory
        .path()
        .join("model_2020_1_host#10#guest-9#host-10#model_cache");
    fs::rename(path, &named).unwrap();
    let (_, report) = json(&[], &named);
    let model = &report["models"][0];
    assert_eq!(
        (&model["role"], &model["party_id"]),
        (&json!("host"), &json!("10"))
    );
    assert_eq!(
        (&model["table_name"], &model["namespace"]),
        (&json!("2020_1"), &json!("host#10#guest-9#host-10#model"))
    );
}

#[test]
fn names_of_a_model_do_not_control_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let dsl = json!({ "components": { "\u{1b}[2J客户\n": { "CodePath": "HeteroNNGuest" } } });
    let text = text(&pipeline_only(directory.path(), &dsl));
    assert!(text.contains("\\u{1b}[2J客户\\n"), "{text}");
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn wrong_usage_ends_with_2_and_bad_content_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken.zip");
    fs::write(&broken, "PK and nothing").unwrap();
    let text = directory.path().join("text");
    fs::write(&text, "[]").unwrap();
    let cases: [(&[&str], &Path, i32, &str); 6] = [
        (
            &[],
            &directory.path().join("nowhere"),
            2,
            "nowhere: No such file",
        ),
        (
            &["--semantics", "python"],
            &text,
            2,
            "semantics is \"fate\" or \"java\"",
        ),
        (
            &["--log-level", "=x="],
            &text,
            2,
            "--log-level \"=x=\": \"\" is no level",
        ),
        (&[], &broken, 1, "broken.zip: not a zip file"),
        (&[], &text, 1, "text: not a JSON object of Base64 texts"),
        (&[], directory.path(), 1, "neither a set"),
    ];
    for (args, path, code, expected) in cases {
        let output = fate_serving(args, path);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(expected), "{expected}: {stderr}");
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(output.stdout.is_empty());
    }
    let output = Command::new(env!("CARGO_BIN_EXE_fate-serving"))
        .env("RUST_LOG", "=x=")
        .args(["model", "inspect", "."])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("RUST_LOG")
    );
}

#[test]
fn every_golden_model_is_servable() {
    let (code, report) = json(&[], &golden(""));
    let refused: Vec<_> = report["models"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|model| model["verdict"]["servable"] != true)
        .collect();
    assert_eq!((code, refused.len()), (Some(0), 0), "{refused:#?}");
    assert!(report["models"].as_array().unwrap().len() >= 40);
}
