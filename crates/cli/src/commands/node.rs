//! `fate-serving node`: a server and a proxy in one process, until it is told to stop.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use bytes::Bytes;
use fate_features::BoxFuture;
use fate_proto::proxy::Packet;
use fate_proxy::{OwnServer, Proxy, ProxyHandle, RunningProxy};
use fate_server::{CallError, HostTransport, LogLevels, RunningServer, Server, ServerHandle};
use tokio::time::Instant;

use crate::exit::{Exit, Failure};
use crate::role::{self, Running};
use crate::runtime;

/// Run a serving-server and a serving-proxy in one process.
///
/// Both listen on their ports as if they were apart; what one has to tell the other stays inside the process: packets of
/// this party's guest go straight to the proxy, packets and requests for this party straight to the server. Servers and
/// proxies elsewhere, Java ones included, are reached as ever.
///
/// SIGHUP reads both files again. SIGTERM and Ctrl-C drain it, the proxy's ports first, then the server. A second signal, a second or more later, stops it
/// at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server's properties
    #[arg(
        long,
        value_name = "FILE",
        default_value = "conf/serving-server.properties"
    )]
    config: PathBuf,
    /// The proxy's properties
    #[arg(
        long,
        value_name = "FILE",
        default_value = "conf/application.properties"
    )]
    proxy_config: PathBuf,
    /// Check both files, start nothing
    #[arg(long)]
    check_config: bool,
}

pub(crate) fn run(args: &Args, log_levels: LogLevels) -> Result<Exit, Failure> {
    let server = fate_server::Config::from_file(&args.config).map_err(Failure::usage)?;
    let server = server.beside_own_proxy();
    let proxy = fate_proxy::Config::from_file(&args.proxy_config).map_err(Failure::usage)?;
    let directory = server.logs.directory.as_ref();
    if directory.is_some() && directory == proxy.logs.directory.as_ref() {
        // Their lines have other columns.
        let text = "log.path is the same in both files; server and proxy need a flow.log each";
        return Err(Failure::usage(text));
    }
    if args.check_config {
        role::say_checked(&args.config, server.notes())?;
        let about_files = fate_proxy::about_files(&proxy);
        return role::say_checked(&args.proxy_config, proxy.notes().iter().chain(&about_files));
    }
    let reload = |node: &RunningNode| node.reload(args);
    runtime::run(role::serve(start(server, proxy, log_levels), reload))
        .context("cannot start the runtime")?
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("server: {0}")]
    Server(#[from] fate_server::StartError),
    #[error("proxy: {0}")]
    Proxy(#[from] fate_proxy::StartError),
}

#[derive(Debug)]
struct RunningNode {
    server: RunningServer,
    proxy: RunningProxy,
}

impl RunningNode {
    /// Both files are read and checked before either changes anything.
    fn reload(&self, args: &Args) -> anyhow::Result<()> {
        let server = fate_server::Config::from_file(&args.config)?;
        let proxy = fate_proxy::Config::from_file(&args.proxy_config)?;
        let of_server = self.server.reload(&server).map_err(anyhow::Error::msg)?;
        let of_proxy = self.proxy.reload(&proxy).map_err(anyhow::Error::msg)?;
        of_server.say("serving-server");
        of_proxy.say("serving-proxy");
        Ok(())
    }
}

/// Each knows the other before either takes a call.
async fn start(
    server: fate_server::Config,
    proxy: fate_proxy::Config,
    log_levels: LogLevels,
) -> Result<RunningNode, StartError> {
    let to_proxy = Arc::new(ToProxy::default());
    let embedding = fate_server::Embedding {
        log_levels: Some(log_levels.clone()),
        own_proxy: Some(Arc::clone(&to_proxy) as Arc<dyn HostTransport>),
        ..fate_server::Embedding::default()
    };
    let server = Server::prepare(server, embedding).await?;
    let embedding = fate_proxy::Embedding {
        log_levels: Some(log_levels),
        own_server: Some(Arc::new(ToServer(server.handle()))),
        ..fate_proxy::Embedding::default()
    };
    let proxy = Proxy::prepare(proxy, embedding).await?;
    to_proxy.0.get_or_init(|| proxy.handle());
    Ok(RunningNode {
        server: server.serve().await?,
        proxy: proxy.serve().await?,
    })
}

impl Running for RunningNode {
    async fn failed(&mut self) {
        tokio::select! {
            () = self.server.failed() => {}
            () = self.proxy.failed() => {}
        }
    }

    async fn drain(mut self) {
        self.proxy.close_ports().await;
        // Its guests' calls in flight still go through the proxy, which ends with this function.
        self.server.drain().await;
    }
}

/// The guest's way to other parties.
#[derive(Debug, Default)]
struct ToProxy(OnceLock<ProxyHandle>);

impl HostTransport for ToProxy {
    fn call<'a>(
        &'a self,
        _party_id: &'a str,
        packet: Packet,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Packet, CallError>> {
        Box::pin(async move {
            let proxy = self.0.get().ok_or(CallError::NoRoute)?;
            let answer = proxy.unary_call(packet, deadline).await;
            answer.map_err(|error| CallError::Unavailable(error.to_string()))
        })
    }

    fn address(&self, _party_id: &str) -> Option<String> {
        self.0.get().map(|proxy| proxy.intra_addr().to_string())
    }
}

/// The proxy's way to this party's guest and host.
#[derive(Debug)]
struct ToServer(ServerHandle);

impl OwnServer for ToServer {
    fn grpc_addr(&self) -> std::net::SocketAddr {
        self.0.grpc_addr()
    }

    fn holds(&self, packet: &Packet) -> bool {
        self.0.holds(packet)
    }

    fn is_bound(&self, service_id: &str) -> bool {
        self.0.is_bound(service_id)
    }

    fn unary_call(&self, packet: Packet) -> BoxFuture<'_, Packet> {
        Box::pin(self.0.unary_call(packet))
    }

    fn infer(&self, body: Bytes) -> BoxFuture<'_, Vec<u8>> {
        Box::pin(self.0.infer(body))
    }

    fn infer_batch(&self, body: Bytes) -> BoxFuture<'_, Vec<u8>> {
        Box::pin(self.0.infer_batch(body))
    }
}
