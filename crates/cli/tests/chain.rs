//! Client → guest's proxy → guest's server → guest's proxy → hosts' proxies → hosts' servers, each a process of its own
//! or a node of two roles: golden models score as FATE did offline.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod certificates;
mod made_sets;
mod pair;
mod party;
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fate_golden::{Expected, Set};
use fate_testkit::{ZooKeeper, wait_for};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use certificates::Authority;
use pair::post;
use party::{PATIENCE, Party, Setting, address};
use process::{golden, run, stderr, stdout};

/// A set's guest and hosts.
struct Chain {
    set: Set,
    directory: TempDir,
    guest: Party,
    hosts: BTreeMap<String, Party>,
}

impl Chain {
    /// `host` and `guest` say what the parties are like; routes between the parties and rows are added here.
    fn start(
        set: &str,
        host: impl Fn(&str, &Path) -> Setting,
        guest: impl Fn(&Path) -> Setting,
        route: impl Fn(&Party) -> Value,
    ) -> Self {
        let set = Set::open(golden(set)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut hosts = BTreeMap::new();
        let mut routes = Map::new();
        for (index, party) in set.hosts().iter().enumerate() {
            let home = directory.path().join(&party.party_id);
            fs::create_dir_all(&home).unwrap();
            let rows = home.join("rows");
            fs::write(&rows, picked_rows(&set, index)).unwrap();
            let setting = Setting {
                party_id: party.party_id.clone(),
                rows: Some(rows),
                ..host(&party.party_id, &home)
            };
            let host = Party::start(&setting, &home);
            routes.insert(party.party_id.clone(), json!({"default": [route(&host)]}));
            hosts.insert(party.party_id.clone(), host);
        }
        let home = directory.path().join("guest");
        fs::create_dir_all(&home).unwrap();
        let setting = Setting {
            party_id: set.guest().party_id.clone(),
            routes,
            ..guest(&home)
        };
        let guest = Party::start(&setting, &home);
        let chain = Self {
            set,
            directory,
            guest,
            hosts,
        };
        chain.publish();
        chain
    }

    /// As FATE-Flow does it: every party loads its part at its own server, the guest binds.
    fn publish(&self) {
        let cache = self.path("model_local_cache");
        for party in &self.set.parties {
            let folder = cache.join(&party.key.namespace).join(&party.key.table_name);
            made_sets::write_flow_folder(&folder, &party.buffers);
        }
        let job = self.job();
        let (job, cache) = (job.to_str().unwrap(), cache.to_str().unwrap());
        let hosts = self.hosts.iter();
        let hosts = hosts.map(|(id, host)| (format!("host:{id}"), host.server));
        let guest_name = format!("guest:{}", self.set.guest().party_id);
        for (party, server) in hosts.chain([(guest_name, self.guest.server)]) {
            let server = format!("127.0.0.1:{server}");
            succeed(&[
                "load",
                "-c",
                job,
                "--models",
                cache,
                "--party",
                &party,
                "--servings",
                &server,
            ]);
        }
        let server = format!("127.0.0.1:{}", self.guest.server);
        succeed(&[
            "bind",
            "-c",
            job,
            "--service-id",
            SERVICE,
            "--servings",
            &server,
        ]);
    }

    fn job(&self) -> PathBuf {
        let guest = self.set.guest();
        let hosts: Vec<&str> = self.hosts.keys().map(String::as_str).collect();
        let model_id = guest.key.namespace.splitn(3, '#').nth(2).unwrap();
        let job = json!({
            "initiator": {"party_id": guest.party_id, "role": "guest"},
            "role": {"guest": [guest.party_id], "host": hosts, "arbiter": [hosts[0]]},
            "job_parameters": {
                "work_mode": 1, "model_id": model_id, "model_version": guest.key.table_name,
            },
        });
        let path = self.path("job.json");
        fs::write(&path, job.to_string()).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Waits until routes and registries are known, then compares the first rows one by one and all in a batch over
    /// HTTP, and one over gRPC.
    fn assert_scores(&self) {
        let (first, expected) = self.set.predictions.iter().next().unwrap();
        let answer = wait_for("the first score", PATIENCE, || {
            let answer = self.infer(first);
            (answer["retcode"] == 0).then_some(answer)
        });
        assert_score(first, &answer, expected);
        for (id, expected) in self.set.predictions.iter().take(10) {
            assert_score(id, &self.infer(id), expected);
        }
        self.assert_batch();
        let request = self.path("request.json");
        fs::write(&request, format!("{{{}}}", self.inputs(first))).unwrap();
        let (intra, request) = (
            format!("127.0.0.1:{}", self.guest.intra),
            request.to_str().unwrap(),
        );
        let output = succeed(&[
            "infer",
            "--address",
            &intra,
            "--service-id",
            SERVICE,
            "-f",
            request,
        ]);
        assert_score(first, &serde_json::from_str(&output).unwrap(), expected);
    }

    fn assert_batch(&self) {
        let rows: Vec<String> = self
            .set
            .predictions
            .keys()
            .enumerate()
            .map(|(index, id)| format!(r#"{{"index":{index},{}}}"#, self.inputs(id)))
            .collect();
        let answer = self.ask(
            "batchInference",
            &format!(r#"{{"batchDataList":[{}]}}"#, rows.join(",")),
        );
        let answers = answer["batchDataList"].as_array();
        let answers = answers.unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(answers.len(), self.set.predictions.len());
        for (answer, (id, expected)) in answers.iter().zip(&self.set.predictions) {
            assert_score(id, answer, expected);
        }
    }

    fn infer(&self, id: &str) -> Value {
        self.ask("inference", &format!("{{{}}}", self.inputs(id)))
    }

    fn ask(&self, call: &str, body: &str) -> Value {
        let asked = format!(r#"{{"head":{{"serviceId":"{SERVICE}"}},"body":{body}}}"#);
        let proxy = format!("127.0.0.1:{}", self.guest.http);
        post(&proxy, &format!("/federation/v1/{call}"), &asked)
    }

    /// The members of a request for one row.
    fn inputs(&self, id: &str) -> String {
        let table = &self.set.guest().table;
        let features = table.by_id()[id].json(&table.columns, false);
        format!(
            r#""featureData":{features},"sendToRemoteFeatureData":{}"#,
            json!({"id": id})
        )
    }

    fn stop(self) {
        for party in std::iter::once(self.guest).chain(self.hosts.into_values()) {
            party.stop();
        }
    }
}

const SERVICE: &str = "chain";

fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    stdout(&output)
}

fn assert_score(id: &str, answer: &Value, expected: &Expected) {
    assert_eq!(answer["retcode"], 0, "{id}: {answer}");
    let score = answer["data"]["score"].as_f64();
    let score = score.unwrap_or_else(|| panic!("{id}: {answer}"));
    let difference = (score - expected.score.unwrap()).abs();
    assert!(difference <= 1e-12, "{id}: {answer}, FATE {expected:?}");
}

/// A host's table for the source `file-pick`.
fn picked_rows(set: &Set, host: usize) -> String {
    let table = &set.hosts()[host].table;
    let line = |row: &fate_golden::Row| {
        let cells = row.cells.iter();
        let cells = cells.map(|(column, cell)| format!("{}:{cell}", table.columns[*column]));
        format!("{},{}\n", row.id, cells.collect::<Vec<_>>().join(";"))
    };
    table.rows.iter().map(line).collect()
}

fn apart() -> Setting {
    Setting::default()
}

fn node() -> Setting {
    Setting {
        is_node: true,
        ..Setting::default()
    }
}

fn plain(host: &Party) -> Value {
    address(host.inter)
}

#[test]
fn six_processes_with_route_tables() {
    let chain = Chain::start("lr_two_hosts", |_, _| apart(), |_| apart(), plain);
    chain.assert_scores();
    chain.stop();
}

#[test]
fn registries_lead_the_way_inside_each_party() {
    let (Some(first), Some(second), Some(third)) =
        (ZooKeeper::start(), ZooKeeper::start(), ZooKeeper::start())
    else {
        return;
    };
    let host = |id: &str, _: &Path| match id {
        "10000" => Setting {
            zookeeper: Some(second.address()),
            ..apart()
        },
        _ => Setting {
            zookeeper: Some(third.address()),
            ..node()
        },
    };
    let guest = |_: &Path| Setting {
        zookeeper: Some(first.address()),
        ..apart()
    };
    let chain = Chain::start("sbt_two_hosts", host, guest, plain);
    chain.assert_scores();
    let listed = succeed(&["registry", "ls", "--zk", &third.address()]);
    let node = &chain.hosts["10001"];
    for port in [node.server, node.intra] {
        assert!(listed.contains(&port.to_string()), "{port}: {listed}");
    }
    chain.stop();
    let left = succeed(&["registry", "ls", "--zk", &first.address()]);
    assert!(!left.contains("grpc://"), "{left}");
}

#[test]
fn nodes_score_with_nodes_and_with_roles_apart() {
    let host = |id: &str, _: &Path| match id {
        "10000" => node(),
        _ => apart(),
    };
    let chain = Chain::start("sbt_two_hosts", host, |_| node(), plain);
    chain.assert_scores();
    let host = &chain.hosts["10000"];
    for (party, own) in [
        (&chain.guest, [chain.guest.server, chain.guest.intra]),
        (host, [host.server, host.intra]),
    ] {
        for port in own {
            assert_eq!(connections_to(port), 0, "{port}: {}", party.logs());
        }
    }
    // The host's other port proves that connections are seen.
    assert!(connections_to(host.inter) > 0);
    // A service id that nobody bound is answered by the server of the node.
    let unbound = r#"{"head":{"serviceId":"nobody"},"body":{"featureData":{}}}"#;
    let proxy = format!("127.0.0.1:{}", chain.guest.http);
    let answer = post(&proxy, "/federation/v1/inference", unbound);
    assert_eq!(answer["retcode"], 104, "{answer}");
    chain.stop();
}

/// Open connections that were accepted at a port.
fn connections_to(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let is_one = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = format!(":{port:04X}");
        fields[1].ends_with(&local) && fields[3] == "01"
    };
    table.lines().skip(1).filter(|line| is_one(line)).count()
}

const KEYS: &str = r#"[{"party_id":"9999","app_key":"of guest","app_secret":"secret of guest"},
    {"party_id":"10000","app_key":"of host","app_secret":"secret of host"}]"#;

/// Lines that turn signatures on, with the keys of this party.
fn signed(party_id: &str, home: &Path) -> String {
    let keys: Value = serde_json::from_str(KEYS).unwrap();
    let file =
        json!({"self_party_id": party_id, "request_expire_seconds": 30, "access_keys": keys});
    fs::write(home.join("auth_config.json"), file.to_string()).unwrap();
    "auth.open=true\nauth.file=auth_config.json\n".to_owned()
}

#[test]
fn mutual_tls_and_signatures_between_a_guest_and_a_node() {
    let authority = Authority::new();
    let host = |id: &str, home: &Path| {
        let own = authority.issue(home);
        let tls = format!(
            "proxy.grpc.inter.negotiationType=TLS\nproxy.grpc.inter.CA.file={}\n\
             proxy.grpc.inter.server.certChain.file={}\nproxy.grpc.inter.server.privateKey.file={}\n",
            own.ca.display(),
            own.chain.display(),
            own.key.display()
        );
        Setting {
            proxy_properties: tls + &signed(id, home),
            ..node()
        }
    };
    let guest = |home: &Path| Setting {
        proxy_properties: signed("9999", home),
        ..apart()
    };
    let folder = tempfile::tempdir().unwrap();
    let own = authority.issue(folder.path());
    let route = |host: &Party| {
        json!({
            "ip": "127.0.0.1", "port": host.inter, "useSSL": true, "negotiationType": "TLS",
            "certChainFile": own.chain, "privateKeyFile": own.key, "caFile": own.ca,
        })
    };
    let chain = Chain::start("sbt_binary", host, guest, route);
    chain.assert_scores();
    chain.stop();
}

#[test]
fn both_files_of_a_node_are_checked() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf");
    let file = |name: &str| conf.join(name).to_str().unwrap().to_owned();
    let (server, proxy) = (
        file("serving-server.properties"),
        file("application.properties"),
    );
    let output = succeed(&[
        "node",
        "--check-config",
        "--config",
        &server,
        "--proxy-config",
        &proxy,
    ]);
    assert!(output.contains(&format!("{server}: OK")) && output.contains(&format!("{proxy}: OK")));
    let output = run(&["node", "--config", &server, "--proxy-config", &server]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
