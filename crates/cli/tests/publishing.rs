//! `load`, `bind`, `models`, `unbind` and `unload` from outside: real servers of two parties, scored over HTTP.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod made_sets;
mod pair;
mod process;

use std::fs;
use std::net::TcpListener;
use std::process::Output;
use std::time::Duration;

use fate_registry::{Instance, Login, Offer, Registry, ZooKeeperSettings};
use fate_testkit::ZooKeeper;
use pair::Pair;
use process::{golden, run, stderr, stdout};
use serde_json::{Value, json};

fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    text
}

fn code_and_text(output: &Output) -> (Option<i32>, String) {
    let text = format!("{}{}", stdout(output), stderr(output));
    (output.status.code(), text)
}

#[test]
fn servings_of_the_command_line_and_models_of_fate_flows_cache() {
    let pair = Pair::start("lr_plain");
    let cache = pair.flow_cache();
    let load = pair.job("publish_load_model.json", json!({}));
    let bind = pair.job(
        "bind_model_service.json",
        json!({"service_id": "lr-test", "servings": []}),
    );
    for (party, node) in [("guest:9999", &pair.guest), ("host:10000", &pair.host)] {
        let text = succeed(&[
            "load",
            "-c",
            &load,
            "--models",
            &cache,
            "--party",
            party,
            "--servings",
            &node.grpc,
        ]);
        let namespace = party.replace(':', "#");
        assert!(
            text.starts_with(&format!("{}  loaded  {namespace}#", node.grpc)),
            "{text}"
        );
        assert!(
            text.contains("servable: binary logistic regression"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    let text = succeed(&["bind", "-c", &bind, "--servings", &pair.guest.grpc]);
    assert!(text.contains("  bound  guest#9999#"), "{text}");
    pair.assert_scores("lr-test", 20);

    let both = format!("{},{}", pair.guest.grpc, pair.host.grpc);
    let text = succeed(&["models", "--servings", &both]);
    assert!(
        text.contains(&format!("{}  1 models\n  guest#9999#", pair.guest.grpc)),
        "{text}"
    );
    assert!(
        text.contains("service ids lr-test, binary logistic regression (semantics fate)"),
        "{text}"
    );
    assert!(
        text.contains(&format!("{}  1 models\n  host#10000#", pair.host.grpc)),
        "{text}"
    );

    // Each serving is asked for what it holds only.
    let text = succeed(&["unbind", "-c", &bind, "--servings", &both]);
    assert!(
        text.contains(&format!("{}  unbound", pair.guest.grpc)),
        "{text}"
    );
    assert!(
        text.contains(&format!("{}  skipped", pair.host.grpc)),
        "{text}"
    );
    assert_eq!(pair.infer("lr-test", json!({}), "1")["retcode"], 104);
    let text = succeed(&["unload", "-c", &load, "--servings", &both]);
    assert_eq!(text.matches("  unloaded  ").count(), 2, "{text}");
    assert_eq!(text.matches("  skipped  ").count(), 2, "{text}");
    let again = run(&[
        "unload",
        "-c",
        &load,
        "--servings",
        &both,
        "--output",
        "json",
    ]);
    assert_eq!(again.status.code(), Some(1), "nothing was there");
    let json: Value = serde_json::from_str(&stdout(&again)).unwrap();
    assert_eq!(json["success"], false);
    assert_eq!(json["servings"].as_array().unwrap().len(), 4);
}

#[test]
fn servings_of_the_jobs_file_and_models_of_exports() {
    let pair = Pair::start("sbt_binary");
    let archives: Vec<String> = pair
        .set
        .parties
        .iter()
        .map(|party| {
            let name = format!("{}_{}.zip", party.key.namespace, party.key.table_name);
            let path = pair.path(&name);
            made_sets::write_archive(&path, &party.buffers);
            path.to_str().unwrap().to_owned()
        })
        .collect();
    // As at one party: what is not at hand is passed over.
    for (archive, node) in archives.iter().zip([&pair.guest, &pair.host]) {
        let job = pair.job("load.json", json!({"servings": [node.grpc]}));
        let text = succeed(&["load", "-c", &job, "--models", archive]);
        assert!(text.contains(&format!("{}  loaded  ", node.grpc)), "{text}");
        assert!(text.contains("-  skipped  "), "{text}");
    }
    let bind = pair.job(
        "bind.json",
        json!({"service_id": 12345, "servings": [pair.guest.grpc]}),
    );
    let text = succeed(&["bind", "-c", &bind, "--output", "json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["success"], true);
    assert_eq!(json["servings"][0]["serving"], pair.guest.grpc);
    assert_eq!(json["servings"][0]["outcome"], "done");
    pair.assert_scores("12345", 20);
}

#[test]
fn servings_of_fate_flows_configuration() {
    let pair = Pair::start("lr_plain");
    let models = golden("lr_plain");
    let models = models.to_str().unwrap();
    let load = pair.job("load.json", json!({}));
    let bind = pair.job(
        "bind.json",
        json!({"service_id": "lr-test", "servings": []}),
    );
    // All parties at both servings, as in FATE's standalone mode.
    let nested = pair.path("server_conf.json");
    let servings = json!({"servers": {"servings": [pair.guest.grpc, pair.host.grpc]}});
    fs::write(&nested, servings.to_string()).unwrap();
    let nested = nested.to_str().unwrap();
    let text = succeed(&[
        "load",
        "-c",
        &load,
        "--models",
        models,
        "--flow-conf",
        nested,
    ]);
    assert_eq!(text.matches("  loaded  ").count(), 4, "{text}");
    let yaml = pair.path("service_conf.yaml");
    let servings = format!(
        "use_registry: false\nservings:\n  hosts:\n  - {}\n",
        pair.guest.grpc
    );
    fs::write(&yaml, servings).unwrap();
    succeed(&["bind", "-c", &bind, "--flow-conf", yaml.to_str().unwrap()]);
    pair.assert_scores("lr-test", 10);
}

/// What a serving has in ZooKeeper, as the registry writes it.
async fn registered(zookeeper: &str, serving: &str, login: Option<(&str, &str)>) -> Registry {
    let port = serving.rsplit_once(':').unwrap().1.parse().unwrap();
    let settings = ZooKeeperSettings {
        instance: Some(Instance {
            host: "127.0.0.1".to_owned(),
            port,
        }),
        login: login.map(|(user, password)| Login {
            user: user.to_owned(),
            password: password.to_owned(),
        }),
        ..ZooKeeperSettings::new(zookeeper.parse().unwrap(), "serving")
    };
    let registry = Registry::open(settings);
    let offers = ["publishLoad", "publishBind"]
        .map(|service| Offer::grpc("serving", "online", service).unwrap());
    let revision = registry.announce(offers.into());
    let patience = Duration::from_secs(60);
    assert!(
        registry.settled(revision, patience).await,
        "{:?}",
        registry.state()
    );
    registry
}

#[tokio::test(flavor = "multi_thread")]
async fn servings_of_zookeeper_with_and_without_acl() {
    let pair = Pair::start("lr_plain");
    let models = golden("lr_plain");
    let models = models.to_str().unwrap();
    let load = pair.job("load.json", json!({}));
    for (number, login) in [None, Some(("fate_dev", "geheim"))].into_iter().enumerate() {
        let Some(zookeeper) = ZooKeeper::start() else {
            return;
        };
        let address = zookeeper.address();
        let _guest = registered(&address, &pair.guest.grpc, login).await;
        let host = registered(&address, &pair.host.grpc, login).await;
        let conf = |login: Option<(&str, &str)>| {
            let (user, password) = login.unwrap_or_default();
            let path = pair.path("base_conf.yaml");
            let text = format!(
                "use_registry: true\nzookeeper:\n  hosts:\n    - {address}\n  use_acl: {}\n  user: {user}\n  password: {password}\n",
                login.is_some()
            );
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let base_conf = conf(login);
        let text = succeed(&[
            "load",
            "-c",
            &load,
            "--models",
            models,
            "--flow-conf",
            &base_conf,
        ]);
        assert_eq!(
            text.matches("  loaded  ").count(),
            4,
            "both parties at both servings: {text}"
        );
        // Now the guest's serving alone is registered.
        host.close(Duration::from_secs(10)).await;
        let service_id = format!("lr-{number}");
        let bind = pair.job(
            "bind.json",
            json!({"service_id": service_id, "servings": []}),
        );
        let text = succeed(&["bind", "-c", &bind, "--flow-conf", &base_conf]);
        assert_eq!(text.lines().count(), 1, "{text}");
        pair.assert_scores(&service_id, 5);

        if login.is_some() {
            for wrong in [None, Some(("fate_dev", "falsch"))] {
                let output = run(&["models", "--flow-conf", &conf(wrong)]);
                let (code, text) = code_and_text(&output);
                assert_eq!(code, Some(1), "{text}");
                assert!(text.contains("cannot be read"), "{text}");
                assert!(
                    !text.contains("falsch") && !text.contains("geheim"),
                    "{text}"
                );
            }
        }
    }
    let nobody = pair.path("nobody.yaml");
    fs::write(
        &nobody,
        "use_registry: true\nzookeeper: {hosts: ['127.0.0.1:1']}\n",
    )
    .unwrap();
    let nobody = nobody.to_str().unwrap();
    let output = run(&["models", "--flow-conf", nobody, "--timeout", "5"]);
    let (code, text) = code_and_text(&output);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("ZooKeeper at 127.0.0.1:1"), "{text}");
}

#[test]
fn one_failing_serving_does_not_stop_the_others() {
    let pair = Pair::start("lr_plain");
    let models = golden("lr_plain");
    let models = models.to_str().unwrap();
    let load = pair.job("load.json", json!({}));
    // A port that was free a moment ago; nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap().to_string();
    drop(free);
    let both = format!("{nobody},{}", pair.guest.grpc);
    let output = run(&[
        "load",
        "-c",
        &load,
        "--models",
        models,
        "--party",
        "guest:9999",
        "--servings",
        &both,
    ]);
    let (code, text) = code_and_text(&output);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("{nobody}  FAILED  ")), "{text}");
    assert!(text.contains("onnection refused"), "{text}");
    assert!(
        text.contains(&format!("{}  loaded  ", pair.guest.grpc)),
        "{text}"
    );

    // A bind of a model that is not there, in the server's own words.
    let bind = pair.job("bind.json", json!({"service_id": "lr-test"}));
    let output = run(&["bind", "-c", &bind, "--servings", &pair.host.grpc]);
    let (code, text) = code_and_text(&output);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("FAILED") && text.contains("104 model "),
        "{text}"
    );
    assert!(text.contains("is not exist"), "{text}");
    let output = run(&["models", "--servings", &both]);
    let (code, text) = code_and_text(&output);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&format!("{nobody}  FAILED: ")), "{text}");
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let job = r#"{"initiator": {"role": "guest", "party_id": "9999"}, "role": {"guest": ["9999"]},
        "job_parameters": {"model_id": "m", "model_version": "v"}, "servings": SERVINGS}"#;
    let good = file("good.json", &job.replace("SERVINGS", "[]"));
    let blank = file("blank.json", &job.replace("SERVINGS", r#"["nowhere"]"#));
    let empty = file("empty.json", "{}");
    let conf = file("service_conf.yaml", "use_registry: false\n");
    let models = golden("lr_plain");
    let models = models.to_str().unwrap();
    let with = |command: &[&str], expected: &str| {
        let (code, text) = code_and_text(&run(command));
        assert_eq!(code, Some(2), "{command:?}: {text}");
        assert!(text.contains(expected), "{command:?}: {text}");
    };
    with(
        &["load", "-c", "nowhere.json"],
        "nowhere.json: cannot be read",
    );
    with(
        &["load", "-c", &empty],
        "required parameters are missing: initiator",
    );
    with(&["load", "-c", &good], "say with --models");
    with(
        &["load", "-c", &good, "--models", models, "--servings", "a:1"],
        "holds none of the job's models, but version ",
    );
    with(
        &["load", "-c", &good, "--party", "host:1"],
        "no such party in the job, it has: guest:9999",
    );
    with(
        &["load", "-c", &good, "--listen", "0.0.0.0"],
        "servings cannot call 0.0.0.0",
    );
    with(&["bind", "-c", &good], "no service id");
    with(
        &["bind", "-c", &good, "--service-id", "s"],
        "please configure servings",
    );
    with(
        &[
            "bind",
            "-c",
            &good,
            "--service-id",
            "s",
            "--flow-conf",
            &conf,
        ],
        "please configure servings",
    );
    with(
        &["bind", "-c", &blank, "--service-id", "s"],
        "`nowhere` is not an address",
    );
    with(&["unload"], "required");
    with(&["unload", "guest#1#m"], "required");
    with(&["models"], "please configure servings");
}
