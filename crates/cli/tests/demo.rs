//! `fate-serving demo` from outside.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod process;

use std::fs;

use process::{Running, copy_set, golden, run, stderr, stdout};
use serde_json::Value;

#[test]
fn the_demo_scores_every_model_in_three_ways() {
    let models = tempfile::tempdir().unwrap();
    for set in ["lr_plain", "sbt_two_hosts"] {
        let target = golden(set).canonicalize().unwrap();
        std::os::unix::fs::symlink(target, models.path().join(set)).unwrap();
    }
    let output = run(&[
        "demo",
        "--once",
        "--models",
        models.path().to_str().unwrap(),
    ]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    for set in ["lr_plain", "sbt_two_hosts"] {
        let line = text.lines().find(|line| line.starts_with(set)).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells[1], "120", "{line}");
        for difference in &cells[2..5] {
            let difference: f64 = difference.parse().unwrap();
            assert!((0.0..=1e-12).contains(&difference), "{line}");
        }
    }
    assert!(text.contains("2 of 2 models are within 1e-12"), "{text}");
    assert!(!text.contains("curl"), "{text}");
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn a_wrong_score_or_a_refused_model_fails_the_demo() {
    let models = tempfile::tempdir().unwrap();
    let wrong = copy_set("lr_plain", models.path());
    let path = wrong.join("predictions.csv");
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().nth(1).unwrap();
    let fields: Vec<&str> = line.splitn(5, ',').collect();
    fs::write(&path, text.replacen(fields[3], "0.25", 1)).unwrap();

    let refused = copy_set("sbt_binary", models.path());
    let path = refused.join("host_10000/index.json");
    let mut index: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let models_of_host = index["models"].as_array_mut().unwrap();
    models_of_host.retain(|model| !model["key"].as_str().unwrap().starts_with("pipeline"));
    fs::write(&path, index.to_string()).unwrap();

    let output = run(&[
        "demo",
        "--once",
        "--models",
        models.path().to_str().unwrap(),
    ]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for way in ["HTTP", "gRPC", "gRPC batch"] {
        assert!(
            text.contains(&format!("    {way}: 1 of 120 rows differ\n")),
            "{text}"
        );
    }
    assert!(
        text.lines().any(|line| line.starts_with("sbt_binary")
            && line.contains("refused: publishLoad at host 10000: ")),
        "{text}"
    );
    assert!(text.contains("0 of 2 models"), "{text}");
}

#[test]
fn the_demo_stays_up_and_its_curl_line_is_answered() {
    let models = tempfile::tempdir().unwrap();
    copy_set("lr_plain", models.path());
    let mut demo = Running::with_results(&["demo", "--models", models.path().to_str().unwrap()]);
    let line = demo.wait_for("curl ");
    let curl = line.trim_end().strip_prefix("curl -s http://").unwrap();
    let (address, _) = curl.split_once('/').unwrap();
    let (_, body) = curl.split_once(" -d '").unwrap();
    // The row has nothing that a shell would see.
    let body: Value = serde_json::from_str(body.strip_suffix('\'').unwrap()).unwrap();
    assert_eq!(body["head"]["serviceId"], "lr_plain");

    // The same request through `infer` at the other HTTP path: it takes the members of the body.
    let request = models.path().join("request.json");
    fs::write(&request, body["body"].to_string()).unwrap();
    let answer = run(&[
        "infer",
        "--http",
        "--address",
        address,
        "--service-id",
        "lr_plain",
        "-f",
        request.to_str().unwrap(),
    ]);
    assert_eq!(answer.status.code(), Some(0), "{}", stderr(&answer));
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let score = answer["data"]["score"].as_f64().unwrap();

    demo.signal("TERM");
    let (code, rest) = demo.finish();
    assert_eq!(code, Some(0), "{rest}");
    let offline: f64 = rest
        .split_once("offline score: ")
        .unwrap()
        .1
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((score - offline).abs() <= 1e-12, "{score} {offline}");
}

#[test]
fn models_that_are_not_there_are_wrong_usage() {
    let output = run(&["demo", "--once", "--models", "no/where"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--models"));
}

#[test]
fn one_model_in_two_sets_is_told() {
    let models = tempfile::tempdir().unwrap();
    let set = copy_set("lr_plain", models.path());
    fs::rename(set, models.path().join("first")).unwrap();
    copy_set("lr_plain", models.path());
    let output = run(&[
        "demo",
        "--once",
        "--models",
        models.path().to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("hold the same model"),
        "{}",
        stderr(&output)
    );
}
