//! Real Redis servers from Debian's package `redis-server`, alone or as a cluster, in the clear or with TLS.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Link, ServerFiles, free_port, wait_for};

const START_PATIENCE: Duration = Duration::from_secs(30);

/// One server that keeps nothing on disk.
#[derive(Debug)]
pub struct Redis {
    home: TempDir,
    port: u16,
    options: Vec<String>,
    password: Option<String>,
    is_secured: bool,
    child: Option<Child>,
}

impl Redis {
    /// A server of its own that answers; `None` when Redis is not installed and may be left out.
    ///
    /// # Panics
    /// When it is not installed and may not be left out, or does not start.
    pub fn start() -> Option<Self> {
        Self::start_with(free_port(), None, None, &[])
    }

    /// As [`Self::start`], for those who know the password.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with_password(password: &str) -> Option<Self> {
        Self::start_with(free_port(), Some(password), None, &[])
    }

    /// As [`Self::start`], speaking TLS only.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with_tls(files: &ServerFiles) -> Option<Self> {
        Self::start_with(free_port(), None, Some(files), &[])
    }

    fn start_with(
        port: u16,
        password: Option<&str>,
        tls: Option<&ServerFiles>,
        more: &[(&str, &str)],
    ) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let mut server = Self {
            home: tempfile::tempdir().unwrap(),
            port,
            options: Vec::new(),
            password: password.map(str::to_owned),
            is_secured: tls.is_some(),
            child: None,
        };
        let directory = server.home.path().display().to_string();
        server.option("bind", "127.0.0.1");
        server.option("dir", &directory);
        server.option("save", "");
        server.option("appendonly", "no");
        let port = server.port.to_string();
        match tls {
            None => server.option("port", &port),
            Some(files) => {
                server.option("port", "0");
                server.option("tls-port", &port);
                server.option("tls-cert-file", &files.cert_chain.display().to_string());
                server.option("tls-key-file", &files.private_key.display().to_string());
                server.option("tls-ca-cert-file", &files.ca.display().to_string());
                server.option(
                    "tls-auth-clients",
                    if files.asks_for_clients { "yes" } else { "no" },
                );
            }
        }
        if let Some(password) = password {
            server.option("requirepass", password);
        }
        for (name, value) in more {
            server.option(name, value);
        }
        server.run();
        server.wait_until_it_answers();
        Some(server)
    }

    fn option(&mut self, name: &str, value: &str) {
        self.options.extend([format!("--{name}"), value.to_owned()]);
    }

    fn run(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        let child = Command::new("redis-server")
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    fn wait_until_it_answers(&self) {
        let what = format!("Redis answers, log in {}", self.log().display());
        wait_for(&what, START_PATIENCE, || {
            if self.is_secured {
                return TcpStream::connect(("127.0.0.1", self.port)).ok().map(drop);
            }
            let answer = self.ask(&["PING"])?;
            (answer == "+PONG").then_some(())
        });
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    /// The port of 127.0.0.1, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it as a power failure would, with everything it knows.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it again, empty, on its port.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
        self.wait_until_it_answers();
    }

    /// Everything is refused or waits until [`Self::go_on`]: the process stands still.
    pub fn stand_still(&self) {
        self.signal("-STOP");
    }

    /// Ends [`Self::stand_still`].
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().unwrap();
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// A command's answer as Redis spells it: the text of a string, `+…`, `-…`, `:…`, or `$-1` for nothing. Not for
    /// lists, and not over TLS.
    pub fn ask(&self, command: &[&str]) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        if let Some(password) = &self.password {
            let answer = exchange(&mut stream, &["AUTH", password])?;
            assert_eq!(answer, "+OK");
        }
        exchange(&mut stream, command)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn exchange(stream: &mut TcpStream, command: &[&str]) -> Option<String> {
    let mut text = format!("*{}\r\n", command.len());
    for word in command {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(text.as_bytes()).ok()?;
    let first = line(stream)?;
    match first.strip_prefix('$').map(str::parse::<usize>) {
        Some(Ok(length)) => {
            let mut value = vec![0; length + 2];
            stream.read_exact(&mut value).ok()?;
            value.truncate(length);
            String::from_utf8(value).ok()
        }
        _ => Some(first),
    }
}

fn line(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).ok()?;
        text.push(byte[0]);
    }
    text.truncate(text.len() - 2);
    String::from_utf8(text).ok()
}

