//! `fate-serving proxy` from outside.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod process;

use std::fs;
use std::path::Path;

use process::{Running, port, run, stderr, stdout};
use serde_json::Value;

fn config(directory: &Path, text: &str) -> String {
    let path = directory.join("application.properties");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_shipped_configuration_is_ok() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/application.properties");
    let shipped = shipped.to_str().unwrap();
    let output = run(&["proxy", "--check-config", "--config", shipped]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with(&format!("{shipped}: OK\n")));
}

#[test]
fn a_table_without_addresses_or_none_at_all_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let table = directory.path().join("table.json");
    let text = format!("useZkRouter=false\nroute.table={}\n", table.display());
    let path = config(directory.path(), &text);
    let said = || {
        let output = run(&["proxy", "--check-config", "--config", &path]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    assert!(said().contains("warning: route.table: "), "{}", said());
    fs::write(&table, r#"{"route_table":{},"permission":{}}"#).unwrap();
    assert!(said().contains("table.json has no addresses"), "{}", said());
    let address =
        r#"{"route_table":{"1":{"default":[{"ip":"192.0.2.1","port":1}]}},"permission":{}}"#;
    fs::write(&table, address).unwrap();
    assert!(!said().contains("route.table"), "{}", said());
}

#[test]
fn every_problem_of_a_configuration_is_told_and_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(
        directory.path(),
        "coordinator=nobody\n\nproxy.grpc.inter.port=x\nproxy.grpc.inter.negotiationType=TLS\n",
    );
    let output = run(&["proxy", "--config", &path]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for place in [":1: coordinator: ", ":3: proxy.grpc.inter.port: "] {
        assert!(text.contains(&format!("{path}{place}")), "{place}: {text}");
    }
}

/// A server and its proxy as processes; the proxy is asked as `infer` asks a server.
#[test]
fn a_proxy_asks_a_server_and_a_signal_drains_it() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path();
        let properties = folder.join("serving-server.properties");
        fs::write(&properties, "port=0\nserver.port=-1\nmodel.cache.path=.\n").unwrap();
        let properties = properties.to_str().unwrap();
        let mut server = Running::with_log(&["server", "--config", properties], folder);
        let server_port = port(&server.wait_for("takes calls"), "grpc_addr=");
        let table = format!(
            r#"{{"route_table":{{"9999":{{"serving":[{{"ip":"127.0.0.1","port":{server_port}}}]}}}},
                "permission":{{"default_allow":true}}}}"#
        );
        fs::write(folder.join("route_table.json"), table).unwrap();
        let path = config(
            folder,
            "coordinator=9999\nserver.port=0\nproxy.grpc.intra.port=0\nproxy.grpc.inter.port=0\n\
             useZkRouter=false\nroute.table=route_table.json\n",
        );
        let mut proxy = Running::with_log(&["proxy", "--config", &path], folder);
        let ready = proxy.wait_for("takes calls");
        let address = format!("127.0.0.1:{}", port(&ready, "intra_addr="));
        let request = folder.join("request.json");
        fs::write(&request, r#"{"featureData":{"x0":1}}"#).unwrap();
        let request = request.to_str().unwrap();
        let arguments = ["infer", "--address", &address, "--service-id", "nobody"];
        let output = run(&[&arguments[..], &["-f", request]].concat());
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        // The server's own answer: no model is bound.
        assert_eq!(answer["retcode"], 104, "{answer}");
        proxy.signal(signal);
        let (code, log) = proxy.finish();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("serving-proxy stopped"), "{log}");
    }
}
