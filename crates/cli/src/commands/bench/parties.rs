//! A guest and its hosts as processes on loopback.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fate_golden::{Party, Set};
use fate_server::config::Address;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use super::relay::Relay;
use crate::cluster::{self, Publisher, address_of};

/// Restoring nothing and opening two ports takes far less.
const START_LIMIT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Nothing is in flight any more when servers are stopped.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What a server says in its log when it has started.
const READY: &str = "takes calls";

#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    /// The program to start; none for this one.
    pub(super) program: Option<&'a Path>,
    /// Further lines for every server's properties.
    pub(super) properties: &'a [String],
    /// Whether the guest reaches its hosts through relays that count.
    pub(super) relay: bool,
}

/// Running servers with one set loaded and bound; dropping them kills the processes.
#[derive(Debug)]
pub(super) struct Parties {
    guest: Process,
    hosts: Vec<Process>,
    relays: Vec<Relay>,
    service_id: String,
    /// Removed after the processes that write into it.
    directory: TempDir,
}

/// One serving-server.
#[derive(Debug)]
struct Process {
    child: Child,
    pid: u32,
    grpc: Address,
    http: Address,
}

impl Parties {
    pub(super) async fn start(set: &Set, setting: &Setting<'_>) -> anyhow::Result<Parties> {
        let directory = tempfile::Builder::new()
            .prefix("fate-bench-")
            .tempdir()
            .context("no directory for the servers")?;
        let mut hosts = Vec::new();
        let mut addresses = BTreeMap::new();
        let mut routes = BTreeMap::new();
        let mut relays = Vec::new();
        for (index, party) in set.hosts().iter().enumerate() {
            let home = directory.path().join(format!("host_{index}"));
            let host = start_host(party, &home, setting).await?;
            addresses.insert(party.party_id.clone(), host.grpc.clone());
            let mut route = host.grpc.clone();
            if setting.relay {
                let relay = Relay::to(route).await.context("relay")?;
                route = address_of(relay.address);
                relays.push(relay);
            }
            routes.insert(party.party_id.clone(), route);
            hosts.push(host);
        }
        let home = directory.path().join("guest");
        let guest = start_guest(&routes, &home, setting).await?;
        let service_id = publish(set, &guest, addresses).await?;
        Ok(Parties {
            guest,
            hosts,
            relays,
            service_id,
            directory,
        })
    }

    pub(super) fn guest_grpc(&self) -> Address {
        self.guest.grpc.clone()
    }

    pub(super) fn guest_http(&self) -> Address {
        self.guest.http.clone()
    }

    pub(super) fn service_id(&self) -> &str {
        &self.service_id
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        let hosts = self.hosts.iter().map(|host| host.pid);
        hosts.chain([self.guest.pid]).collect()
    }

    /// Bytes between guest and hosts so far, if they are counted.
    pub(super) fn relayed(&self) -> Option<u64> {
        (!self.relays.is_empty()).then(|| self.relays.iter().map(Relay::bytes).sum())
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        for process in [&mut self.guest].into_iter().chain(&mut self.hosts) {
            process.stop().await.context("stopping a server")?;
        }
        self.directory.close().context("the servers' directory")
    }
}

impl Process {
    /// As an operator stops it, so that it ends what a program does at its end; killed if that does not come.
    async fn stop(&mut self) -> anyhow::Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid)?);
        signal::kill(pid, Signal::SIGTERM)?;
        if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

async fn publish(
    set: &Set,
    guest: &Process,
    hosts: BTreeMap<String, Address>,
) -> anyhow::Result<String> {
    let transfer = cluster::transfer_endpoint(&[Arc::new(set.clone())])
        .await
        .context("the transfer endpoint cannot be started")?;
    let publisher = Publisher {
        guest: guest.grpc.clone(),
        hosts,
        transfer_url: transfer.url(),
    };
    for party in &set.parties {
        let loaded = publisher.load(set, party).await?;
        loaded.map_err(anyhow::Error::msg)?;
    }
    publisher.bind(set).await?.map_err(anyhow::Error::msg)
}

