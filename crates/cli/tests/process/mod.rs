//! The binary as a process, and golden sets to give to it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a helper of a test fails the test, and not every test needs every helper"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn golden(name: &str) -> PathBuf {
    std::env::var_os("FATE_GOLDEN")
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"),
            PathBuf::from,
        )
        .join(name)
}

pub(crate) fn fate_serving(arguments: &[&str]) -> Command {
    // FATE_SERVING names another build of it, for measurements.
    let own = || env!("CARGO_BIN_EXE_fate-serving").into();
    let mut command = Command::new(std::env::var_os("FATE_SERVING").unwrap_or_else(own));
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    fate_serving(arguments).output().unwrap()
}

/// Runs a command with a text on stdin.
pub(crate) fn run_with(arguments: &[&str], stdin: &str) -> Output {
    let mut child = fate_serving(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A copy of a set that a test may damage.
pub(crate) fn copy_set(name: &str, into: &Path) -> PathBuf {
    let copy = into.join(name);
    copy_directory(&golden(name), &copy);
    copy
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The number after `name=` and an address in a line of the log.
pub(crate) fn port(line: &str, name: &str) -> u16 {
    let after = line.split_once(name).unwrap().1;
    let digits = after.split_once(':').unwrap().1;
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().unwrap()
}

/// A process that is killed when the test is over.
pub(crate) struct Running {
    child: Child,
    output: BufReader<Box<dyn Read>>,
}

impl Running {
    /// Starts a command to read its log, which goes to stderr.
    pub(crate) fn with_log(arguments: &[&str], directory: &Path) -> Running {
        let mut child = fate_serving(arguments)
            .current_dir(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = child.stderr.take().unwrap();
        Running {
            child,
            output: BufReader::new(Box::new(log)),
        }
    }

    /// Starts a command to read its results, which go to stdout.
    pub(crate) fn with_results(arguments: &[&str]) -> Running {
        let mut child = fate_serving(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let results = child.stdout.take().unwrap();
        Running {
            child,
            output: BufReader::new(Box::new(results)),
        }
    }

    /// Reads the output up to a line with this text.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            let length = self.output.read_line(&mut line).unwrap();
            assert_ne!(length, 0, "the process ended without {text:?}:\n{seen}");
            if line.contains(text) {
                return line;
            }
            seen.push_str(&line);
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for the end: the exit code and the rest of the output.
    pub(crate) fn finish(mut self) -> (Option<i32>, String) {
        // The pipe ends with the process.
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), rest);
            }
            std::thread::yield_now();
        }
        panic!("the process closed its output and did not end:\n{rest}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
