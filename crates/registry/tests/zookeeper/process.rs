//! A process that registers, to be stopped and killed: this test program itself, asked for one test.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fate_registry::Registry;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{follower, offers, settings};

const ADDRESS: &str = "FATE_REGISTRY_TEST_ADDRESS";
const PORT: &str = "FATE_REGISTRY_TEST_PORT";

/// A process that offers everything on its port and follows `serving`.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(address: &str, port: u16) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "process::registers_until_its_input_ends",
                "--nocapture",
            ])
            .env(ADDRESS, address)
            .env(PORT, port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    /// Ends it at once.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// What it has computed so far, user and system.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        // The kernel counts in hundredths for every program.
        Duration::from_millis(ticks * 10)
    }

    /// Open files and sockets.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0.id()))
            .unwrap()
            .count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test unless it is asked for by [`Process`].
#[test]
fn registers_until_its_input_ends() {
    let (Ok(address), Ok(port)) = (std::env::var(ADDRESS), std::env::var(PORT)) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut settings = settings(&address, port.parse().unwrap());
        settings.follow = follower(&address).follow;
        let registry = Registry::open(settings);
        registry.announce(offers());
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        ended.await.unwrap().unwrap();
    });
}
