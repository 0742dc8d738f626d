//! What a forwarded packet costs: CPU of `fate-serving proxy` per packet beside the CPU of a bare tonic echo, in one run.
//!
//! ```sh
//! cargo build --release -p fate-cli -p fate-benches && target/release/forwarding
//! ```
//!
//! The echo answers a packet with itself and does nothing else. Each round asks it directly, then through a proxy whose
//! route table leads to it, with the same clients and the same packets; CPU is user and system time of the process in
//! question, from `/proc`. Rounds alternate, so that neighbours of the machine meet both alike.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "figures are what stdout is for")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use fate_proto::proxy::data_transfer_service_client::DataTransferServiceClient;
use fate_proto::proxy::data_transfer_service_server::{
    DataTransferService, DataTransferServiceServer,
};
use fate_proto::proxy::{Data, Metadata, Packet, Topic};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

const ECHO: &str = "echo";
const LARGEST: usize = 8 << 20;
const BODIES: [usize; 2] = [1 << 10, 100 << 10];
/// Calls at the same time: one pays for every wake-up, many share them.
const CLIENTS: [usize; 2] = [1, 16];
const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_millis(500);
const START_LIMIT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some(ECHO) => echo().await,
        Some(program) => measure(Path::new(program)).await,
        None => measure(&beside_this_program("fate-serving")?).await,
    }
}

fn beside_this_program(name: &str) -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}

/// Answers every packet with itself.
#[derive(Debug)]
struct Echo;

#[tonic::async_trait]
impl DataTransferService for Echo {
    async fn unary_call(&self, request: Request<Packet>) -> Result<Response<Packet>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

/// The same window sizes as the proxy's, so that neither pays for the other's flow control.
async fn echo() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("inter_addr={}", listener.local_addr()?);
    let service = DataTransferServiceServer::new(Echo).max_decoding_message_size(LARGEST);
    Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .add_service(service)
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

async fn measure(proxy: &Path) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let own = std::env::current_exe()?;
    let echo = Process::start(&own, &[ECHO], directory.path(), ECHO)?;
    write_proxy_files(directory.path(), echo.port)?;
    let arguments = ["proxy", "--config", "application.properties"];
    let proxy = Process::start(proxy, &arguments, directory.path(), "proxy")?;
    println!(
        "load average {}",
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    println!("body bytes  clients  echo us  proxy us  proxy/echo");
    let mut misses = 0;
    for body in BODIES {
        for clients in CLIENTS {
            let mut costs = Vec::new();
            for _ in 0..ROUNDS {
                let direct = cost(&echo, body, clients).await?;
                let forwarded = cost(&proxy, body, clients).await?;
                println!(
                    "{body:>10}  {clients:>7}  {direct:>7.1}  {forwarded:>8.1}  {:>10.2}",
                    forwarded / direct
                );
                costs.push(forwarded / direct);
            }
            costs.sort_by(f64::total_cmp);
            let middle = costs[costs.len() / 2];
            println!("{body:>10}  {clients:>7}  median of proxy/echo {middle:.2}");
            misses += usize::from(middle > 2.5);
        }
    }
    ensure!(misses == 0, "{misses} of the medians are above 2.5");
    Ok(())
}

fn write_proxy_files(directory: &Path, echo: u16) -> std::io::Result<()> {
    let table = format!(
        r#"{{"route_table":{{"10000":{{"default":[{{"ip":"127.0.0.1","port":{echo}}}]}}}},
            "permission":{{"default_allow":true}}}}"#
    );
    std::fs::write(directory.join("route_table.json"), table)?;
    let properties = "coordinator=9999\nuseZkRouter=false\nroute.table=route_table.json\nserver.port=0\n\
                      proxy.grpc.intra.port=0\nproxy.grpc.inter.port=0\nproxy.bind.intra=127.0.0.1\n";
    std::fs::write(directory.join("application.properties"), properties)
}

/// Microseconds of a process's CPU per call.
async fn cost(process: &Process, body: usize, clients: usize) -> anyhow::Result<f64> {
    let seconds: f64 = std::env::var("SECONDS_PER_ROUND")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(4.0);
    let endpoint = Endpoint::try_from(format!("http://127.0.0.1:{}", process.port))?
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20);
    let channel = endpoint.connect().await?;
    calls(&channel, body, clients, WARM_UP).await?;
    let before = process.cpu()?;
    let count = calls(&channel, body, clients, Duration::from_secs_f64(seconds)).await?;
    let used = process.cpu()?.saturating_sub(before);
    Ok(used.as_secs_f64() * 1e6 / count as f64)
}

/// Calls one after the other on each of so many tasks; how many were answered.
async fn calls(
    channel: &Channel,
    body: usize,
    clients: usize,
    length: Duration,
) -> anyhow::Result<usize> {
    let end = Instant::now() + length;
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let mut client =
            DataTransferServiceClient::new(channel.clone()).max_decoding_message_size(LARGEST);
        let packet = packet(body);
        tasks.spawn(async move {
            let mut count = 0;
            while Instant::now() < end {
                let answer = client.unary_call(packet.clone()).await?.into_inner();
                let returned = answer.body.unwrap_or_default().value;
                ensure!(
                    returned.len() == body,
                    "answered {}",
                    String::from_utf8_lossy(&returned)
                );
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut total = 0;
    while let Some(done) = tasks.join_next().await {
        total += done??;
    }
    Ok(total)
}

fn packet(body: usize) -> Packet {
    let topic = |party_id: &str| {
        Some(Topic {
            name: "partyName".to_owned(),
            party_id: party_id.to_owned(),
            role: "serving".to_owned(),
            callback: None,
        })
    };
    Packet {
        header: Some(Metadata {
            src: topic("9999"),
            dst: topic("10000"),
            operator: "216".to_owned(),
            ..Metadata::default()
        }),
        body: Some(Data {
            key: String::new(),
            value: Bytes::from(vec![b'x'; body]),
        }),
        auth: None,
    }
}

/// A started program, stopped when it is dropped.
struct Process {
    child: Child,
    port: u16,
}

impl Process {
    /// Waits until its output says where it listens.
    fn start(
        program: &Path,
        arguments: &[&str],
        directory: &Path,
        name: &str,
    ) -> anyhow::Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = std::fs::File::create(&log)?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let mut process = Self { child, port: 0 };
        let limit = Instant::now() + START_LIMIT;
        let key = if name == ECHO {
            "inter_addr="
        } else {
            "intra_addr="
        };
        while process.port == 0 {
            let text = std::fs::read_to_string(&log)?;
            if let Some(status) = process.child.try_wait()? {
                bail!("{name} ended with {status}: {text}");
            }
            ensure!(Instant::now() < limit, "{name} does not start: {text}");
            process.port = port_behind(&text, key).unwrap_or(0);
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(process)
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        fate_benches::cpu(self.child.id())
    }
}

fn port_behind(text: &str, key: &str) -> Option<u16> {
    let address = text.split_once(key)?.1.split_whitespace().next()?;
    address.rsplit_once(':')?.1.parse().ok()
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
