//! Start, drain, stop (contract 04 A.12, in the order bind, wire, ready, register).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use fate_edge::clock::now_ms;
use fate_edge::config::{self, Changes};
use fate_edge::flow::{Clock, FlowControl, Metrics};
use fate_edge::flow_log::FlowLog;
use fate_edge::grpc::{GrpcServices, Health};
use fate_edge::intake::ByteBudget;
use fate_edge::log_levels::LogLevels;
use fate_edge::process;
use fate_edge::tls::{Identity, ServerFiles, ServerTls, TlsError};
use fate_edge::trace::{ServiceInstance, Tracing, instance};
use fate_registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, InterTls};
use crate::forward::Forwarder;
use crate::gates::Gates;
use crate::handle::ProxyHandle;
use crate::node::{CaseIds, Node};
use crate::own_server::OwnServer;
use crate::peers::{PeerLimits, Peers};
use crate::registration;
use crate::route_table::{OwnAddresses, RouteEditor, RunningTable};
use crate::telemetry::Telemetry;
use crate::{grpc, http};

/// After the last call is answered, connections get this long to take the answer and close.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// `inter` and `intra`.
const GRPC_PORTS: usize = 2;
/// For the export of the last spans.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);
/// For taking back what is registered.
const UNREGISTER_PATIENCE: Duration = Duration::from_secs(3);

/// Why a proxy did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener cannot be opened.
    #[error("{what} port {address} cannot be opened: {cause}")]
    Bind {
        /// Which listener.
        what: &'static str,
        /// Where it should have listened.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The inter port asks for TLS and its files cannot be used. It is never opened in the clear instead.
    #[error("the inter port cannot be secured: {0}")]
    Tls(#[from] TlsError),
    /// A part of the proxy cannot be set up.
    #[error("{0}")]
    Setup(String),
}

/// What an embedding program brings along. The default brings nothing.
#[derive(Debug, Default)]
pub struct Embedding {
    /// Access to the process's log levels.
    pub log_levels: Option<LogLevels>,
    /// A registry in place of the configured one.
    pub registry: Option<Registry>,
    /// The server in the same process.
    pub own_server: Option<Arc<dyn OwnServer>>,
    /// Threads of their own for the connections of each gRPC port; none: they are served where the proxy was started.
    pub lanes: Option<usize>,
}

/// The serving-proxy role.
#[derive(Debug, Clone, Copy)]
pub struct Proxy;

/// A proxy that takes calls. Dropping it stops it at once; [`RunningProxy::drain`] stops it in peace.
#[derive(Debug)]
pub struct RunningProxy {
    /// Where other parties' proxies are heard.
    pub inter_addr: SocketAddr,
    /// Where this party's servers are heard.
    pub intra_addr: SocketAddr,
    /// Where HTTP listens, unless it is off.
    pub http_addr: Option<SocketAddr>,
    node: Arc<Node>,
    health: [Health; 2],
    stop: CancellationToken,
    /// A listener does not do what it should any more.
    failed: CancellationToken,
    tasks: JoinSet<()>,
}

/// A proxy whose ports are open. Callers of its ports wait, those of its handle do not.
pub struct PreparedProxy {
    node: Arc<Node>,
    lanes: Option<usize>,
    ports: Ports,
    tls: Option<ServerTls>,
}

impl fmt::Debug for PreparedProxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.ports.addresses()).finish()
    }
}

/// The open ports of a proxy that does not take calls yet.
struct Ports {
    inter: (TcpListener, SocketAddr),
    intra: (TcpListener, SocketAddr),
    http: Option<(TcpListener, SocketAddr)>,
}

impl Ports {
    async fn open(config: &Config) -> Result<Self, StartError> {
        let http = match config.http {
            Some(at) => Some(bind("HTTP", at).await?),
            None => None,
        };
        Ok(Self {
            inter: bind("inter", config.inter).await?,
            intra: bind("intra", config.intra).await?,
            http,
        })
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let http = self.http.as_ref().map(|(_, address)| *address);
        [self.inter.1, self.intra.1].into_iter().chain(http)
    }
}

