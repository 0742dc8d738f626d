//! The rooms of ARCHITECTURE.md against the code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Longest source file without a reason of its own.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    String::from_utf8(output.stdout).unwrap()
}

type Edges = BTreeMap<String, BTreeSet<String>>;

/// The lines `| room | for | may use |` of the table of rooms.
fn documented() -> Edges {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let table = text.split_once("| room | for | may use |\n").unwrap().1;
    table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let uses = cells[2].split_whitespace().map(str::to_owned).collect();
            (cells[0].to_owned(), uses)
        })
        .collect()
}

fn room(package: &Value) -> Option<String> {
    let name = package["name"].as_str()?;
    name.strip_prefix("fate-").map(str::to_owned)
}

fn actual() -> Edges {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&text).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let uses = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap();
        let production = dependencies.iter().filter(|one| one["kind"] != "dev");
        production.filter_map(room).collect()
    };
    packages
        .iter()
        .map(|package| (room(package).unwrap(), uses(package)))
        .collect()
}

#[test]
fn the_table_of_rooms_is_true() {
    assert_eq!(documented(), actual());
}

#[test]
fn the_core_reaches_no_runtime_and_no_network() {
    let tree = cargo(&[
        "tree",
        "-p",
        "fate-inference",
        "-e",
        "normal",
        "--prefix",
        "none",
    ]);
    let reached: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(reached.contains("prost"), "the tree is not one: {tree}");
    for name in [
        "tokio",
        "tonic",
        "hyper",
        "axum",
        "reqwest",
        "zookeeper-client",
        "redis",
    ] {
        assert!(!reached.contains(name), "fate-inference reaches {name}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn files_are_short_and_named_for_what_they_are() {
    let mut found = Vec::new();
    for folder in ["crates", "tests", "benches"] {
        sources(&root().join(folder), &mut found);
    }
    assert!(found.len() > 100, "{}", found.len());
    for path in found {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        for name in ["common", "utils", "util", "helpers", "manager"] {
            let part = std::ffi::OsStr::new(name);
            let is_named = path.file_stem() == Some(part) || path.iter().any(|one| one == part);
            assert!(!is_named, "{} is named {name}", path.display());
        }
    }
}

#[test]
fn the_readme_names_commands_and_files_that_exist() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for path in [
        "models/README.md",
        "conf/serving-server.properties",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "scripts/test",
    ] {
        assert!(readme.contains(path), "{path}");
        assert!(root().join(path).exists(), "{path}");
    }
}
