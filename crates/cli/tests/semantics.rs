//! `fate-serving model semantics` from outside: a store, and a running server.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod process;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fate_golden::PartyModel;
use fate_model::{Models, Settings};
use fate_proto::model as wire;
use fate_proto::model::model_service_client::ModelServiceClient;
use process::{Running, golden, port, run, stderr, stdout};
use serde_json::Value;

/// A guest whose two semantics differ: FATE-Serving 2.1.7 ignores woe.
fn guest() -> PartyModel {
    PartyModel::open(golden("lr_binning_woe").join("guest_9999")).unwrap()
}

/// A store with the guest's model, as a server leaves it.
async fn store(directory: &Path) {
    let guest = guest();
    let buffers: serde_json::Map<String, Value> = guest
        .buffers
        .iter()
        .map(|(key, buffer)| (key.clone(), STANDARD.encode(buffer).into()))
        .collect();
    let file = directory.join("cache");
    fs::write(&file, Value::from(buffers).to_string()).unwrap();
    let mut settings = Settings::new(directory);
    settings.import_path = vec![directory.to_owned()];
    let (models, _) = Models::open(settings).await.unwrap();
    let host = guest.key.namespace.replacen("guest#9999", "host#10000", 1);
    let party = |role: &str, id: &str, namespace: &str| {
        let info = wire::ModelInfo {
            table_name: guest.key.table_name.clone(),
            namespace: namespace.to_owned(),
        };
        let ids = wire::Party {
            party_id: vec![id.to_owned()],
        };
        let infos = wire::RoleModelInfo {
            role_model_info: HashMap::from([(id.to_owned(), info)]).into_iter().collect(),
        };
        ((role.to_owned(), ids), (role.to_owned(), infos))
    };
    let (roles, models_of): (Vec<_>, Vec<_>) = [
        party("guest", "9999", &guest.key.namespace),
        party("host", "10000", &host),
    ]
    .into_iter()
    .unzip();
    let request = wire::PublishRequest {
        local: Some(wire::LocalInfo {
            role: "guest".to_owned(),
            party_id: "9999".to_owned(),
        }),
        role: roles.into_iter().collect(),
        model: models_of.into_iter().collect(),
        load_type: "CACHE".to_owned(),
        file_path: file.to_str().unwrap().to_owned(),
        ..wire::PublishRequest::default()
    };
    models.load(&request).await.unwrap();
}

fn change(directory: &Path, semantics: &str, extra: &[&str]) -> Output {
    let key = guest().key;
    let store = directory.to_str().unwrap();
    let mut arguments = vec![
        "model",
        "semantics",
        &key.namespace,
        &key.table_name,
        semantics,
    ];
    if extra.is_empty() {
        arguments.extend(["--store", store]);
    }
    arguments.extend(extra);
    run(&arguments)
}

/// What queryModel says of the only model.
async fn verdict(grpc: u16) -> Value {
    let mut client = ModelServiceClient::connect(format!("http://127.0.0.1:{grpc}"))
        .await
        .unwrap();
    let answer = client
        .query_model(wire::QueryModelRequest::default())
        .await
        .unwrap()
        .into_inner();
    let content: Value = serde_json::from_str(&answer.model_infos[0].content).unwrap();
    content["verdict"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_and_a_running_server_change_and_keep_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    store(path).await;
    let name = guest().key.store_name();

    let output = change(path, "java", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        format!("model {name}: semantics fate -> java\n")
    );
    let again = change(path, "java", &[]);
    assert_eq!(again.status.code(), Some(0));
    assert!(stdout(&again).contains("has semantics java already"));

    let config = path.join("node.properties");
    fs::write(&config, "port=0\nserver.port=0\nmodel.cache.path=.\n").unwrap();
    let server = ["server", "--config", config.to_str().unwrap()];
    let mut running = Running::with_log(&server, path);
    let ready = running.wait_for("takes calls");
    let (grpc, http) = (port(&ready, "grpc_addr="), port(&ready, "http_addr="));
    let said = verdict(grpc).await;
    assert_eq!(said["semantics"], "java");

    let held = change(path, "fate", &[]);
    assert_eq!(held.status.code(), Some(1));
    assert!(stderr(&held).contains("in use"), "{}", stderr(&held));
    assert!(stderr(&held).contains("--server"), "{}", stderr(&held));
    assert_eq!(verdict(grpc).await["semantics"], "java");

    let http = format!("127.0.0.1:{http}");
    let asked = change(path, "fate", &["--server", &http]);
    assert_eq!(asked.status.code(), Some(0), "{}", stderr(&asked));
    assert_eq!(
        stdout(&asked),
        format!("model {name}: semantics java -> fate\n")
    );
    let said = verdict(grpc).await;
    assert_eq!(said["semantics"], "fate");
    assert_eq!(
        said["features"],
        serde_json::json!(["credit_limit", "education"])
    );
    assert!(
        said["differences"][0].as_str().unwrap().contains("woe"),
        "{said}"
    );
    let missing = run(&[
        "model",
        "semantics",
        "guest#1#x",
        "v",
        "java",
        "--server",
        &http,
    ]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("104 model v_guest#1#x is not exist"));
    running.signal("KILL");
    running.finish();

    let mut running = Running::with_log(&server, path);
    let ready = running.wait_for("takes calls");
    let said = verdict(port(&ready, "grpc_addr=")).await;
    assert_eq!(said["semantics"], "fate", "it survives kill -9");
}

#[test]
fn wrong_names_and_stores_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = change(directory.path(), "java", &[]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(stderr(&nowhere).contains("there is no model store"));
    assert!(!directory.path().join(".fate").exists());
    let wrong = change(directory.path(), "python", &[]);
    assert_eq!(wrong.status.code(), Some(2));
    let both = ["--store", ".", "--server", "127.0.0.1:1"];
    assert_eq!(
        change(directory.path(), "java", &both).status.code(),
        Some(2)
    );
}
