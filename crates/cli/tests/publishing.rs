//! `load`, `bind`, `models`, `unbind` and `unload` from outside: real servers of two parties, scored over HTTP.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod made_sets;
mod pair;
mod process;

use std::fs;
use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use fate_golden::Set;
use fate_registry::{Login, ZooKeeperSettings};
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

/// The guide's second way: servings register themselves, and the command finds them as FATE-Flow does.
#[tokio::test(flavor = "multi_thread")]
async fn servings_of_zookeeper_with_and_without_acl() {
    for login in [None, Some(("fate_dev", "geheim"))] {
        let Some(zookeeper) = ZooKeeper::start() else {
            return;
        };
        servings_of_a_zookeeper(&zookeeper.address(), login).await;
    }
}

async fn servings_of_a_zookeeper(address: &str, login: Option<(&str, &str)>) {
    let acl = login.map_or(String::new(), |(user, password)| {
        format!("acl.enable=true\nacl.username={user}\nacl.password={password}\n")
    });
    let pair = Pair::start_with(
        "lr_plain",
        &format!("zk.url={address}\nregister.ip=127.0.0.1\nregistry.cache.path=.\n{acl}"),
    );
    are_registered(address, login, 2).await;
    let models = golden("lr_plain");
    let models = models.to_str().unwrap();
    let load = pair.job("load.json", json!({}));
    let bind = pair.job(
        "bind.json",
        json!({"service_id": "lr-test", "servings": []}),
    );
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
    let arguments = [
        "load",
        "-c",
        &load,
        "--models",
        models,
        "--flow-conf",
        &base_conf,
    ];
    let text = succeed(&arguments);
    let loaded = text.matches("  loaded  ").count();
    assert_eq!(loaded, 4, "both parties at both servings: {text}");
    let text = succeed(&["bind", "-c", &bind, "--flow-conf", &base_conf]);
    assert_eq!(text.matches("  bound  ").count(), 2, "{text}");
    pair.assert_scores("lr-test", 20);

    if login.is_none() {
        return;
    }
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

/// Waits for that many serving-servers.
async fn are_registered(address: &str, login: Option<(&str, &str)>, count: usize) {
    let settings = ZooKeeperSettings {
        login: login.map(|(user, password)| Login {
            user: user.to_owned(),
            password: password.to_owned(),
        }),
        ..ZooKeeperSettings::new(address.parse().unwrap(), "client")
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let tree = fate_registry::tree::read(&settings).await.unwrap();
        if tree.components.len() == count {
            return;
        }
        assert!(Instant::now() < deadline, "{tree:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_zookeeper_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let nobody = directory.path().join("nobody.yaml");
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
    let good_with = |from: &str, to: &str| job.replace("SERVINGS", "[]").replacen(from, to, 1);
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
    let stranger = good_with(r#""role": "guest""#, r#""role": "host""#);
    let stranger = file("stranger.json", &stranger);
    for command in ["load", "bind", "unbind", "unload"] {
        with(
            &[command, "-c", &stranger],
            "the initiator host:9999 is not one of the parties in role: guest:9999",
        );
    }
    let host = good_with(r#""role": "guest""#, r#""role": "host""#);
    let host = host.replace(r#"{"guest": ["#, r#"{"host": ["9999"], "guest": ["#);
    let host = file("host.json", &host);
    for command in ["bind", "unbind"] {
        with(
            &[command, "-c", &host, "--service-id", "s"],
            "the initiator is host:9999; the job's guests: guest:9999",
        );
    }
    let nothing = file("nothing.zip", "");
    with(
        &["load", "-c", &good, "--models", &nothing],
        "nothing.zip is empty",
    );
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

/// Files from elsewhere: a clear refusal in a short time, whatever is in them.
#[test]
fn hostile_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let job = |party_id: &str, model_id: &str, version: &str| {
        json!({
            "initiator": {"role": "guest", "party_id": party_id},
            "role": {"guest": [party_id]},
            "job_parameters": {"model_id": model_id, "model_version": version},
        })
        .to_string()
    };
    let refused = |arguments: &[&str], expected: &str| {
        let began = Instant::now();
        let (code, text) = code_and_text(&run(arguments));
        assert!(
            matches!(code, Some(1 | 2)),
            "{arguments:?}: {code:?} {text}"
        );
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(text.len() < 4000, "{arguments:?}: {} bytes", text.len());
        let spent = began.elapsed();
        assert!(spent < Duration::from_secs(10), "{arguments:?}: {spent:?}");
    };

    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let folder = directory.path().to_str().unwrap();
    let deep = file("deep.json", "[".repeat(50_000).as_bytes());
    let deep_role = format!("{{\"initiator\":{}", "{\"a\":".repeat(10_000));
    let deep_role = file("deep_role.json", deep_role.as_bytes());
    for (path, expected) in [
        (deep.as_str(), "not a JSON object"),
        (&deep_role, "not a JSON object"),
        (&file("bytes.json", b"\xff\xfe{"), "cannot be read"),
        (&file("large.json", &vec![b' '; 2 << 20]), "larger than"),
        (
            &file("cut.json", &job("1", "m", "v").as_bytes()[..40]),
            "not a JSON object",
        ),
        (&file("null.json", b"null"), "not a JSON object"),
        (folder, "not a regular file"),
        ("/dev/zero", "not a regular file"),
        (pipe.to_str().unwrap(), "not a regular file"),
    ] {
        for command in ["load", "bind", "unbind", "unload"] {
            refused(
                &[command, "-c", path, "--servings", "127.0.0.1:1"],
                expected,
            );
        }
    }

    // Names that lead out of the model cache find nothing there.
    let cache = directory.path().join("model_local_cache");
    fs::create_dir_all(cache.join("guest#1#m/1")).unwrap();
    let secret = directory.path().join("secret");
    let set = Set::open(golden("lr_plain")).unwrap();
    made_sets::write_flow_folder(&secret.join("1"), &set.guest().buffers);
    let cache = cache.to_str().unwrap();
    for (party_id, model_id, version) in [
        ("1", "m/../../secret", "1"),
        ("../../../secret", "m", "1"),
        ("1", "m", "../../secret/1"),
        ("1", "m", secret.join("1").to_str().unwrap()),
        ("1\u{0}", "m", "1"),
    ] {
        let path = file("job.json", job(party_id, model_id, version).as_bytes());
        refused(
            &[
                "load",
                "-c",
                &path,
                "--models",
                cache,
                "--servings",
                "127.0.0.1:1",
            ],
            "skipped",
        );
    }

    let good = file("good.json", job("1", "m", "1").as_bytes());
    let laughs: String = (0..9)
        .map(|level| {
            let item = if level == 0 {
                "lol".to_owned()
            } else {
                format!("*a{}", level - 1)
            };
            format!("a{level}: &a{level} [{}]\n", vec![item; 9].join(","))
        })
        .collect();
    for (yaml, expected) in [
        (laughs.as_bytes(), "conf.yaml"),
        ("[".repeat(10_000).as_bytes(), "conf.yaml"),
        ("- ".repeat(20_000).as_bytes(), "conf.yaml"),
        (b"servings: {hosts: [1, 2]}", "host:port"),
        (b"servings: {hosts: [[['a:b']]]}", "not an address"),
        (
            b"use_registry: true\nzookeeper: {hosts: 'no port'}",
            "host:port",
        ),
        (b"use_registry: true\nzookeeper: []", "zookeeper"),
        (b"\t\t: \x00", "conf.yaml"),
        (b"\xff", "cannot be read"),
    ] {
        let conf = file("conf.yaml", yaml);
        let arguments = [
            "bind",
            "-c",
            &good,
            "--service-id",
            "s",
            "--flow-conf",
            &conf,
        ];
        refused(&arguments, expected);
    }

    for (name, bytes) in [
        ("garbage.zip", &b"PK\x03\x04garbage"[..]),
        ("empty.zip", b""),
        (
            "end.zip",
            b"PK\x05\x06\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00",
        ),
        ("text.zip", b"{\"a\": "),
    ] {
        let archive = file(name, bytes);
        let arguments = [
            "load",
            "-c",
            &good,
            "--models",
            &archive,
            "--servings",
            "127.0.0.1:1",
        ];
        refused(&arguments, name);
    }
}
