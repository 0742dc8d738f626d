//! Parties of a golden set in a chain: published as FATE-Flow does it, asked as an application asks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fate_golden::{Expected, Set};
use fate_testkit::wait_for;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{PATIENCE, Party, Setting};
use crate::made_sets;
use crate::pair::post_with;
use crate::process::{golden, run, stderr, stdout};

/// A set's guest and hosts.
pub(crate) struct Chain {
    pub(crate) set: Set,
    pub(crate) directory: TempDir,
    pub(crate) guest: Party,
    pub(crate) hosts: BTreeMap<String, Party>,
}

impl Chain {
    /// `host` and `guest` say what the parties are like; routes between the parties and rows are added here.
    pub(crate) fn start(
        set: &str,
        host: impl Fn(&str, &Path) -> Setting,
        guest: impl Fn(&Path) -> Setting,
        mut routes_to: impl FnMut(&Party) -> Vec<Value>,
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
            routes.insert(party.party_id.clone(), json!({"default": routes_to(&host)}));
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Waits until routes and registries are known, then compares the first rows one by one and all in a batch over
    /// HTTP, and one over gRPC.
    pub(crate) fn assert_scores(&self) {
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
            "",
            &format!(r#"{{"batchDataList":[{}]}}"#, rows.join(",")),
        );
        let answers = answer["batchDataList"].as_array();
        let answers = answers.unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(answers.len(), self.set.predictions.len());
        for (answer, (id, expected)) in answers.iter().zip(&self.set.predictions) {
            assert_score(id, answer, expected);
        }
    }

    pub(crate) fn infer(&self, id: &str) -> Value {
        self.infer_with(id, "")
    }

    /// The same with further headers, each ended by CR LF.
    pub(crate) fn infer_with(&self, id: &str, headers: &str) -> Value {
        let body = format!("{{{}}}", self.inputs(id));
        self.ask("inference", headers, &body)
    }

    fn ask(&self, call: &str, headers: &str, body: &str) -> Value {
        let asked = format!(r#"{{"head":{{"serviceId":"{SERVICE}"}},"body":{body}}}"#);
        let proxy = format!("127.0.0.1:{}", self.guest.http);
        let path = format!("/federation/v1/{call}");
        post_with(&proxy, &path, headers, &asked)
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

    pub(crate) fn stop(self) {
        for party in std::iter::once(self.guest).chain(self.hosts.into_values()) {
            party.stop();
        }
    }
}

/// What the guest's model is bound to.
pub(crate) const SERVICE: &str = "chain";

/// Runs a command that has to end well: its output.
pub(crate) fn succeed(arguments: &[&str]) -> String {
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