async fn bind(
    what: &'static str,
    at: (IpAddr, u16),
) -> Result<(TcpListener, SocketAddr), StartError> {
    let address = SocketAddr::from(at);
    let failed = |cause| StartError::Bind {
        what,
        address,
        cause,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl Proxy {
    /// Starts a proxy; when this returns it takes calls.
    ///
    /// # Errors
    /// A port cannot be opened, or cannot be secured as the configuration asks for. Neither the route table nor the
    /// keys nor the registry is a reason not to start.
    pub async fn start(config: Config) -> Result<RunningProxy, StartError> {
        Self::start_with(config, Embedding::default()).await
    }

    /// Starts a proxy inside a program that brings parts of its own.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub async fn start_with(
        config: Config,
        embedding: Embedding,
    ) -> Result<RunningProxy, StartError> {
        Self::prepare(config, embedding).await?.serve().await
    }

    /// All of a start that may fail for reasons of this proxy; nobody hears of it yet.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub async fn prepare(
        config: Config,
        embedding: Embedding,
    ) -> Result<PreparedProxy, StartError> {
        if let Some(levels) = &embedding.log_levels {
            config.logs.apply(levels).map_err(StartError::Setup)?;
        }
        config::say(config.notes());
        let tls = config.inter_tls.as_ref().map(inter_tls).transpose()?;
        let ports = Ports::open(&config).await?;
        let lanes = embedding.lanes.map(|count| count.max(1));
        let node = Arc::new(assemble(config, embedding, &ports)?);
        Ok(PreparedProxy {
            node,
            lanes,
            ports,
            tls,
        })
    }
}

impl PreparedProxy {
    /// The proxy for callers in this process.
    pub fn handle(&self) -> ProxyHandle {
        ProxyHandle::new(&self.node, self.ports.intra.1)
    }

    /// Takes calls and registers.
    ///
    /// # Errors
    /// A service cannot be set up.
    pub async fn serve(self) -> Result<RunningProxy, StartError> {
        serve(self.node, self.lanes, self.ports, self.tls).await
    }
}

fn inter_tls(files: &InterTls) -> Result<ServerTls, TlsError> {
    ServerTls::open(&ServerFiles {
        identity: Identity {
            cert_chain: files.cert_chain.clone(),
            private_key: files.private_key.clone(),
        },
        ca: files.ca.clone(),
    })
}

fn assemble(config: Config, embedding: Embedding, ports: &Ports) -> Result<Node, StartError> {
    let tracing = tracing(&config, ports)?;
    // Not the server's name for it: both may run in one directory.
    let rules = config.state_path.join(".fate/proxyFlowRules.json");
    let own = OwnAddresses::new(ports.addresses());
    let table = RunningTable::load(&config.route_table, own);
    let registry = embedding
        .registry
        .or_else(|| registration::open(&config, ports.intra.1.port()));
    let limits = PeerLimits {
        max_in_flight: config.max_in_flight_per_peer,
        max_message_bytes: config.max_message_bytes,
        http_connect: config.timeouts.http_route_connect,
        http_answer: config.timeouts.http_route_answer,
        lanes: embedding.lanes.map_or(0, |count| GRPC_PORTS * count.max(1)),
    };
    let held_bytes = ByteBudget::new(config.max_body_bytes);
    let mut forwarder = Forwarder::new(&config, Arc::clone(&table), registry.clone());
    let mut peers = Peers::new(limits);
    if let Some(server) = embedding.own_server {
        forwarder = forwarder.with_own_server(Arc::clone(&server));
        peers = peers.with_own_server(server);
    }
    Ok(Node {
        editor: Arc::new(RouteEditor::new(Arc::clone(&table))),
        forwarder,
        table,
        registry,
        peers,
        flow: Arc::new(FlowControl::open(rules, Clock::system())),
        metrics: Metrics::default(),
        telemetry: Telemetry::default(),
        tracing,
        flow_log: flow_log(&config, embedding.log_levels.as_ref())?,
        process: process::Samples::default(),
        gates: Gates::new(config.max_in_flight),
        strangers_bytes: held_bytes.part(strangers_part(&config)),
        held_bytes,
        log_levels: embedding.log_levels,
        case_ids: CaseIds::default(),
        config: ArcSwap::from_pointee(config),
    })
}

fn flow_log(config: &Config, log: Option<&LogLevels>) -> Result<FlowLog, StartError> {
    let file = config.logs.open_flow_file();
    let file = file.map_err(|cause| StartError::Setup(format!("log.path: {cause}")))?;
    Ok(FlowLog::new(file).with_log(log.cloned()))
}

fn tracing(config: &Config, ports: &Ports) -> Result<Tracing, StartError> {
    let Some(traces) = &config.traces else {
        return Ok(Tracing::default());
    };
    let identity = ServiceInstance {
        service: "serving-proxy",
        instance: instance(&ports.inter.1),
    };
    traces.open(identity).map_err(StartError::Setup)
}

/// Half of the bytes, but room for one message in any case.
fn strangers_part(config: &Config) -> usize {
    (config.max_body_bytes / 2).max(config.max_message_bytes)
}

