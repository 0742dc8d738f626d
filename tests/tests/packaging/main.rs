//! What stands in `conf/` is true: keys exist, files can be read, units and charts are accepted by the programs that they
//! are for, where those are installed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]
#![allow(
    clippy::print_stderr,
    reason = "what is left out is told to whoever looks into a run"
)]

mod containers;
mod helm;
mod properties;
mod systemd;

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn conf(path: &str) -> PathBuf {
    root().join("conf").join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below `folder`.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Whether a program that checks something is there; its check is left out otherwise.
fn is_installed(program: &str) -> bool {
    let is_there = Command::new(program).arg("--help").output().is_ok();
    if !is_there {
        eprintln!("SKIPPED: {program} is not installed");
    }
    is_there
}

/// Output of a command that has to end well.
fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (text, complaint) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{command:?}: {text}{complaint}");
    text
}

/// ms that a stopping role waits for calls in flight, as shipped.
fn longest_drain_ms() -> u64 {
    let server = fate_server::Config::from_pairs([]).unwrap().drain_timeout;
    let proxy = fate_proxy::Config::from_pairs([("useZkRouter", "false")]).unwrap();
    let longest = server.max(proxy.drain_timeout);
    u64::try_from(longest.as_millis()).unwrap()
}
