//! What the HTTP controllers of contract 01 §9.5 do, through the port, at the nodes that they name.

use fate_domain::model_key::ModelKey;
use fate_server::{Config, Embedding, LogLevels, Server};
use fate_testkit::ZooKeeper;
use serde_json::{Value, json};
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::cluster::{Node, http, pair};
use crate::edges::FLAT;
use crate::example::{GUEST, VERSION};
use crate::registered::{Keys, PATIENCE, tree_of};

const UNBIND: &str = "POST /server/model/unbind";
const TRANSFER: &str = "POST /server/model/transfer";
const WEIGHT: &str = "POST /server/service/weight/update";

async fn told(node: &Node, call: &str, body: &Value) -> (u16, Value) {
    let (status, text) = http(node.http(), call, body.to_string().as_bytes()).await;
    let answer = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{call}: {text}"));
    (status, answer)
}

/// Code and text of an answer that is no error of the controller itself.
async fn done(node: &Node, call: &str, body: &Value) -> (i64, String) {
    let (status, answer) = told(node, call, body).await;
    assert_eq!(status, 200, "{answer}");
    let text = answer["retmsg"].as_str().unwrap().to_owned();
    (answer["retcode"].as_i64().unwrap(), text)
}

#[tokio::test]
async fn a_service_id_is_unbound_at_the_node_that_is_named() {
    let pair = pair(&[], &[]).await;
    let other = Node::start(&[]).await;
    assert_eq!(pair.guest.infer(FLAT).await["retcode"], 0);
    let request = json!({
        // The admin pages send ports as texts.
        "host": "127.0.0.1", "port": pair.guest.grpc().port().to_string(),
        "tableName": VERSION, "namespace": GUEST, "serviceIds": ["lr-test"],
    });
    // Whoever is asked, the named node does it.
    assert_eq!(done(&other, UNBIND, &request).await, (0, String::new()));
    assert_eq!(pair.guest.infer(FLAT).await["retcode"], 104);
    let again = (104, "unbind request info is error".to_owned());
    assert_eq!(done(&other, UNBIND, &request).await, again);
}

