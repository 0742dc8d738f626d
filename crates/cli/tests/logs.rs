//! The log of a running server: its level, and what happens when nobody reads it.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod process;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fate_testkit::metrics::Scrape;
use fate_testkit::{free_port, wait_for};
use process::{Running, fate_serving, port, run, stderr};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

fn config(directory: &Path, text: &str) -> String {
    let path = directory.join("serving-server.properties");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// One exchange on a connection of its own: the whole answer.
fn exchange(address: &str, request: &str, body: &[u8]) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

fn get(address: &str, path: &str) -> String {
    let answer = exchange(address, &format!("GET {path}"), b"").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    body.to_owned()
}

#[test]
fn levels_change_what_is_written_and_libraries_stay_silent_unless_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = "port=0\nserver.port=0\nlisten.address=127.0.0.1\nmodel.cache.path=.\n";
    let path = config(directory.path(), text);
    let mut server = Running::with_log(&["server", "--config", &path], directory.path());
    let ready = server.wait_for("takes calls");
    let http = format!("127.0.0.1:{}", port(&ready, "http_addr="));
    let grpc = format!("127.0.0.1:{}", port(&ready, "grpc_addr="));
    let request = directory.path().join("request.json");
    fs::write(&request, r#"{"featureData":{"x0":1}}"#).unwrap();
    // The case id names the call's line.
    let infer = |case: &str| {
        let body = format!(r#"{{"featureData":{{"x0":1}},"caseId":"{case}"}}"#);
        fs::write(&request, body).unwrap();
        let file = request.to_str().unwrap();
        let output = run(&["infer", "--address", &grpc, "--service-id", "s", "-f", file]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    };
    // No request line: a line of level debug.
    let nonsense = || {
        let mut connection = TcpStream::connect(&http).unwrap();
        connection.write_all(b"\x01\x02\r\n\r\n").unwrap();
        let mut rest = Vec::new();
        let _ = connection.read_to_end(&mut rest);
    };

    nonsense();
    infer("at-info");
    let set = |path: &str| get(&http, &format!("/server/{path}"));
    assert_eq!(set("alterSysLogLevel/DEBUG"), "ok");
    nonsense();
    infer("at-debug");
    assert_eq!(set("alterSysLogLevel/bogus"), "failed");
    assert_eq!(set("alterPkgLogLevel?level=trace&pkgName=h2"), "ok");
    infer("with-h2");
    assert_eq!(set("alterPkgLogLevel?level=error&pkgName=h2"), "ok");
    assert_eq!(set("alterSysLogLevel/error"), "ok");
    infer("at-error");
    server.signal("TERM");
    let (code, log) = server.finish();
    assert_eq!(code, Some(0), "{log}");

    assert_eq!(
        log.matches("an HTTP connection ended early").count(),
        1,
        "{log}"
    );
    let (before, after) = log.split_once("of=\"h2\"").unwrap();
    for library in [" h2::", " hyper::", " tonic::", " tower::"] {
        assert!(!before.contains(library), "{library} in {before}");
    }
    assert!(after.contains(" h2::"), "{after}");
    assert!(
        before.contains("the level is not a log4j2 level name"),
        "{before}"
    );
    for (case, is_there) in [
        ("at-info|104|", true),
        ("at-debug|104|", true),
        ("with-h2|104|", true),
        ("at-error|104|", false),
    ] {
        assert_eq!(log.contains(case), is_there, "{case} in {log}");
    }
}

/// A server whose log nobody has read, more of which waits than it keeps.
struct Unread {
    child: Child,
    http: String,
    _directory: TempDir,
}

impl Unread {
    fn flooded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let http = format!("127.0.0.1:{}", free_port());
        let text = format!(
            "port=0\nserver.port={}\nlisten.address=127.0.0.1\nmodel.cache.path=.\nprint.input.data=true\nprint.mask=false\n",
            http.rsplit_once(':').unwrap().1
        );
        let path = config(directory.path(), &text);
        let child = fate_serving(&["server", "--config", &path])
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Self {
            child,
            http,
            _directory: directory,
        };
        wait_for("the server", PATIENCE, || {
            let answer = exchange(&server.http, "GET /livez", b"").ok()?;
            answer.starts_with("HTTP/1.1 200").then_some(())
        });
        // More than the pipe, what is on its way and what may wait take together.
        let body = format!(
            r#"{{"serviceId":"nobody","filler":"{}"}}"#,
            "y".repeat(60_000)
        );
        for _ in 0..250 {
            let answer = exchange(&server.http, "POST /v1/inference", body.as_bytes()).unwrap();
            assert!(answer.contains(r#"{"retcode":104,"#), "{answer}");
        }
        server
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.unwrap().success());
    }

    fn end(&mut self) -> Option<i32> {
        let limit = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < limit, "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_that_nobody_reads_stops_no_call_and_tells_what_is_missing() {
    let mut server = Unread::flooded();
    let page = get(&server.http, "/metrics");
    let dropped = Scrape::read(&page).sum("fate_serving_log_dropped_total", &[]);
    assert!(dropped > Some(0.0), "{dropped:?}");

    let mut lines = BufReader::new(server.child.stderr.take().unwrap()).lines();
    let missing = lines.find(|line| {
        line.as_ref()
            .unwrap()
            .contains("lines of the log are missing")
    });
    let missing = missing.unwrap().unwrap();
    assert!(
        missing.contains(&format!("lines={}", dropped.unwrap())),
        "{missing}"
    );
    server.terminate();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(
        rest.iter()
            .any(|line| line.contains("serving-server stopped"))
    );
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_a_server_from_ending() {
    let mut server = Unread::flooded();
    server.terminate();
    assert_eq!(server.end(), Some(0));
}
