//! SIGHUP, log files and formats of a running server.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod process;

// `party` starts processes; its parties need these.
mod made_sets;
mod pair;
mod party;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use fate_testkit::wait_for;
use serde_json::Value;

use party::{PATIENCE, Process};

struct Server {
    process: Process,
    http: u16,
    properties: std::path::PathBuf,
}

impl Server {
    fn start(directory: &Path, more: &str) -> Self {
        let properties = directory.join("serving-server.properties");
        fs::write(&properties, text(more)).unwrap();
        let arguments = ["server", "--config", "serving-server.properties"];
        let mut process = Process::start("server", &arguments, directory);
        // JSON or text.
        let ready = process.ready("serving-server");
        let http = ready.split("http_addr").nth(1).unwrap();
        let http = http.split("127.0.0.1:").nth(1).unwrap();
        let digits: String = http.chars().take_while(char::is_ascii_digit).collect();
        Self {
            process,
            http: digits.parse().unwrap(),
            properties,
        }
    }

    /// Replaces the file and says so.
    fn hang_up(&self, more: &str) {
        fs::write(&self.properties, text(more)).unwrap();
        let id = self.process.pid().to_string();
        let asked = Command::new("kill").args(["-s", "HUP", &id]).status();
        assert!(asked.unwrap().success());
    }

    fn wait_for_log(&self, what: &str) -> String {
        wait_for(what, PATIENCE, || {
            let log = self.process.log();
            log.lines()
                .find(|line| line.contains(what))
                .map(str::to_owned)
        })
    }

    /// The status of a change without a token.
    fn unbind(&self) -> String {
        let answer = self.request("POST /server/model/unbind");
        answer.split(' ').nth(1).unwrap().to_owned()
    }

    fn request(&self, line: &str) -> String {
        let mut connection = TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        let body = "{}";
        write!(
            connection,
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00\r\ncontent-length: 2\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }
}

fn text(more: &str) -> String {
    format!("listen.address=127.0.0.1\nport=0\nserver.port=0\nmodel.cache.path=.\n{more}")
}

#[test]
fn a_good_file_takes_effect_and_a_bad_one_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), "");
    assert_ne!(server.unbind(), "401");
    server.hang_up("admin.token=sesame\nmodel.max.bytes=5000\nlog.level=debug\n");
    let applied = server.wait_for_log("the configuration was read again");
    assert!(
        applied.contains("admin.token") && applied.contains("log.level"),
        "{applied}"
    );
    let waits = server.wait_for_log("takes effect after a restart");
    assert!(waits.contains("model.max.bytes"), "{waits}");
    assert_eq!(server.unbind(), "401");
    // A secret is named, never shown.
    server.hang_up("admin.token=sesame2\nmodel.max.bytes=5000\nlog.level=debug\n");
    wait_for("the name of the secret alone", PATIENCE, || {
        let log = server.process.log();
        let mut lines = log.lines().filter(|line| line.contains("was read again"));
        lines.find(|line| line.contains("admin.token") && !line.contains("log.level"))?;
        Some(())
    });
    assert_eq!(server.unbind(), "401");
    // Without the token and with a limit that is none.
    server.hang_up("serving.max.inflight=many\n");
    let refused = server.wait_for_log("nothing has changed");
    assert!(refused.contains("serving.max.inflight"), "{refused}");
    assert_eq!(server.unbind(), "401");
    assert!(!server.process.log().contains("sesame"));
    assert_eq!(server.process.stop(), Some(0));
}

#[test]
fn json_lines_carry_case_and_trace_and_the_flow_file_the_columns() {
    let directory = tempfile::tempdir().unwrap();
    let more = "log.format=json\nlog.path=logs\nprint.input.data=true\n";
    let server = Server::start(directory.path(), more);
    server.request("POST /v1/inference");
    let line = server.wait_for_log("\"flow\"");
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(line["level"], "INFO");
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("|singleInference|"), "{message}");
    assert!(line["case_id"].is_string(), "{line}");
    for line in server.process.log().lines() {
        // The first ones come before the configuration is read.
        if line.starts_with('{') {
            let _: Value = serde_json::from_str(line).unwrap();
        }
    }
    assert_eq!(server.process.stop(), Some(0));
    let flow = fs::read_to_string(directory.path().join("logs/flow.log")).unwrap();
    let columns: Vec<&str> = flow.trim_end().split('|').collect();
    assert_eq!(&columns[1..].join("|"), message);
    assert_eq!(columns[0].len(), "2026-01-01 00:00:00,000".len());
}
