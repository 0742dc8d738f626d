//! A guest and a host as processes, with a golden set's rows at the host, and what comes out of them.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a helper of a test fails the test, and not every test needs every helper"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use fate_golden::Set;
use serde_json::{Value, json};

use super::made_sets;
use super::process::{Running, golden, port};

/// Two nodes with nothing loaded.
pub(crate) struct Pair {
    pub(crate) set: Set,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) guest: Node,
    pub(crate) host: Node,
}

/// A running server.
pub(crate) struct Node {
    pub(crate) process: Running,
    /// `127.0.0.1:<gRPC port>`
    pub(crate) grpc: String,
    pub(crate) http: String,
}

impl Node {
    /// Starts in a directory of its own with these properties.
    pub(crate) fn start(directory: &Path, properties: &str) -> Node {
        fs::create_dir_all(directory).unwrap();
        let config = directory.join("node.properties");
        let text = format!("port=0\nserver.port=0\nmodel.cache.path=.\n{properties}\n");
        fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap();
        let mut process = Running::with_log(&["server", "--config", config], directory);
        let ready = process.wait_for("takes calls");
        let local = |name: &str| format!("127.0.0.1:{}", port(&ready, name));
        let (grpc, http) = (local("grpc_addr="), local("http_addr="));
        Node {
            process,
            grpc,
            http,
        }
    }
}

impl Pair {
    /// `set` must have one host, and rows of plain numbers.
    pub(crate) fn start(set: &str) -> Pair {
        Pair::start_with(set, "")
    }

    /// The same; both nodes have these properties as well.
    pub(crate) fn start_with(set: &str, properties: &str) -> Pair {
        let set = Set::open(golden(set)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let rows = path.join("rows");
        fs::write(&rows, host_rows(&set)).unwrap();
        let source = format!(
            "feature.single.adaptor=file-pick\nfeature.batch.adaptor=file-pick\nhost.data.file={}\n{properties}",
            rows.display()
        );
        let host = Node::start(&path.join("host"), &source);
        let host_id = &set.hosts()[0].party_id;
        let route = format!("federation.hosts={host_id}={}\n{properties}", host.grpc);
        let guest = Node::start(&path.join("guest"), &route);
        Pair {
            set,
            directory,
            guest,
            host,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// FATE-Flow's model cache with both parties' models.
    pub(crate) fn flow_cache(&self) -> String {
        let cache = self.path("model_local_cache");
        for party in &self.set.parties {
            let folder = cache.join(&party.key.namespace).join(&party.key.table_name);
            made_sets::write_flow_folder(&folder, &party.buffers);
        }
        cache.to_str().unwrap().to_owned()
    }

    /// The guide's file for this set, with these members besides.
    pub(crate) fn job(&self, name: &str, more: Value) -> String {
        let guest = self.set.guest();
        let model_id = guest.key.namespace.splitn(3, '#').nth(2).unwrap();
        let mut job = json!({
            "initiator": {"party_id": guest.party_id, "role": "guest"},
            "role": {
                "guest": [guest.party_id],
                "host": [self.set.hosts()[0].party_id],
                "arbiter": [self.set.hosts()[0].party_id],
            },
            "job_parameters": {
                "work_mode": 1, "model_id": model_id, "model_version": guest.key.table_name,
            },
        });
        let more = more.as_object().unwrap().clone();
        job.as_object_mut().unwrap().extend(more);
        let path = self.path(name);
        fs::write(&path, job.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Scores the first rows over HTTP and compares with FATE's offline scores.
    pub(crate) fn assert_scores(&self, service_id: &str, rows: usize) {
        let table = &self.set.guest().table;
        let by_id = table.by_id();
        for (id, expected) in self.set.predictions.iter().take(rows) {
            let features: Value =
                serde_json::from_str(&by_id[id.as_str()].json(&table.columns, false)).unwrap();
            let answer = self.infer(service_id, features, id);
            let score = answer["data"]["score"]
                .as_f64()
                .unwrap_or_else(|| panic!("{id}: {answer}"));
            let difference = (score - expected.score.unwrap()).abs();
            assert!(difference <= 1e-12, "{id}: {answer}, FATE {expected:?}");
        }
    }

    pub(crate) fn infer(&self, service_id: &str, features: Value, id: &str) -> Value {
        let body = json!({
            "head": {"serviceId": service_id},
            "body": {"featureData": features, "sendToRemoteFeatureData": {"id": id}},
        });
        post(
            &self.guest.http,
            "/federation/v1/inference",
            &body.to_string(),
        )
    }
}

fn host_rows(set: &Set) -> String {
    let table = &set.hosts()[0].table;
    let line = |row: &fate_golden::Row| {
        let cells: Vec<String> = row
            .cells
            .iter()
            .map(|(column, cell)| format!("{}:{cell}", table.columns[*column]))
            .collect();
        format!("{},{}\n", row.id, cells.join(";"))
    };
    table.rows.iter().map(line).collect()
}

pub(crate) fn post(address: &str, path: &str, body: &str) -> Value {
    post_with(address, path, "", body)
}

/// The same with further headers, each ended by CR LF.
pub(crate) fn post_with(address: &str, path: &str, headers: &str, body: &str) -> Value {
    let mut connection = TcpStream::connect(address).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
}
