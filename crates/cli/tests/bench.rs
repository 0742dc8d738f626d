//! `fate-serving bench` against processes that it starts.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod process;

use serde_json::Value;

use process::{golden, run, stderr, stdout};

fn measured(set: &str, arguments: &[&str]) -> Value {
    let set = golden(set);
    let mut all = vec!["bench", set.to_str().unwrap(), "--output", "json"];
    all.extend(["--seconds", "1", "--warm-up", "0"]);
    all.extend(arguments);
    let output = run(&all);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stderr(&output),
        stdout(&output)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn single_rows_have_scores_and_cost_cpu() {
    let figures = measured("sbt_two_hosts", &["--clients", "2"]);
    assert!(figures["calls"].as_u64().unwrap() > 0, "{figures}");
    assert_eq!(figures["failures"], 0);
    assert!(
        figures["cpu_per_call_us"].as_f64().unwrap() > 0.0,
        "{figures}"
    );
    let middle = figures["latency_p50_us"].as_f64().unwrap();
    assert!(middle > 0.0 && middle <= figures["latency_p99_us"].as_f64().unwrap());
    assert_eq!(figures["party_bytes_per_call"], Value::Null);
}

#[test]
fn an_open_loop_makes_the_calls_that_are_due_and_bytes_between_parties_are_counted() {
    let asked = ["--over-http", "--rate", "50", "--batch", "3", "--wire"];
    let figures = measured("sbt_multiclass", &asked);
    assert_eq!(figures["calls"], 50, "{figures}");
    assert_eq!(figures["rows_per_call"], 3);
    assert!(
        figures["party_bytes_per_call"].as_f64().unwrap() > 100.0,
        "{figures}"
    );
}

#[test]
fn a_service_nobody_bound_fails_the_run_with_the_answer() {
    let set = golden("lr_plain");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let nobody = ["--grpc", &address, "--service-id", "x", "--seconds", "1"];
    let mut arguments = vec!["bench", set.to_str().unwrap()];
    arguments.extend(nobody);
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot connect"),
        "{}",
        stderr(&output)
    );

    let output = run(&["bench", set.to_str().unwrap(), "--rate", "0"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