async fn serve(
    node: Arc<Node>,
    lanes: Option<usize>,
    ports: Ports,
    tls: Option<ServerTls>,
) -> Result<RunningProxy, StartError> {
    let (inter, inter_health) = grpc::inter(&node).await.map_err(StartError::Setup)?;
    let (intra, intra_health) = grpc::intra(&node).await.map_err(StartError::Setup)?;
    let inter: GrpcServices = match tls {
        Some(tls) => inter.secured(tls),
        None => inter,
    };
    let health = [inter_health, intra_health];
    let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    match lanes {
        // Not the same ones: other parties must not take this party's processors.
        Some(count) => {
            let (own, others) = (0..count, count..GRPC_PORTS * count);
            let until = || (stop.clone(), failed.clone());
            let (stop, failed) = until();
            tasks.spawn(intra.serve_on_lanes(own, ports.intra.0, stop, failed));
            let (stop, failed) = until();
            tasks.spawn(inter.serve_on_lanes(others, ports.inter.0, stop, failed));
        }
        None => {
            tasks.spawn(intra.serve(ports.intra.0, stop.clone()));
            tasks.spawn(inter.serve(ports.inter.0, stop.clone()));
        }
    }
    let http_addr = ports.http.map(|(listener, address)| {
        let routes = http::routes(Arc::clone(&node));
        tasks.spawn(fate_edge::http::serve(listener, routes, stop.clone()));
        address
    });
    tasks.spawn(Arc::clone(&node.table).follow(stop.clone()));
    if let Some(auth) = node.forwarder.auth() {
        tasks.spawn(Arc::clone(auth).follow(stop.clone()));
    }
    tasks.spawn(close_left_peers(Arc::clone(&node), stop.clone()));
    tasks.spawn(sample_every_second(Arc::clone(&node), stop.clone()));
    for health in &health {
        health.set_serving(true).await;
    }
    let (inter_addr, intra_addr) = (ports.inter.1, ports.intra.1);
    tracing::info!(%inter_addr, %intra_addr, ?http_addr, "serving-proxy takes calls");
    if let Some(registry) = &node.registry {
        registration::announce(registry, http_addr.map(|address| address.port()));
    }
    Ok(RunningProxy {
        inter_addr,
        intra_addr,
        http_addr,
        node,
        health,
        stop,
        failed,
        tasks,
    })
}

impl RunningProxy {
    /// Waits until a listener has failed; never ends in a healthy proxy.
    pub async fn failed(&mut self) {
        tokio::select! {
            () = self.failed.cancelled() => {}
            // Every task runs until `stop` is cancelled, so one that ends before has failed.
            _ = self.tasks.join_next() => {}
        }
    }

    /// Puts in force what another configuration changes and a running proxy can take over; all others of its keys are
    /// named. Calls in flight end as they began.
    ///
    /// # Errors
    /// Nothing has changed; the text says why.
    pub fn reload(&self, new: &Config) -> Result<Changes, String> {
        self.node.reload(new)
    }

    /// Leaves the registry, stops taking calls, waits for those in flight up to `proxy.drain.timeout`, closes the ports.
    pub async fn drain(mut self) {
        self.close_ports().await;
    }

    /// The same, but the server in this process can still call through the proxy until it is dropped.
    pub async fn close_ports(&mut self) {
        if let Some(registry) = &self.node.registry {
            registry.close(UNREGISTER_PATIENCE).await;
        }
        for health in &self.health {
            health.set_serving(false).await;
        }
        self.node.gates.close();
        let grace = self.node.config().drain_timeout;
        if !self.node.gates.drained(grace).await {
            let in_flight = self.node.gates.in_flight();
            tracing::warn!(in_flight, "stopping although calls are still in flight");
        }
        self.stop.cancel();
        let closed = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_GRACE, closed).await.is_err() {
            tracing::info!("closing connections that are still open");
        }
        self.tasks.abort_all();
        self.node.tracing.flush(FLUSH_PATIENCE).await;
        tracing::info!("serving-proxy stopped");
    }
}

impl Drop for RunningProxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn sample_every_second(node: Arc<Node>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => node.sample(now_ms()),
            () = stop.cancelled() => return,
        }
    }
}

/// With every new route table and every new answer of the registry.
async fn close_left_peers(node: Arc<Node>, stop: CancellationToken) {
    let mut tables = node.table.changes();
    let mut answers = node.registry.as_ref().map(Registry::changes);
    loop {
        let answered = async {
            match &mut answers {
                Some(answers) => answers.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let has_sender = tokio::select! {
            changed = tables.changed() => changed.is_ok(),
            changed = answered => changed,
            () = stop.cancelled() => return,
        };
        if !has_sender {
            // Nothing changes any more; the task lives on, as all do.
            stop.cancelled().await;
            return;
        }
        node.close_left_peers();
    }
}