async fn start_guest(
    routes: &BTreeMap<String, Address>,
    home: &Path,
    setting: &Setting<'_>,
) -> anyhow::Result<Process> {
    let routes: Vec<String> = routes
        .iter()
        .map(|(party, address)| format!("{party}={address}"))
        .collect();
    let properties = format!("federation.hosts={}\n", routes.join(","));
    start(home, &properties, setting).await.context("guest")
}

async fn start_host(party: &Party, home: &Path, setting: &Setting<'_>) -> anyhow::Result<Process> {
    let name = || format!("host {}", party.party_id);
    std::fs::create_dir_all(home).with_context(name)?;
    let rows = home.join("rows.txt");
    std::fs::write(&rows, picked_rows(party)?).with_context(name)?;
    let properties = format!(
        "feature.single.adaptor=file-pick\nfeature.batch.adaptor=file-pick\nhost.data.file={}\n",
        rows.display()
    );
    start(home, &properties, setting).await.with_context(name)
}

/// A line `id,name:value;name:value` for each row, as the file-pick source reads it.
fn picked_rows(party: &Party) -> anyhow::Result<String> {
    let is_plain = |text: &str| !text.contains([',', ':', ';', '\n', '\r']);
    let columns = &party.table.columns;
    let mut text = String::new();
    for row in &party.table.rows {
        let cells: Vec<(&String, &String)> = row
            .cells
            .iter()
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(column, cell)| (&columns[*column], cell))
            .collect();
        let parts = cells.iter().flat_map(|(name, cell)| [*name, *cell]);
        for part in parts.chain([&row.id]) {
            anyhow::ensure!(
                is_plain(part),
                "{part:?} of host {} cannot be written into a file for the file-pick source",
                party.party_id
            );
        }
        let cells: Vec<String> = cells
            .iter()
            .map(|(name, cell)| format!("{name}:{cell}"))
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{},{}", row.id, cells.join(";"));
    }
    Ok(text)
}

async fn start(home: &Path, properties: &str, setting: &Setting<'_>) -> anyhow::Result<Process> {
    std::fs::create_dir_all(home)?;
    let config = home.join("serving-server.properties");
    let mut text = format!(
        "listen.address=127.0.0.1\nport=0\nserver.port=0\nbatch.inference.max=10000\nmodel.cache.path={}\n{properties}",
        home.display()
    );
    for line in setting.properties {
        text.push_str(line);
        text.push('\n');
    }
    std::fs::write(&config, text)?;
    let log = home.join("server.log");
    let program = match setting.program {
        Some(program) => program.to_owned(),
        None => std::env::current_exe().context("the path of this program")?,
    };
    let mut child = Command::new(&program)
        .args(["--log-level", "info", "server", "--config"])
        .arg(&config)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pid = child.id().context("the server has ended at once")?;
    let ready = wait_for_ready(&mut child, &log).await?;
    let address = |name: &str| {
        address_in(&ready, name).with_context(|| format!("no {name} in its log: {ready}"))
    };
    Ok(Process {
        pid,
        grpc: address("grpc_addr=")?,
        http: address("http_addr=")?,
        child,
    })
}

async fn wait_for_ready(child: &mut Child, log: &PathBuf) -> anyhow::Result<String> {
    let limit = Instant::now() + START_LIMIT;
    loop {
        let text = std::fs::read_to_string(log)?;
        if let Some(line) = text.lines().find(|line| line.contains(READY)) {
            return Ok(line.to_owned());
        }
        if let Some(status) = child.try_wait()? {
            anyhow::bail!("the server ended with {status}:\n{text}");
        }
        anyhow::ensure!(Instant::now() < limit, "the server did not start:\n{text}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// `grpc_addr=127.0.0.1:41 http_addr=Some(127.0.0.1:42)`.
fn address_in(line: &str, name: &str) -> Option<Address> {
    let (_, behind) = line.split_once(name)?;
    let text = behind.strip_prefix("Some(").unwrap_or(behind);
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ':')))
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_the_log() {
        let line =
            "INFO serving-server takes calls grpc_addr=127.0.0.1:41 http_addr=Some(127.0.0.1:42)";
        let address = |name| address_in(line, name).unwrap().to_string();
        assert_eq!(address("grpc_addr="), "127.0.0.1:41");
        assert_eq!(address("http_addr="), "127.0.0.1:42");
        assert_eq!(address_in(line, "other="), None);
    }
}
