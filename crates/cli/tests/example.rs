//! The example of `conf/compose`, without containers: its files, with addresses and folders of this machine, and the
//! commands of the quick start.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod made_sets;
mod pair;
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fate_golden::Set;
use fate_testkit::{Redis, ZooKeeper, free_port, wait_for};
use pair::post;
use process::{Running, golden, run, stderr, stdout};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);
const MODELS: &str = "lr_plain";

/// One party's folder of the example, with places of this machine.
struct Party {
    folder: TempDir,
    server: u16,
    intra: u16,
    inter: u16,
    http: u16,
}

impl Party {
    fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(example().join(name)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
        Self {
            folder,
            server: free_port(),
            intra: free_port(),
            inter: free_port(),
            http: free_port(),
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Puts places of this machine where those of containers are, and ports of ours where those of the example are.
    fn settle(&self, places: &[(&str, String)]) {
        let home = self.folder.path().to_str().unwrap();
        for name in [
            "serving-server.properties",
            "application.properties",
            "route_table.json",
        ] {
            let mut text = fs::read_to_string(self.folder.path().join(name)).unwrap();
            for (from, to) in places {
                text = text.replace(from, to);
            }
            for folder in ["/etc/fate-serving", "/var/lib/fate-serving"] {
                text = text.replace(folder, home);
            }
            let models = golden("").to_str().unwrap().to_owned();
            text = text.replace("=/models", &format!("={models}"));
            fs::write(self.folder.path().join(name), text).unwrap();
        }
        let server = format!(
            "listen.address=127.0.0.1\nregister.ip=127.0.0.1\nport={}\nserver.port=-1\n\
             single.inference.rpc.timeout=30000\n",
            self.server
        );
        self.append("serving-server.properties", &server);
        let proxy = format!(
            "register.ip=127.0.0.1\nproxy.bind.http=127.0.0.1\nproxy.bind.intra=127.0.0.1\nproxy.bind.inter=127.0.0.1\n\
             server.port={}\nproxy.grpc.intra.port={}\nproxy.grpc.inter.port={}\nproxy.grpc.inference.timeout=30000\n\
             proxy.grpc.unaryCall.timeout=30000\n",
            self.http, self.intra, self.inter
        );
        self.append("application.properties", &proxy);
    }

    /// Of a key that is given twice the last one counts.
    fn append(&self, name: &str, lines: &str) {
        let path = self.folder.path().join(name);
        let text = fs::read_to_string(&path).unwrap() + lines;
        fs::write(path, text).unwrap();
    }

    fn start(&self) -> [Running; 2] {
        let start = |role: &str, file: &str| {
            // Nobody reads the log after the first lines, and a pipe that is full would stop the process.
            let quiet = ["--log-level", "info,flow=off"];
            let config = self.path(file);
            let arguments = [&quiet[..], &[role, "--config", &config]].concat();
            let mut running = Running::with_log(&arguments, self.folder.path());
            running.wait_for("takes calls");
            running
        };
        [
            start("proxy", "application.properties"),
            start("server", "serving-server.properties"),
        ]
    }

    fn serving(&self) -> String {
        format!("127.0.0.1:{}", self.server)
    }
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/compose")
}

fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    stdout(&output)
}

#[test]
fn the_example_with_two_parties_scores() {
    let (Some(of_guest), Some(of_host)) = (ZooKeeper::start(), ZooKeeper::start()) else {
        return;
    };
    let Some(redis) = Redis::start() else {
        return;
    };
    let (guest, host) = (Party::of("party-9999"), Party::of("party-10000"));
    guest.settle(&[
        ("guest-zookeeper:2181", of_guest.address()),
        ("guest-redis", "127.0.0.1".to_owned()),
        ("6379", redis.port().to_string()),
        (
            r#""host-proxy", "port": 8869"#,
            format!(r#""127.0.0.1", "port": {}"#, host.inter),
        ),
    ]);
    host.settle(&[
        ("host-zookeeper:2181", of_host.address()),
        (
            r#""guest-proxy", "port": 8869"#,
            format!(r#""127.0.0.1", "port": {}"#, guest.inter),
        ),
    ]);
    let _running = [host.start(), guest.start()];

    let models = golden(MODELS);
    let models = models.to_str().unwrap();
    for (party, name) in [(&host, "host:10000"), (&guest, "guest:9999")] {
        let job = party.path("publish_load_model.json");
        let serving = party.serving();
        let load = [
            "load",
            "-c",
            &job,
            "--models",
            models,
            "--party",
            name,
            "--servings",
            &serving,
        ];
        let said = succeed(&load);
        assert!(said.contains("  loaded  "), "{said}");
    }
    let job = guest.path("bind_model_service.json");
    let said = succeed(&["bind", "-c", &job, "--servings", &guest.serving()]);
    assert!(said.contains("  bound  "), "{said}");

    let request = fs::read_to_string(guest.path("request.json")).unwrap();
    let request: Value = serde_json::from_str(&request).unwrap();
    let asked = json!({"head": {"serviceId": "lr-test"}, "body": request}).to_string();
    let proxy = format!("127.0.0.1:{}", guest.http);
    // Until the proxies know whom the registries know.
    let answer = wait_for("a score", PATIENCE, || {
        let answer = post(&proxy, "/federation/v1/inference", &asked);
        (answer["retcode"] == 0).then_some(answer)
    });
    let id = request["sendToRemoteFeatureData"]["id"].as_str().unwrap();
    let expected = Set::open(golden(MODELS)).unwrap().predictions[id]
        .score
        .unwrap();
    let score = answer["data"]["score"].as_f64().unwrap();
    assert!(
        (score - expected).abs() <= 1e-12,
        "{answer}, FATE {expected}"
    );
}