#[tokio::test]
async fn a_model_is_transferred_to_the_target() {
    let pair = pair(&[("model.synchronize", "true")], &[]).await;
    let target = Node::start(&[("model.synchronize", "true")]).await;
    let closed = Node::start(&[]).await;
    let request = |to: &Node| {
        json!({
            "host": "127.0.0.1", "port": pair.guest.grpc().port(),
            "targetHost": "127.0.0.1", "targetPort": to.grpc().port(),
            "tableName": VERSION, "namespace": GUEST,
        })
    };
    let (code, text) = done(&pair.host, TRANSFER, &request(&target)).await;
    assert_eq!(code, 0, "{text}");
    let key = ModelKey::new(VERSION, GUEST);
    let models = target.server.models().snapshot();
    assert!(models.model(&key).is_some());
    let (code, text) = done(&pair.host, TRANSFER, &request(&closed)).await;
    assert_ne!(code, 0, "{text}");
    assert!(closed.server.models().snapshot().model(&key).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weight_is_changed_in_the_registry() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let node = Keys::of(zookeeper.address()).start(&[]).await;
    let leaf = async || {
        let mut leaves = tree_of(&zookeeper).await.leaves.into_iter();
        leaves.find(|leaf| leaf.service == "publishLoad")
    };
    let reached = async {
        loop {
            match leaf().await {
                Some(leaf) => break leaf.text,
                None => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    };
    let url = tokio::time::timeout(PATIENCE, reached).await.unwrap();
    let request = |weight: Value| json!({"host": "127.0.0.1", "port": node.grpc().port(), "url": url, "weight": weight});
    // Without a weight nothing changes.
    let same = (0, "no change".to_owned());
    assert_eq!(done(&node, WEIGHT, &request(Value::Null)).await, same);
    assert_eq!(
        done(&node, WEIGHT, &request(json!("40"))).await,
        (0, "success".to_owned())
    );
    let changed = async {
        let expected = format!("{url}&weight=40");
        while leaf().await.is_none_or(|leaf| leaf.text != expected) {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, changed).await.unwrap();
    let gone = (126, "no node".to_owned());
    assert_eq!(done(&node, WEIGHT, &request(json!(50))).await, gone);
}

#[tokio::test]
async fn parameters_that_are_missing_or_wrong_are_named_as_spring_does() {
    let node = Node::start(&[]).await;
    let port = node.grpc().port();
    let blank = |name: &str| format!("parameter {name} is blank");
    let model = json!({"tableName": "t", "namespace": "n", "serviceIds": ["s"]});
    let with = |more: Value| {
        let mut all = model.clone();
        all.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        all
    };
    let wrong_port = || "parameter port was wrong".to_owned();
    let invalid = || "invalid address".to_owned();
    let cases = [
        (UNBIND, json!({}), blank("tableName")),
        (UNBIND, json!({"tableName": "t"}), blank("namespace")),
        (
            UNBIND,
            json!({"tableName": "t", "namespace": "n"}),
            blank("serviceId"),
        ),
        (UNBIND, model.clone(), blank("host")),
        (UNBIND, with(json!({"host": " "})), blank("host")),
        (UNBIND, with(json!({"host": "127.0.0.1"})), wrong_port()),
        (
            UNBIND,
            with(json!({"host": "127.0.0.1", "port": ""})),
            wrong_port(),
        ),
        (
            UNBIND,
            with(json!({"host": "127.0.0.1", "port": 0})),
            wrong_port(),
        ),
        (
            UNBIND,
            with(json!({"host": "127.0.0.1", "port": 70000})),
            invalid(),
        ),
        (
            UNBIND,
            with(json!({"host": "localhost", "port": port})),
            invalid(),
        ),
        (TRANSFER, json!({}), blank("tableName")),
        (
            TRANSFER,
            with(json!({"host": "127.0.0.1", "port": port})),
            blank("host"),
        ),
        (
            WEIGHT,
            json!({"host": "127.0.0.1", "port": port}),
            blank("url"),
        ),
        (WEIGHT, json!({"url": "grpc://x"}), blank("host")),
    ];
    for (call, body, message) in cases {
        let (status, answer) = told(&node, call, &body).await;
        let path = call.split_once(' ').unwrap().1;
        assert_eq!(
            (
                status,
                &answer["status"],
                &answer["message"],
                &answer["path"]
            ),
            (500, &json!(500), &json!(message), &json!(path)),
            "{body}: {answer}"
        );
    }
    for body in [
        r#"{"port":"eight"}"#,
        r#"{"port":1.5}"#,
        r#"{"port":[1]}"#,
        "[]",
        "{",
        "",
    ] {
        let (status, text) = http(node.http(), UNBIND, body.as_bytes()).await;
        assert_eq!(status, 400, "{body}: {text}");
    }
    // Java has no such path, so a wrong value there is what HTTP calls it.
    const SEMANTICS: &str = "POST /server/model/semantics";
    for (body, message) in [
        (json!({}), blank("tableName")),
        (
            json!({"tableName": "t", "namespace": "n"}),
            blank("semantics"),
        ),
        (
            json!({"tableName": "t", "namespace": "n", "semantics": "python"}),
            "python".to_owned(),
        ),
    ] {
        let (status, answer) = told(&node, SEMANTICS, &body).await;
        assert_eq!((status, &answer["status"]), (400, &json!(400)), "{answer}");
        let said = answer["message"].as_str().unwrap();
        assert!(said.contains(&message), "{answer}");
    }
    let (status, _) = http(node.http(), "GET /server/model/unbind", b"").await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn log_levels_are_changed_in_place() {
    let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(EnvFilter::new("info"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let pairs = [
        ("port", "0"),
        ("server.port", "0"),
        ("model.cache.path", path.as_str()),
    ];
    let mut config = Config::from_pairs(pairs).unwrap();
    config.bind = std::net::Ipv4Addr::LOCALHOST.into();
    let levels = LogLevels::new("info", handle);
    let embedding = Embedding {
        log_levels: Some(levels.clone()),
        ..Embedding::default()
    };
    let server = Server::start_with(config, embedding).await.unwrap();
    let address = server.http_addr.unwrap();
    let in_force = || format!("{levels:?}");
    for (question, answer, expected) in [
        ("alterSysLogLevel/WARN", "ok", r#"LogLevels("warn")"#),
        ("alterSysLogLevel/loud", "failed", r#"LogLevels("warn")"#),
        (
            "alterPkgLogLevel?level=debug&pkgName=fate_model",
            "ok",
            r#"LogLevels("warn,fate_model=debug")"#,
        ),
        (
            "alterPkgLogLevel?level=debug",
            "failed",
            r#"LogLevels("warn,fate_model=debug")"#,
        ),
        (
            "alterSysLogLevel/info",
            "ok",
            r#"LogLevels("info,fate_model=debug")"#,
        ),
        (
            "alterSysLogLevel/Debug",
            "ok",
            r#"LogLevels("info,fate=debug,flow=debug,fate_model=debug")"#,
        ),
    ] {
        let answered = http(address, &format!("GET /server/{question}"), b"").await;
        assert_eq!(answered, (200, answer.to_owned()), "{question}");
        assert_eq!(in_force(), expected, "{question}");
    }
    drop(filter);
}
