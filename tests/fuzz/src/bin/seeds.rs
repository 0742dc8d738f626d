//! `seeds list` prints every target with the length of its inputs; `seeds write <folder>` writes the seeds, a folder for
//! each target.

use std::path::Path;

use fate_tests::targets::{TARGETS, seeds};

#[allow(dead_code, unreachable_pub)]
#[path = "../../../../crates/model/tests/models/java.rs"]
mod java;

use java::{Age, JavaModel, Origin, RootMap};

// The counters that our crates are built with are the fuzzer's, which wants a target; this binary has its own `main`.
libfuzzer_sys::fuzz_target!(|_input: &[u8]| {});

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            for target in TARGETS {
                println!("{} {}", target.name, target.max_len);
            }
        }
        ["write", folder] => write(Path::new(folder)),
        _ => {
            eprintln!("usage: seeds list | seeds write <folder>");
            std::process::exit(2);
        }
    }
}

fn write(folder: &Path) {
    let java = java_stores();
    for (position, seed) in seeds::all().into_iter().chain(java).enumerate() {
        let folder = folder.join(seed.target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("seed-{position}")), &seed.bytes).unwrap();
    }
}

/// The stores of nodes of both ages, with every form that a root map and an entry have.
fn java_stores() -> Vec<seeds::Seed> {
    let mut all = Vec::new();
    for root in [RootMap::Minimal, RootMap::Segments] {
        for age in [Age::Of2020, Age::Current] {
            for origin in [Origin::Load, Origin::Fetch] {
                let model = node_model(origin);
                let key = format!("{}_{}", model.table_name, model.namespace);
                let bindings = java::bind_store(root, &[("service", &key), ("other", "gone")]);
                let models = java::load_store(root, age, &[model]);
                all.push(seeds::java_stores(&models, &bindings));
            }
        }
    }
    all
}

fn node_model(origin: Origin) -> JavaModel {
    let stub = |role: &str, party: &str| JavaModel {
        table_name: "2024".to_owned(),
        namespace: format!("{role}#{party}#model"),
        role: Some(role.to_owned()),
        party_id: party.to_owned(),
        timestamp: 1_700_000_000_000,
        resource_address: Some("127.0.0.1:9380".to_owned()),
        resource_name: None,
        allow_qps: None,
        partners: Vec::new(),
        origin,
    };
    JavaModel {
        allow_qps: Some(2.5),
        resource_name: Some("-1".to_owned()),
        partners: vec![stub("host", "10000")],
        ..stub("guest", "9999")
    }
}