/// Three servers that share the slots, without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    pub servers: Vec<Redis>,
}

impl RedisCluster {
    /// A cluster that serves; `None` as [`Redis::start`].
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn start() -> Option<Self> {
        let ports = [(); 3].map(|()| free_port());
        Self::start_at(ports, ports, None)
    }

    /// A cluster for those who know the password, whose servers name links to them as their addresses.
    ///
    /// # Panics
    /// As [`Redis::start`].
    pub fn start_behind_links(password: &str) -> Option<(Self, Vec<Link>)> {
        let ports = [(); 3].map(|()| free_port());
        let links = ports.map(|port| Link::to(&format!("127.0.0.1:{port}")));
        let named = [0, 1, 2].map(|number| links[number].port());
        let cluster = Self::start_at(ports, named, Some(password))?;
        Some((cluster, links.into()))
    }

    fn start_at(ports: [u16; 3], named: [u16; 3], password: Option<&str>) -> Option<Self> {
        const RANGES: [[&str; 2]; 3] = [["0", "5460"], ["5461", "10922"], ["10923", "16383"]];
        let mut servers = Vec::new();
        let mut buses = Vec::new();
        for (range, (port, named)) in RANGES.iter().zip(ports.into_iter().zip(named)) {
            let (bus, named) = (free_port().to_string(), named.to_string());
            let options = [
                ("cluster-enabled", "yes"),
                ("cluster-node-timeout", "1000"),
                ("cluster-port", bus.as_str()),
                ("cluster-announce-port", named.as_str()),
                ("cluster-announce-bus-port", bus.as_str()),
            ];
            let server = Redis::start_with(port, password, None, &options)?;
            let added = server.ask(&["CLUSTER", "ADDSLOTSRANGE", range[0], range[1]]);
            assert_eq!(added.as_deref(), Some("+OK"));
            servers.push(server);
            buses.push(bus);
        }
        for (other, bus) in servers.iter().zip(&buses).skip(1) {
            let port = other.port.to_string();
            let met = servers[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]);
            assert_eq!(met.as_deref(), Some("+OK"));
        }
        let cluster = Self { servers };
        cluster.wait_until_it_serves();
        Some(cluster)
    }

    fn wait_until_it_serves(&self) {
        for server in &self.servers {
            wait_for("the cluster serves", START_PATIENCE, || {
                let state = server.ask(&["CLUSTER", "INFO"])?;
                let is_whole = state.contains("cluster_known_nodes:3");
                (is_whole && state.contains("cluster_state:ok")).then_some(())
            });
        }
    }

    /// Ends all servers as a power failure would.
    pub fn kill(&mut self) {
        self.servers.iter_mut().for_each(Redis::kill);
    }

    /// Starts them again, empty, with the slots they had.
    pub fn restart(&mut self) {
        self.servers.iter_mut().for_each(Redis::restart);
        self.wait_until_it_serves();
    }

    /// A command's answer, of the server that has the key.
    pub fn ask(&self, command: &[&str]) -> Option<String> {
        let mut answers = self.servers.iter().filter_map(|server| server.ask(command));
        answers.find(|answer| !answer.starts_with("-MOVED"))
    }

    /// A value, wherever it is.
    pub fn value(&self, key: &str) -> Option<String> {
        let mut answers = self.servers.iter().map(|server| server.ask(&["GET", key]));
        answers.find_map(|answer| answer.filter(|text| !text.starts_with(['-', '$'])))
    }
}

/// Whether Redis can be run.
fn is_installed() -> bool {
    let version = Command::new("redis-server")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let is_there = version.is_ok_and(|done| done.success());
    let may_be_left_out = std::env::var("FATE_TEST_WITHOUT_SERVICES").as_deref() == Ok("1");
    assert!(
        is_there || may_be_left_out,
        "Redis is not installed: install the package redis-server, or set FATE_TEST_WITHOUT_SERVICES=1 to leave its tests out"
    );
    if !is_there {
        // The harness shows it only on failure, but so it stands in the log of a run that is looked into.
        let _ = writeln!(std::io::stderr(), "SKIPPED: Redis is not installed");
    }
    is_there
}
