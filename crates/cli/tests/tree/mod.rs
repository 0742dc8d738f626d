//! What stands in ZooKeeper, read without the code under test.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a helper of a test fails the test, and not every test needs every helper"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use zookeeper_client::Client;

/// Path → data and owner; 0 owns what is persistent.
pub(crate) type Dump = BTreeMap<String, (String, i64)>;

pub(crate) struct Tree(Client);

impl Tree {
    pub(crate) async fn at(address: &str) -> Tree {
        Tree(Client::connect(address).await.unwrap())
    }

    /// Everything below the two roots.
    pub(crate) async fn dump(&self) -> Dump {
        let mut dump = Dump::new();
        let mut open = vec!["/FATE-SERVICES".to_owned(), "/FATE-COMPONENTS".to_owned()];
        while let Some(path) = open.pop() {
            // A node may go between two requests.
            let Ok((data, stat)) = self.0.get_data(&path).await else {
                continue;
            };
            let Ok(children) = self.0.list_children(&path).await else {
                continue;
            };
            open.extend(children.iter().map(|child| format!("{path}/{child}")));
            let data = String::from_utf8(data).unwrap();
            dump.insert(path, (data, stat.ephemeral_owner));
        }
        dump
    }

    /// Waits until the ephemeral nodes are these, times and ids taken out.
    pub(crate) async fn ephemerals_are(&self, what: &str, expected: &BTreeSet<String>) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let found = ephemerals(&self.dump().await);
            if found == *expected {
                return;
            }
            let missing: Vec<_> = expected.difference(&found).collect();
            let surplus: Vec<_> = found.difference(expected).collect();
            assert!(
                Instant::now() < deadline,
                "{what}: missing {missing:#?}, surplus {surplus:#?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// `path data` of every node that goes with its session.
fn ephemerals(dump: &Dump) -> BTreeSet<String> {
    dump.iter()
        .filter(|(_, (_, owner))| *owner != 0)
        .map(|(path, (data, _))| format!("{} {}", masked(path), masked(data)))
        .collect()
}

/// What differs from run to run becomes `*`.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let marks = ["timestamp%3D", "\"timestamp\":", "\"instance_id\":\""];
    while let Some((at, mark)) = marks
        .iter()
        .filter_map(|mark| rest.find(mark).map(|at| (at, *mark)))
        .min()
    {
        let (before, after) = rest.split_at(at + mark.len());
        out.push_str(before);
        out.push('*');
        rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == '-');
    }
    out + rest
}
