//! What a prediction costs with server and proxy apart, and with both in one process (issue 5, build 7):
//!
//! ```sh
//! cargo build --release -p fate-cli
//! FATE_SERVING=$PWD/target/release/fate-serving cargo test -p fate-cli --test node_cost -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![allow(clippy::print_stderr, reason = "figures of a measurement")]

mod made_sets;
mod pair;
mod party;
mod process;

use std::path::Path;

use serde_json::Value;

use party::chain::{Chain, SERVICE};
use party::{PATIENCE, Setting, address};
use process::{fate_serving, golden};

const SET: &str = "sbt_binary";
const ROUNDS: usize = 3;

#[test]
#[ignore = "a measurement of a minute"]
fn one_process_costs_less_than_two() {
    for clients in ["1", "8"] {
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (costs, is_node) in costs.iter_mut().zip([false, true]) {
                costs.push(cost(is_node, clients));
            }
        }
        let [apart, node] = costs.map(|mut costs| {
            costs.sort_by(f64::total_cmp);
            costs[ROUNDS / 2]
        });
        eprintln!("{clients} clients: CPU us per call {apart:.0} apart, {node:.0} in one process");
        assert!(node < apart);
    }
}

/// CPU of all processes of both parties, in microseconds per call.
fn cost(is_node: bool, clients: &str) -> f64 {
    let setting = || Setting {
        is_node,
        ..Setting::default()
    };
    let host = |_: &str, _: &Path| setting();
    let routes = |host: &party::Party| vec![address(host.inter)];
    let chain = Chain::start(SET, host, |_| setting(), routes);
    let row = chain.set.predictions.keys().next().unwrap().clone();
    fate_testkit::wait_for("the first score", PATIENCE, || {
        (chain.infer(&row)["retcode"] == 0).then_some(())
    });
    let parties = std::iter::once(&chain.guest).chain(chain.hosts.values());
    let processes = parties.flat_map(|party| &party.processes);
    let pids: Vec<String> = processes
        .flat_map(|process| ["--pid".to_owned(), process.pid().to_string()])
        .collect();
    let set = golden(SET);
    let guest = format!("127.0.0.1:{}", chain.guest.intra);
    let output = fate_serving(&["bench", set.to_str().unwrap(), "--output", "json"])
        .args(["--grpc", &guest, "--service-id", SERVICE])
        .args(["--clients", clients, "--seconds", "5"])
        .args(pids)
        .output()
        .unwrap();
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["failures"], 0, "{figures}");
    eprintln!(
        "{} clients {clients} p50 {} us, CPU {} us",
        if is_node { "node " } else { "apart" },
        figures["latency_p50_us"],
        figures["cpu_per_call_us"]
    );
    chain.stop();
    figures["cpu_per_call_us"].as_f64().unwrap()
}
