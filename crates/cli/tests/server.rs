//! `fate-serving server` and `fate-serving infer` from outside.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod process;

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use process::{Running, port, run, run_with, stderr, stdout};
use serde_json::{Value, json};

fn config(directory: &Path, text: &str) -> String {
    let path = directory.join("node.properties");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_good_configuration_is_ok_and_tells_what_is_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(
        directory.path(),
        "port=8000 \nuseRegister=true\nproxi=a:1\nredis.password=geheim\n",
    );
    let output = run(&["server", "--check-config", "--config", &path]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(text.starts_with(&format!("{path}: OK\n")), "{text}");
    assert!(
        text.contains("warning: line 3: proxi is not a key of this server"),
        "{text}"
    );
    assert!(text.contains("line 2: "), "{text}");
    assert!(!text.contains("geheim"));
    assert!(
        !directory.path().join(".fate").exists(),
        "a check starts nothing"
    );
}

#[test]
fn the_shipped_configuration_is_ok() {
    let shipped =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/serving-server.properties");
    let output = run(&[
        "server",
        "--check-config",
        "--config",
        shipped.to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stdout(&output).contains("warning"), "{}", stdout(&output));
}

#[test]
fn sources_without_their_file_are_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("rows.csv");
    let text = format!(
        "feature.single.adaptor=com.webank.ai.fate.serving.adaptor.dataaccess.TestFilePickAdapter\n\
         feature.batch.adaptor=file-pick\nhost.data.file={}\n",
        data.display()
    );
    let path = config(directory.path(), &text);
    let said = |warnings: usize| {
        let output = run(&["server", "--check-config", "--config", &path]);
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let found = text.matches("adaptor reads host.data.file, and ").count();
        assert_eq!(found, warnings, "{text}");
        text
    };
    let text = said(2);
    assert!(
        text.contains("warning: line 2: feature.batch.adaptor"),
        "{text}"
    );
    fs::write(&data, "").unwrap();
    said(0);
}

/// Both ways round, and what the other port's client says.
#[test]
fn mixed_up_ports_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(
        directory.path(),
        "port=0\nserver.port=0\nmodel.cache.path=.\n",
    );
    let mut server = Running::with_log(&["server", "--config", &path], directory.path());
    let ready = server.wait_for("takes calls");
    let request = directory.path().join("request.json");
    fs::write(&request, r#"{"featureData":{"x0":1}}"#).unwrap();
    let request = request.to_str().unwrap();
    let grpc = format!("127.0.0.1:{}", port(&ready, "grpc_addr="));
    let http = format!("127.0.0.1:{}", port(&ready, "http_addr="));
    let infer = |address: &str, more: &[&str]| {
        let mut arguments = vec!["infer", "--address", address, "--service-id", "s"];
        arguments.extend(["-f", request]);
        arguments.extend(more);
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
        stderr(&output)
    };
    let said = infer(&http, &[]);
    assert!(said.contains(&format!("{http} is an HTTP port")), "{said}");
    let said = infer(&grpc, &["--http"]);
    assert!(said.contains("this port speaks gRPC; HTTP is at"), "{said}");
    let output = run(&["models", "--servings", &http]);
    let said = stdout(&output) + &stderr(&output);
    assert!(said.contains(&format!("{http} is an HTTP port")), "{said}");
    server.signal("TERM");
    assert_eq!(server.finish().0, Some(0));
}

#[test]
fn every_problem_of_a_configuration_is_told_and_ends_with_2() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(
        directory.path(),
        "port=eight\n\nfederation.hosts=10000\nmodel.semantics=python\n",
    );
    for arguments in [
        &["server", "--check-config", "--config", &path][..],
        &["server", "--config", &path][..],
    ] {
        let output = run(arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        for place in [
            ":1: port: ",
            ":3: federation.hosts: ",
            ":4: model.semantics: ",
        ] {
            assert!(text.contains(&format!("{path}{place}")), "{place}: {text}");
        }
        assert!(output.stdout.is_empty());
    }
    let missing = run(&["server", "--config", "nowhere.properties"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("nowhere.properties: cannot be read"));
}

#[test]
fn a_server_that_cannot_start_ends_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let store = directory.path().display();
    let text = format!("port={port}\nserver.port=-1\nmodel.cache.path={store}\n");
    let output = run(&["server", "--config", &config(directory.path(), &text)]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = format!("gRPC port 0.0.0.0:{port} cannot be opened");
    assert!(stderr(&output).contains(&said), "{}", stderr(&output));
}

#[test]
fn a_server_serves_and_a_signal_drains_it() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().unwrap();
        let path = config(
            directory.path(),
            "port=0\nserver.port=0\nmodel.cache.path=.\n",
        );
        let mut server = Running::with_log(&["server", "--config", &path], directory.path());
        let ready = server.wait_for("takes calls");
        let request = directory.path().join("request.json");
        fs::write(&request, r#"{"featureData":{"x0":1}}"#).unwrap();
        for (name, http) in [("grpc_addr=", None), ("http_addr=", Some("--http"))] {
            let address = format!("127.0.0.1:{}", port(&ready, name));
            let mut arguments = vec!["infer", "--address", &address, "--service-id", "nobody"];
            arguments.extend(["-f", request.to_str().unwrap()]);
            arguments.extend(http);
            let output = run(&arguments);
            assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer["retcode"], 104, "{answer}");
        }
        server.signal(signal);
        let (code, log) = server.finish();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("serving-server stopped"), "{log}");
    }
}

