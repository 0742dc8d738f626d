//! What a call between three processes costs when nothing is computed: the floor under a federated score on this machine.
//!
//! ```sh
//! cargo build --release -p fate-benches && target/release/wake_ups
//! ```
//!
//! A client (this program) sends a kibibyte to "guest", which sends it on to "host" and brings the answer back, on one
//! connection each, one call after the other. CPU is user and system time of guest and host together, from `/proc`, as
//! in `fate-serving bench`. The same three processes talk through blocking sockets, through tokio on one thread, and
//! through tonic; each of them with the processors as they are, and with all three held on the first one, where a
//! message wakes no processor that sleeps.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "figures are what stdout is for")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use fate_proto::proxy::data_transfer_service_client::DataTransferServiceClient;
use fate_proto::proxy::data_transfer_service_server::{
    DataTransferService, DataTransferServiceServer,
};
use fate_proto::proxy::{Data, Packet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

const MESSAGE: usize = 1 << 10;
const KINDS: [&str; 3] = ["blocking", "tokio", "tonic"];
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);

/// Without arguments everything is measured; `<kind>` is a host, `<kind> <address>` a guest of the host there.
fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next();
    let host = arguments.next().map(|text| text.parse()).transpose()?;
    let lone = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match kind.as_deref() {
        None => measure(&lone),
        Some("blocking") => blocking(host),
        Some("tokio") => lone.block_on(asynchronous(host)),
        Some("tonic") => lone.block_on(called(host)),
        Some(other) => anyhow::bail!("no kind is called {other}"),
    }
}

fn measure(lone: &tokio::runtime::Runtime) -> anyhow::Result<()> {
    println!(
        "load average {}",
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    println!("kind      processors  CPU us of both  p50 us");
    for kind in KINDS {
        for is_held in [false, true] {
            let host = Process::start(kind, None)?;
            let guest = Process::start(kind, Some(host.address))?;
            let pids = [host.child.id(), guest.child.id(), std::process::id()];
            pids.iter().try_for_each(|pid| hold(*pid, is_held))?;
            for _ in 0..ROUNDS {
                let before = host.cpu()? + guest.cpu()?;
                let mut times = if kind == "tonic" {
                    lone.block_on(tonic_calls(guest.address))?
                } else {
                    calls(guest.address)?
                };
                let used = (host.cpu()? + guest.cpu()?).saturating_sub(before);
                times.sort_unstable();
                println!(
                    "{kind:<9} {:>10}  {:>14.1}  {:>6.0}",
                    if is_held { "one" } else { "all" },
                    used.as_secs_f64() * 1e6 / times.len() as f64,
                    times[times.len() / 2].as_secs_f64() * 1e6
                );
            }
        }
    }
    Ok(())
}

/// Holds a process, all its threads, on the first processor, or lets it go.
fn hold(pid: u32, is_held: bool) -> anyhow::Result<()> {
    let processors = if is_held { "0" } else { "0-1023" };
    let status = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", processors])
        .arg(pid.to_string())
        .stdout(Stdio::null())
        .status()
        .context("taskset (util-linux)")?;
    ensure!(status.success(), "taskset: {status}");
    Ok(())
}

/// How long each call took.
fn calls(guest: SocketAddr) -> anyhow::Result<Vec<Duration>> {
    let mut stream = connected(guest)?;
    let mut message = [b'x'; MESSAGE];
    let mut times = Vec::new();
    let end = Instant::now() + ROUND;
    while Instant::now() < end {
        let start = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        times.push(start.elapsed());
    }
    Ok(times)
}

async fn tonic_calls(guest: SocketAddr) -> anyhow::Result<Vec<Duration>> {
    let mut client = client(guest).await?;
    let packet = Packet {
        header: None,
        body: Some(Data {
            key: String::new(),
            value: Bytes::from(vec![b'x'; MESSAGE]),
        }),
        auth: None,
    };
    let mut times = Vec::new();
    let end = Instant::now() + ROUND;
    while Instant::now() < end {
        let start = Instant::now();
        client.unary_call(packet.clone()).await?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn blocking(host: Option<SocketAddr>) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let mut host = host.map(connected).transpose()?;
    let mut message = [0; MESSAGE];
    for stream in listener.incoming() {
        let mut stream = stream?;
        stream.set_nodelay(true)?;
        while stream.read_exact(&mut message).is_ok() {
            if let Some(host) = &mut host {
                host.write_all(&message)?;
                host.read_exact(&mut message)?;
            }
            stream.write_all(&message)?;
        }
    }
    Ok(())
}

fn connected(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn asynchronous(host: Option<SocketAddr>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let mut host = match host {
        None => None,
        Some(address) => Some(tokio::net::TcpStream::connect(address).await?),
    };
    if let Some(host) = &host {
        host.set_nodelay(true)?;
    }
    let mut message = [0; MESSAGE];
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        while stream.read_exact(&mut message).await.is_ok() {
            if let Some(host) = &mut host {
                host.write_all(&message).await?;
                host.read_exact(&mut message).await?;
            }
            stream.write_all(&message).await?;
        }
    }
}

/// Answers a packet with itself, or with what the host answers.
#[derive(Debug)]
struct Called {
    host: Option<DataTransferServiceClient<Channel>>,
}

#[tonic::async_trait]
impl DataTransferService for Called {
    async fn unary_call(&self, request: Request<Packet>) -> Result<Response<Packet>, Status> {
        match self.host.clone() {
            None => Ok(Response::new(request.into_inner())),
            Some(mut host) => host.unary_call(request.into_inner()).await,
        }
    }
}

async fn client(address: SocketAddr) -> anyhow::Result<DataTransferServiceClient<Channel>> {
    let endpoint = Endpoint::try_from(format!("http://{address}"))?.tcp_nodelay(true);
    Ok(DataTransferServiceClient::new(endpoint.connect().await?))
}

async fn called(host: Option<SocketAddr>) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let host = match host {
        None => None,
        Some(address) => Some(client(address).await?),
    };
    println!("{}", listener.local_addr()?);
    Server::builder()
        .add_service(DataTransferServiceServer::new(Called { host }))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

/// This program in another part, stopped when it is dropped.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(kind: &str, host: Option<SocketAddr>) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(kind)
            .args(host.map(|address| address.to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = std::io::BufReader::new(child.stdout.take().context("stdout")?);
        let line = std::io::BufRead::lines(said)
            .next()
            .context("a process ended before it listened")??;
        Ok(Self {
            child,
            address: line.parse()?,
        })
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        fate_benches::cpu(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
