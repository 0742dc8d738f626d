//! `fate-serving model verify` from outside: real servers, real gRPC, damaged sets.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod made_sets;
mod process;

use std::fs;
use std::path::Path;

use process::{copy_set, golden, run, stderr, stdout};

fn verify(extra: &[&str], sets: &[&Path]) -> std::process::Output {
    let mut arguments = vec!["model", "verify"];
    arguments.extend(extra);
    arguments.extend(sets.iter().map(|set| set.to_str().unwrap()));
    run(&arguments)
}

/// Changes the score of one row; gives its id.
fn damage_score(set: &Path, line: usize, by: f64) -> String {
    let path = set.join("predictions.csv");
    let text = fs::read_to_string(&path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut fields: Vec<String> = lines[line].splitn(5, ',').map(str::to_owned).collect();
    let score: f64 = fields[3].parse().unwrap();
    fields[3] = (score + by).to_string();
    lines[line] = fields.join(",");
    fs::write(&path, lines.join("\n") + "\n").unwrap();
    fields[0].clone()
}

#[test]
fn good_sets_are_within_the_tolerance() {
    let sets = [golden("lr_plain"), golden("sbt_multiclass")];
    let sets: Vec<&Path> = sets.iter().map(|set| set.as_path()).collect();
    let output = verify(&["--batch", "50"], &sets);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    assert!(text.contains("batch of 50"), "{text}");
    assert!(
        text.ends_with("2 of 2 sets are within 1e-12 of FATE's offline scores\n"),
        "{text}"
    );
    for set in ["lr_plain", "sbt_multiclass"] {
        let line = text.lines().find(|line| line.starts_with(set)).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((cells[1], cells[4]), ("120", "ok:"), "{line}");
        for difference in [cells[2], cells[3]] {
            let difference: f64 = difference.parse().unwrap();
            assert!((0.0..=1e-12).contains(&difference), "{line}");
        }
    }
    assert!(stderr(&output).is_empty(), "{}", stderr(&output));
}

#[test]
fn damaged_predictions_are_found_in_single_and_batch() {
    let directory = tempfile::tempdir().unwrap();
    let good = golden("sbt_two_hosts");
    let damaged = copy_set("lr_plain", directory.path());
    let id = damage_score(&damaged, 7, 1e-9);
    let output = verify(&["--rows", "20"], &[&good, &damaged]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("1 of 2 sets are within"), "{text}");
    for way in ["single", "batch of 64"] {
        assert!(
            text.contains(&format!(
                "    {way}: 1 of 20 rows differ\n        {id}: score "
            )),
            "{text}"
        );
    }
    let wide = verify(&["--rows", "20", "--tolerance", "1e-8"], &[&damaged]);
    assert_eq!(wide.status.code(), Some(0), "{}", stdout(&wide));
}

#[test]
fn every_class_is_compared() {
    let directory = tempfile::tempdir().unwrap();
    let set = copy_set("sbt_multiclass", directory.path());
    let path = set.join("predictions.csv");
    let text = fs::read_to_string(&path).unwrap();
    // The winner's score stays, the probability of class 0 of the first row changes.
    let detail = text.find(r#"""0"": "#).unwrap() + r#"""0"": "#.len();
    let end = detail + text[detail..].find(',').unwrap();
    let changed = format!("{}0.25{}", &text[..detail], &text[end..]);
    fs::write(&path, changed).unwrap();
    let output = verify(&["--rows", "3"], &[&set]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("score of class 0 "), "{text}");
}

#[test]
fn a_row_that_a_host_has_not_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    let set = copy_set("sbt_two_hosts", directory.path());
    let predictions = fs::read_to_string(set.join("predictions.csv")).unwrap();
    let id = predictions
        .lines()
        .nth(2)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    let path = set.join("host_10001/features.csv");
    let rows = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = rows
        .lines()
        .filter(|line| !line.starts_with(&format!("{id},")))
        .collect();
    fs::write(&path, kept.join("\n") + "\n").unwrap();
    let output = verify(&["--rows", "5"], &[&set]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("    single: 1 of 5 rows differ\n"), "{text}");
    assert!(
        text.contains("    batch of 64: 1 of 5 rows differ\n"),
        "{text}"
    );
    assert!(text.contains(&format!("{id}: retcode ")), "{text}");
}

#[test]
fn numbers_score_like_texts() {
    let output = verify(
        &["--numbers", "--rows", "10"],
        &[&golden("lr_scale_onehot"), &golden("sbt_binary_missing")],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

#[test]
fn other_forms_names_and_numbers_of_hosts_score_alike() {
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path();
    made_sets::tags(into);
    made_sets::odd_names(into);
    made_sets::three_hosts(into);
    made_sets::exports(into);
    made_sets::homogeneous(into, false);
    made_sets::homogeneous(into, true);
    for extra in [&[][..], &["--numbers"]] {
        let output = verify(&[extra, &["--rows", "40"]].concat(), &[into]);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(text.contains("6 of 6 sets are within"), "{text}");
    }
}

#[test]
fn a_refused_model_fails_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let set = copy_set("lr_plain", directory.path());
    // Without the model's weights the guest cannot serve it.
    let path = set.join("guest_9999/index.json");
    let mut index: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let models = index["models"].as_array_mut().unwrap();
    models.retain(|model| !model["key"].as_str().unwrap().starts_with("hetero_lr_0"));
    fs::write(&path, index.to_string()).unwrap();
    let output = verify(&[], &[&set]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("FAILED: refused: publishLoad at guest 9999: 123 "),
        "{text}"
    );
}

#[test]
fn wrong_usage_ends_with_2_and_a_set_that_cannot_be_read_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("nowhere");
    let good = golden("lr_plain");
    let usage: [(&[&str], &Path); 4] = [
        (&[], &nowhere),
        (&["--batch", "0"], &good),
        (&["--tolerance", "NaN"], &good),
        (&["--semantics", "python"], &good),
    ];
    for (extra, path) in usage {
        let output = verify(extra, &[path]);
        assert_eq!(output.status.code(), Some(2), "{extra:?}");
    }
    assert_eq!(verify(&[], &[]).status.code(), Some(2));
    assert_eq!(verify(&[], &[directory.path()]).status.code(), Some(1));

    let set = copy_set("lr_plain", directory.path());
    fs::remove_file(set.join("predictions.csv")).unwrap();
    let output = verify(&["--rows", "1"], &[&set, &good]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("predictions.csv"), "{text}");
    assert!(
        text.contains("1 of 2 sets"),
        "the other set goes on: {text}"
    );
}
