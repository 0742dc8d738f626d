//! A role that has lost a lane ends, for whoever supervises it to start it anew.
//!
//! From outside a lane can be kept from starting: its runtime needs open files, and those can be short. One that panics
//! cannot be had in a sound process, and no switch for it is built in; `edge::lane`'s own test has it.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use process::{Running, fate_serving};

/// The number of the last open file of the last lane: lanes are the last thing that starts.
fn last_event_queue(process: u32) -> u64 {
    let files = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let files = files.flatten().map(|entry| entry.path());
    let is_queue = |path: &PathBuf| {
        fs::read_link(path).is_ok_and(|target| target == Path::new("anon_inode:[eventpoll]"))
    };
    let number = |path: PathBuf| path.file_name()?.to_str()?.parse().ok();
    files.filter(is_queue).filter_map(number).max().unwrap()
}

/// Once nothing starts any more: a role says that it takes calls while lanes are still starting.
fn settled(process: u32) -> u64 {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let now = last_event_queue(process);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() > Duration::from_millis(500) {
            return last;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The command with room for open files of lower numbers only.
fn limited(arguments: &[&str], most: u64) -> Command {
    let own = fate_serving(arguments);
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"ulimit -n "$0" && exec "$@""#, &most.to_string()])
        .arg(own.get_program())
        .args(own.get_args())
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

fn a_role_without_a_lane_ends_with_1(role: &str, properties: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("role.properties");
    fs::write(&path, properties).unwrap();
    let table = r#"{"route_table":{},"permission":{"default_allow":true}}"#;
    fs::write(directory.path().join("route_table.json"), table).unwrap();
    let arguments = [role, "--config", path.to_str().unwrap()];
    let mut sound = Running::with_log(&arguments, directory.path());
    sound.wait_for("takes calls");
    let queue = settled(sound.id());
    sound.signal("TERM");
    let (code, log) = sound.finish();
    assert_eq!(code, Some(0), "{log}");

    let mut short = limited(&arguments, queue);
    let output = short.current_dir(directory.path()).output().unwrap();
    let log = process::stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{log}");
    for said in [
        "the gRPC listener failed",
        "Too many open files",
        "a listener has failed; draining",
        "stopped",
    ] {
        assert!(log.contains(said), "{said} is not in {log}");
    }
}

#[test]
fn a_server_without_a_lane_ends_with_1() {
    let properties = "port=0\nserver.port=0\nmodel.cache.path=.\n";
    a_role_without_a_lane_ends_with_1("server", properties);
}

#[test]
fn a_proxy_without_a_lane_ends_with_1() {
    let properties = "coordinator=9999\nserver.port=0\nproxy.grpc.intra.port=0\n\
                      proxy.grpc.inter.port=0\nuseZkRouter=false\nroute.table=route_table.json\n";
    a_role_without_a_lane_ends_with_1("proxy", properties);
}
