//! `fate-serving doctor` as a process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod process;

use std::path::Path;

use fate_testkit::{Redis, ZooKeeper};
use serde_json::Value;

use crate::process::{run, stderr, stdout};

/// A file of properties.
fn written(folder: &Path, name: &str, lines: &[String]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

fn lines_of(arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let output = run(arguments);
    let lines = stdout(&output).lines().map(str::to_owned).collect();
    (output.status.code(), lines)
}

fn starts(lines: &[String], start: &str) -> bool {
    lines.iter().any(|line| line.starts_with(start))
}

#[test]
fn a_server_whose_things_are_there_and_one_whose_things_are_not() {
    let (Some(zookeeper), Some(redis)) =
        (ZooKeeper::start(), Redis::start_with_password("S3cret-1"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = |zookeeper: &str, password: &str| {
        let lines = [
            format!("zk.url={zookeeper}"),
            format!("model.cache.path={}", folder.path().display()),
            "remoteModelInferenceResultCacheSwitch=true".to_owned(),
            "cache.type=redis".to_owned(),
            "redis.ip=127.0.0.1".to_owned(),
            format!("redis.port={}", redis.port()),
            format!("redis.password={password}"),
        ];
        written(folder.path(), "server.properties", &lines)
    };
    let good = server(&zookeeper.address(), "S3cret-1");
    let (code, lines) = lines_of(&["doctor", "--config", &good]);
    assert!(starts(&lines, "ok   zookeeper: "), "{lines:?}");
    assert!(starts(&lines, "ok   redis: "), "{lines:?}");
    assert!(starts(&lines, "warn registered proxy: none"), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.contains(" disk: ")),
        "{lines:?}"
    );
    assert_eq!(code, Some(0), "{lines:?}");

    let closed = format!("127.0.0.1:{}", fate_testkit::free_port());
    let bad = server(&closed, "wrong-S3cret");
    let output = run(&["doctor", "--config", &bad, "--output", "json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let verdict = |what: &str| {
        let findings = said["findings"].as_array().unwrap();
        let found = findings.iter().find(|one| one["what"] == what);
        found.unwrap()["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (verdict("zookeeper").as_str(), verdict("redis").as_str()),
        ("fail", "warn")
    );
    for text in [stdout(&output), stderr(&output)] {
        assert!(!text.contains("S3cret"), "{text}");
    }
}

#[test]
fn a_proxy_s_routes_keys_and_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let closed = fate_testkit::free_port();
    let table = format!(
        r#"{{"route_table":{{"10000":{{"default":[{{"ip":"127.0.0.1","port":{closed}}}]}}}},"permission":{{"default_allow":true}}}}"#
    );
    std::fs::write(folder.path().join("table.json"), table).unwrap();
    let lines = [
        "useZkRouter=false".to_owned(),
        format!("proxy.state.path={}", folder.path().display()),
        format!("route.table={}", folder.path().join("table.json").display()),
        "auth.open=true".to_owned(),
        format!("auth.file={}", folder.path().join("none.json").display()),
    ];
    let config = written(folder.path(), "application.properties", &lines);
    let (code, lines) = lines_of(&["doctor", "--proxy-config", &config]);
    assert_eq!(code, Some(1), "{lines:?}");
    assert!(starts(&lines, "ok   route table: "), "{lines:?}");
    assert!(starts(&lines, "FAIL router: "), "{lines:?}");
    assert!(starts(&lines, "FAIL keys: "), "{lines:?}");
}

#[test]
fn both_files_of_a_node_have_lines_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let peer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = peer.local_addr().unwrap().port();
    let table = folder.path().join("table.json");
    let address = format!(r#"{{"ip":"127.0.0.1","port":{port}}}"#);
    let text = format!(r#"{{"route_table":{{"1":{{"default":[{address}]}}}},"permission":{{}}}}"#);
    std::fs::write(&table, text).unwrap();
    let path = folder.path().display();
    let closed = fate_testkit::free_port();
    let server = [
        format!("model.cache.path={path}"),
        format!("model.transfer.url=http://127.0.0.1:{closed}/v1/model/transfer"),
        "feature.single.adaptor=mock".to_owned(),
    ];
    let server = written(folder.path(), "server.properties", &server);
    let proxy = [
        "useZkRouter=false".to_owned(),
        "coordinator=9999".to_owned(),
        format!("proxy.state.path={path}"),
        format!("route.table={}", table.display()),
    ];
    let proxy = written(folder.path(), "application.properties", &proxy);
    let (code, lines) = lines_of(&["doctor", "--config", &server, "--proxy-config", &proxy]);
    assert_eq!(code, Some(0), "{lines:?}");
    for start in [
        "ok   server configuration: no warnings",
        "note server configuration: line 3: feature.single.adaptor gives the same",
        "note server configuration: neither proxy nor federation.hosts is set",
        "ok   proxy configuration: no warnings",
        "warn FATE-Flow: ",
    ] {
        assert!(starts(&lines, start), "{start}: {lines:?}");
    }
    for disk in [" server disk: ", " proxy disk: "] {
        let found = lines.iter().filter(|line| line.contains(disk)).count();
        assert_eq!(found, 1, "{lines:?}");
    }
    let reached = format!("ok   router: 127.0.0.1 {port}: takes connections");
    assert!(lines.contains(&reached), "{lines:?}");
}

#[test]
fn a_table_of_dead_addresses_and_this_proxy_s_own() {
    let folder = tempfile::tempdir().unwrap();
    // Documentation addresses answer nobody: one after the other would take minutes.
    let dead: Vec<String> = (1..=64)
        .map(|last| format!(r#"{{"ip":"192.0.2.{last}","port":8869}}"#))
        .collect();
    let table = format!(
        r#"{{"route_table":{{"1":{{"default":[{}]}},"2":{{"default":[{{"ip":"127.0.0.1","port":8869}}]}}}},"permission":{{}}}}"#,
        dead.join(",")
    );
    std::fs::write(folder.path().join("table.json"), table).unwrap();
    let keys = r#"{"self_party_id":"7","request_expire_seconds":8,"access_keys":[]}"#;
    std::fs::write(folder.path().join("keys.json"), keys).unwrap();
    let lines = [
        "useZkRouter=false".to_owned(),
        format!("proxy.state.path={}", folder.path().display()),
        format!("route.table={}", folder.path().join("table.json").display()),
        "auth.open=true".to_owned(),
        format!("auth.file={}", folder.path().join("keys.json").display()),
    ];
    let config = written(folder.path(), "application.properties", &lines);
    let started = std::time::Instant::now();
    let (code, lines) = lines_of(&["doctor", "--proxy-config", &config]);
    assert!(started.elapsed() < std::time::Duration::from_secs(60));
    assert_eq!(code, Some(1), "{lines:?}");
    let is_own = |line: &&String| line.contains("leads back to this proxy");
    assert!(lines.iter().any(|line| is_own(&line)), "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("FAIL keys: ") && line.contains("no key"))
    );
}

#[test]
fn what_cannot_be_read_is_wrong_usage() {
    assert_eq!(lines_of(&["doctor"]).0, Some(2));
    assert_eq!(lines_of(&["doctor", "--config", "/nowhere/x"]).0, Some(2));
}