#[test]
fn a_log_level_changes_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(
        directory.path(),
        "port=0\nserver.port=0\nmodel.cache.path=.\n",
    );
    let mut server = Running::with_log(&["server", "--config", &path], directory.path());
    let ready = server.wait_for("takes calls");
    let address = format!("127.0.0.1:{}", port(&ready, "http_addr="));
    let stopped = {
        use std::io::{Read as _, Write as _};
        let mut connection = std::net::TcpStream::connect(&address).unwrap();
        connection
            .write_all(
                b"GET /server/alterSysLogLevel/ERROR HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            )
            .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        server.signal("TERM");
        server.finish()
    };
    assert_eq!(stopped.0, Some(0));
    assert!(!stopped.1.contains("stopped"), "{}", stopped.1);
}

fn infer(address: &str, extra: &[&str], stdin: &str) -> std::process::Output {
    let mut arguments = vec![
        "infer",
        "--address",
        address,
        "--service-id",
        "s",
        "-f",
        "-",
    ];
    arguments.extend(extra);
    run_with(&arguments, stdin)
}

#[test]
fn a_request_that_is_no_json_object_is_wrong_usage() {
    for text in ["", "{", "[]", "12", r#"{"a":1} x"#] {
        let output = infer("127.0.0.1:1", &[], text);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(stderr(&output).contains("not a JSON object"), "{text}");
    }
    let wrong: [&[&str]; 3] = [
        &["--address", "127.0.0.1", "--service-id", "s", "-f", "-"],
        &[
            "--address",
            "127.0.0.1:1",
            "--service-id",
            "s",
            "-f",
            "no/where",
        ],
        &["--address", "127.0.0.1:1", "-f", "-"],
    ];
    for arguments in wrong {
        let output = run(&[&["infer"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    }
}

#[test]
fn nobody_at_the_address_is_told_plainly() {
    // A port that was free a moment ago; nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    for extra in [&[][..], &["--http"][..]] {
        let output = infer(&address, extra, "{}");
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(&address), "{text}");
        assert!(text.contains("onnection refused"), "{text}");
    }
}

#[test]
fn a_silent_server_does_not_hold_the_command() {
    // Accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    for extra in [
        &["--timeout-ms", "200"][..],
        &["--timeout-ms", "200", "--http"][..],
    ] {
        let output = infer(&address, extra, &json!({}).to_string());
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("within 200 ms"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn what_is_no_file_is_not_read_without_end() {
    let infer = ["infer", "--address", "127.0.0.1:1", "--service-id", "s"];
    for arguments in [
        &["server", "--config", "/dev/zero"][..],
        &[&infer[..], &["-f", "/dev/zero"]].concat(),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let text = stderr(&output);
        assert!(text.contains("/dev/zero"), "{text}");
        assert!(text.contains("not a regular file"), "{text}");
    }
}
