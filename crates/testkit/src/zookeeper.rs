//! Real ZooKeeper servers from Debian's package `zookeeper`, alone or as an ensemble.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{free_port, wait_for};

const JARS: [&str; 2] = [
    "/usr/share/java/zookeeper.jar",
    "/usr/share/java/slf4j-simple.jar",
];

/// A virtual machine on a busy machine takes its time.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// One server. Sessions last between 2 and 20 ticks of 500 ms.
#[derive(Debug)]
pub struct ZooKeeper {
    home: TempDir,
    port: u16,
    child: Option<Child>,
}

impl ZooKeeper {
    /// A server of its own that answers; `None` when ZooKeeper is not installed and may be left out.
    ///
    /// # Panics
    /// When it is not installed and may not be left out, or does not start.
    pub fn start() -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let mut server = Self::configured(None);
        server.run();
        server.wait_until_it_answers();
        Some(server)
    }

    /// `id` and the lines of all servers, for a member of an ensemble.
    fn configured(member: Option<(usize, &str)>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let port = free_port();
        let mut text = format!(
            "tickTime=500\ninitLimit=20\nsyncLimit=8\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n",
            data.display()
        );
        if let Some((id, servers)) = member {
            text.push_str(servers);
            std::fs::write(data.join("myid"), id.to_string()).unwrap();
        }
        std::fs::write(home.path().join("zoo.cfg"), text).unwrap();
        Self {
            home,
            port,
            child: None,
        }
    }

    fn run(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let child = Command::new("java")
            .args(["-Xmx96m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .args(["-cp", &JARS.join(":")])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(self.home.path().join("zoo.cfg"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    fn wait_until_it_answers(&self) {
        let what = format!("ZooKeeper answers, log in {}", self.log().display());
        wait_for(&what, START_PATIENCE, || self.mode());
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// `127.0.0.1:<port>`, the same after a restart.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it as a power failure would. Its data stay.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again on its data and its port.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
        self.wait_until_it_answers();
    }

    /// `standalone`, `leader` or `follower`; `None` while it does not serve.
    pub fn mode(&self) -> Option<String> {
        let answer = self.ask("srvr")?;
        let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "));
        mode.map(str::to_owned)
    }

    /// A four-letter command's answer.
    pub fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        stream.write_all(command.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Servers that elect a leader among them.
#[derive(Debug)]
pub struct Ensemble {
    /// In no order of rank.
    pub servers: Vec<ZooKeeper>,
}

impl Ensemble {
    /// An ensemble that has a leader; `None` as [`ZooKeeper::start`].
    pub fn start(size: usize) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let mut lines = String::new();
        for id in 1..=size {
            let (peer, election) = (free_port(), free_port());
            writeln!(lines, "server.{id}=127.0.0.1:{peer}:{election}").unwrap();
        }
        let mut ensemble = Self {
            servers: (1..=size)
                .map(|id| ZooKeeper::configured(Some((id, &lines))))
                .collect(),
        };
        for server in &mut ensemble.servers {
            server.run();
        }
        for server in &ensemble.servers {
            server.wait_until_it_answers();
        }
        Some(ensemble)
    }

    /// All addresses, as `zk.url` has them.
    pub fn addresses(&self) -> String {
        let addresses: Vec<String> = self.servers.iter().map(ZooKeeper::address).collect();
        addresses.join(",")
    }

    /// The one that leads now.
    pub fn leader(&mut self) -> &mut ZooKeeper {
        let position = wait_for("a leader", START_PATIENCE, || {
            let mut servers = self.servers.iter();
            servers.position(|one| one.mode().as_deref() == Some("leader"))
        });
        &mut self.servers[position]
    }
}

/// Whether ZooKeeper can be run.
fn is_installed() -> bool {
    let java = Command::new("java")
        .arg("-version")
        .stderr(Stdio::null())
        .status();
    let is_there =
        java.is_ok_and(|done| done.success()) && JARS.iter().all(|jar| Path::new(jar).exists());
    let may_be_left_out = std::env::var("FATE_TEST_WITHOUT_SERVICES").as_deref() == Ok("1");
    assert!(
        is_there || may_be_left_out,
        "ZooKeeper is not installed: install the packages zookeeper and default-jre-headless, or set \
         FATE_TEST_WITHOUT_SERVICES=1 to leave its tests out"
    );
    if !is_there {
        // The harness shows it only on failure, but so it stands in the log of a run that is looked into.
        let _ = writeln!(std::io::stderr(), "SKIPPED: ZooKeeper is not installed");
    }
    is_there
}
