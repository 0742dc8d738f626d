//! `fate-serving registry ls` and `watch` from outside, against a real ZooKeeper.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod process;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use fate_registry::{Instance, Login, Offer, Registry, ZooKeeperSettings};
use fate_testkit::ZooKeeper;
use process::{fate_serving, run, stderr, stdout};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

fn node(address: &str, login: Option<&str>) -> Registry {
    let mut settings = ZooKeeperSettings::new(address.parse().unwrap(), "serving");
    settings.instance = Some(Instance {
        host: "192.0.2.7".to_owned(),
        port: 8000,
    });
    settings.login = login.map(|password| Login {
        user: "fate".to_owned(),
        password: password.to_owned(),
    });
    Registry::open(settings)
}

async fn announce(node: &Registry, services: &[&str]) {
    let offer = |service: &&str| Offer::grpc("serving", "lr-test", service).unwrap();
    let offers: BTreeSet<Offer> = services.iter().map(offer).collect();
    assert!(
        node.settled(node.announce(offers), PATIENCE).await,
        "{:?}",
        node.state()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ls_shows_services_weights_and_owners() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let address = server.address();
    let node = node(&address, Some("secret"));
    announce(&node, &["inference"]).await;

    let closed = run(&["registry", "ls", "--zk", &address]);
    assert_eq!(closed.status.code(), Some(1));
    assert!(
        stderr(&closed).contains("not authorized"),
        "{}",
        stderr(&closed)
    );

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let login = ["--user", "fate", "--password-file", file.to_str().unwrap()];
    let text = run(&[&["registry", "ls", "--zk", &address][..], &login].concat());
    let text = stdout(&text);
    let line = text.lines().find(|line| line.contains("lr-test")).unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(
        cells,
        [
            "serving",
            "lr-test",
            "inference",
            "192.0.2.7:8000",
            "100",
            "216",
            "serving",
            "192.0.2.7:8000"
        ]
    );

    let json = run(&[
        &["registry", "ls", "--output", "json", "--zk", &address][..],
        &login,
    ]
    .concat());
    let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
    let service = &json["services"][0];
    assert_eq!(service["owner"], "serving 192.0.2.7:8000");
    assert_eq!(service["weight"], 100);
    assert_eq!(json["components"][0]["data"]["version"], 216);
    assert_eq!(json["components"][0]["session"], service["session"]);

    let other = run(&[
        &[
            "registry",
            "ls",
            "--output",
            "json",
            "--project",
            "proxy",
            "--zk",
            &address,
        ][..],
        &login,
    ]
    .concat());
    let other: Value = serde_json::from_str(&stdout(&other)).unwrap();
    assert_eq!(other["services"], serde_json::json!([]));
    node.close(PATIENCE).await;
}

/// Lines of a running command. It is killed at the end.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_shows_what_comes_and_goes() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let address = server.address();
    let node = node(&address, None);
    announce(&node, &["inference"]).await;
    let child = fate_serving(&["registry", "watch", "--output", "json", "--zk", &address])
        .stdout(Stdio::piped())
        .spawn();
    let mut watching = Watching(child.unwrap());
    let output = watching.0.stdout.take().unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let _ = sender.send(line.unwrap());
        }
    });
    let next = || -> (String, String) {
        let line = lines.recv_timeout(PATIENCE).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        (text("change"), text("service"))
    };
    let event =
        |change: &str, service: &str| (change.to_owned(), format!("serving/lr-test/{service}"));
    assert_eq!(next(), event("added", "inference"));
    announce(&node, &["inference", "batchInference"]).await;
    assert_eq!(next(), event("added", "batchInference"));
    announce(&node, &["batchInference"]).await;
    assert_eq!(next(), event("removed", "inference"));
    node.close(PATIENCE).await;
}

#[test]
fn wrong_arguments_end_with_2() {
    for arguments in [
        &["registry", "ls"][..],
        &["registry", "ls", "--zk", "nowhere"],
        &["registry", "ls", "--zk", "127.0.0.1:1", "--user", "fate"],
        &[
            "registry",
            "ls",
            "--zk",
            "127.0.0.1:1",
            "--user",
            "fate",
            "--password-file",
            "/nowhere",
        ],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let closed = fate_testkit::free_port();
    let nobody = run(&["registry", "ls", "--zk", &format!("127.0.0.1:{closed}")]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        stderr(&nobody).contains("no server answers"),
        "{}",
        stderr(&nobody)
    );
}
