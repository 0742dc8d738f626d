//! The units: systemd accepts them, and they give a drain its time.

use std::process::Command;

use super::{conf, is_installed, longest_drain_ms, read, succeed};

const UNITS: [&str; 2] = ["fate-serving-server.service", "fate-serving-proxy.service"];

fn value<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut lines = unit.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("{name} is missing"))
}

#[test]
fn a_drain_has_its_time_and_a_wrong_configuration_is_not_tried_again() {
    for name in UNITS {
        let unit = read(conf("systemd").join(name));
        let patience: u64 = value(&unit, "TimeoutStopSec").parse().unwrap();
        assert!(patience * 1000 > longest_drain_ms(), "{name}");
        assert_eq!(value(&unit, "RestartPreventExitStatus"), "2");
        let start = value(&unit, "ExecStart");
        assert_eq!(
            value(&unit, "ExecStartPre"),
            format!("{start} --check-config")
        );
    }
}

/// The program of the units is not installed here: `true` stands in for it.
#[test]
fn systemd_accepts_the_units() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for name in UNITS {
        let unit = read(conf("systemd").join(name)).replace("/usr/bin/fate-serving", "/bin/true");
        let path = folder.path().join(name);
        std::fs::write(&path, unit).unwrap();
        let path = path.to_str().unwrap();
        let said = succeed(Command::new("systemd-analyze").args(["verify", "--man=no", path]));
        assert_eq!(said, "", "{name}");
        // 0 is closed, 10 open; a unit without any protection has 9.6.
        let offline = ["security", "--offline=yes", "--threshold=15", "--no-pager"];
        succeed(Command::new("systemd-analyze").args(offline).arg(path));
    }
}
