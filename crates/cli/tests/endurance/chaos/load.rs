//! Applications that ask for scores, and an administrator who binds, while processes die.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fate_golden::Set;
use fate_testkit::wait_for;
use serde_json::{Value, json};

use super::trouble::Dice;
use crate::asking::ask;
use crate::cluster::{Cluster, Role, SET, bind, serving};

const CLIENTS: u64 = 6;
/// Between two calls of a client: all of them ask about 100 times a second.
const PAUSE: Duration = Duration::from_millis(60);
/// Rows of a batch, which is every tenth call.
const BATCH: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);

/// A call that brought no score.
#[derive(Debug)]
#[expect(dead_code, reason = "the proxy's name is for whoever reads a failure")]
pub(super) struct Failed {
    pub(super) from: Duration,
    pub(super) until: Duration,
    pub(super) proxy: String,
    pub(super) cause: String,
}

/// What became of all calls.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Rows with FATE's score.
    pub(super) scores: u64,
    /// Rows with another one; there must be none.
    pub(super) wrong: Vec<String>,
    pub(super) failed: Vec<Failed>,
}

/// One row: the members of its request without braces, and its offline score.
struct Row {
    inputs: String,
    score: f64,
}

pub(super) struct Clients {
    /// Name and HTTP port.
    proxies: Vec<(String, u16)>,
    rows: Vec<Row>,
}

impl Clients {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let proxies = cluster.of(Role::GuestProxy);
        Self {
            proxies: proxies
                .map(|proxy| (proxy.name.clone(), proxy.http))
                .collect(),
            rows: rows(&cluster.set),
        }
    }

    /// Until every proxy leads to a score.
    pub(super) fn wait_for_scores(&self) {
        for (name, port) in &self.proxies {
            wait_for(&format!("a score through {name}"), PATIENCE, || {
                self.single(*port, &self.rows[0]).ok()
            });
        }
    }

    pub(super) fn assert_all_rows(&self) {
        for (name, port) in &self.proxies {
            for row in &self.rows {
                let score = self.single(*port, row);
                assert!(matches!(score, Ok(true)), "{name}: {score:?}");
            }
        }
    }

    /// Asks random proxies for random rows until it is over.
    pub(super) fn ask_until(&self, is_over: &AtomicBool, began: Instant) -> Calls {
        let one = |number: u64| {
            let mut dice = Dice::new(number + 1);
            let mut calls = Calls::default();
            while !is_over.load(Ordering::Relaxed) {
                self.call(&mut dice, began, &mut calls);
                thread::sleep(PAUSE);
            }
            calls
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| scope.spawn(move || one(number)))
                .collect();
            let mut all = Calls::default();
            for client in clients {
                let calls = client.join().unwrap();
                all.scores += calls.scores;
                all.wrong.extend(calls.wrong);
                all.failed.extend(calls.failed);
            }
            all.failed.sort_by_key(|failed| failed.from);
            all
        })
    }

    fn call(&self, dice: &mut Dice, began: Instant, calls: &mut Calls) {
        let (name, port) = &self.proxies[dice.below(self.proxies.len() as u64) as usize];
        let from = began.elapsed();
        let results: Vec<Result<bool, String>> = if dice.below(10) == 0 {
            let first = dice.below((self.rows.len() - BATCH) as u64) as usize;
            match self.batch(*port, &self.rows[first..first + BATCH]) {
                Ok(results) => results,
                Err(cause) => vec![Err(cause)],
            }
        } else {
            let row = &self.rows[dice.below(self.rows.len() as u64) as usize];
            vec![self.single(*port, row)]
        };
        for result in results {
            match result {
                Ok(true) => calls.scores += 1,
                Ok(false) => calls.wrong.push(format!("{name} at {from:?}")),
                Err(cause) => calls.failed.push(Failed {
                    from,
                    until: began.elapsed(),
                    proxy: name.clone(),
                    cause,
                }),
            }
        }
    }

    /// Whether the score is FATE's, or why there is none.
    fn single(&self, port: u16, row: &Row) -> Result<bool, String> {
        let answer = self.ask(port, "inference", &format!("{{{}}}", row.inputs))?;
        is_right(&answer, row)
    }

    fn batch(&self, port: u16, rows: &[Row]) -> Result<Vec<Result<bool, String>>, String> {
        let listed: Vec<String> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| format!(r#"{{"index":{index},{}}}"#, row.inputs))
            .collect();
        let body = format!(r#"{{"batchDataList":[{}]}}"#, listed.join(","));
        let answer = self.ask(port, "batchInference", &body)?;
        if answer["retcode"] != 0 {
            return Err(cause_of(&answer));
        }
        let answers = answer["batchDataList"].as_array();
        let answers = answers.filter(|all| all.len() == rows.len());
        let answers = answers.ok_or_else(|| format!("a batch of another length: {answer}"))?;
        Ok(answers
            .iter()
            .zip(rows)
            .map(|(answer, row)| is_right(answer, row))
            .collect())
    }

    fn ask(&self, port: u16, call: &str, body: &str) -> Result<Value, String> {
        let body = format!(r#"{{"head":{{"serviceId":"{SET}"}},"body":{body}}}"#);
        let head = format!("POST /federation/v1/{call}");
        let (status, text) = ask(port, &head, &body).map_err(|error| match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "the proxy is down".to_owned(),
            _ => "the connection to the proxy ended".to_owned(),
        })?;
        if status != 200 {
            return Err(format!("HTTP {status}"));
        }
        serde_json::from_str(&text).map_err(|_| "an answer that is cut off".to_owned())
    }
}

/// An answer that says it is a success without FATE's score is a wrong one.
fn is_right(answer: &Value, row: &Row) -> Result<bool, String> {
    if answer["retcode"] != 0 {
        return Err(cause_of(answer));
    }
    let score = answer["data"]["score"].as_f64();
    Ok(score.is_some_and(|score| (score - row.score).abs() <= 1e-12))
}

fn cause_of(answer: &Value) -> String {
    let code = answer.get("retcode").or_else(|| answer.get("code"));
    let text = answer
        .get("retmsg")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // Without addresses, so that equal causes are counted together.
    let words = text.split(' ').filter(|word| !word.contains("127.0.0.1"));
    let text: Vec<&str> = words.take(12).collect();
    format!("{} {}", code.unwrap_or(&Value::Null), text.join(" "))
}

fn rows(set: &Set) -> Vec<Row> {
    let table = &set.guest().table;
    let by_id = table.by_id();
    set.predictions
        .iter()
        .map(|(id, expected)| Row {
            inputs: format!(
                r#""featureData":{},"sendToRemoteFeatureData":{}"#,
                by_id[id.as_str()].json(&table.columns, false),
                json!({"id": id})
            ),
            score: expected.score.unwrap(),
        })
        .collect()
}

/// Binds ever new service ids at ever other servers.
pub(super) struct Binder {
    servers: Vec<String>,
    job: PathBuf,
}

impl Binder {
    pub(super) fn of(cluster: &Cluster) -> Self {
        Self {
            servers: cluster.of(Role::GuestServer).map(serving).collect(),
            job: cluster.path("job.json"),
        }
    }

    /// Server and service id of every binding that was acknowledged.
    pub(super) fn bind_until(&self, is_over: &AtomicBool) -> Vec<(String, String)> {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let server = &self.servers[number % self.servers.len()];
            let service_id = format!("bound-{number}");
            if bind(&self.job, &service_id, server) {
                acknowledged.push((server.clone(), service_id));
            }
            thread::sleep(Duration::from_secs(1));
        }
        acknowledged
    }
}
