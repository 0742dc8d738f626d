//! Start, drain, stop (contract 01 §11, with the port opened last).
//!
//! Start: restore the models, copy those of peers, try each once, bind the ports, serve, report SERVING, register. Drain:
//! report NOT_SERVING, leave the registry, answer new calls 111, wait for the calls in flight, close the ports.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use fate_edge::adaptive::Lateness;
use fate_edge::clock::now_ms;
use fate_edge::config::{self, Changes};
use fate_edge::flow::{Clock, FlowControl, Metrics};
use fate_edge::flow_log::FlowLog;
use fate_edge::grpc::Health;
use fate_edge::intake::ByteBudget;
use fate_edge::log_levels::LogLevels;
use fate_edge::process;
use fate_edge::trace::{ServiceInstance, Tracing, instance};
use fate_features::FeatureSource;
use fate_federation::{Admission, Gatherings, Guest, Host, HostTransport};
use fate_model::{Models, RestoreReport};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::features;
use crate::flow_rules::FlowRules;
use crate::gates::Gates;
use crate::handle::ServerHandle;
use crate::node::Node;
use crate::readiness::Registered;
use crate::registration::{self, Registration};
use crate::reload::{caller_limit, guest_settings, host_settings};
use crate::telemetry::{MeasuredTransport, Telemetry};
use crate::traced_source::TracedSource;
use crate::transport::Routes;
use crate::{grpc, http, result_cache, sync};

/// After the last call is answered, connections get this long to take the answer and close.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// For the export of the last spans.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store of models is not usable.
    #[error("models cannot be restored: {0}")]
    Models(#[from] fate_model::Error),
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
    /// A part of the server cannot be set up.
    #[error("{0}")]
    Setup(String),
}

/// What an embedding program brings along. The default brings nothing.
#[derive(Debug, Default)]
pub struct Embedding {
    /// Access to the process's log levels.
    pub log_levels: Option<LogLevels>,
    /// Features of the host for single calls, instead of `feature.single.adaptor`.
    pub single_source: Option<Arc<dyn FeatureSource>>,
    /// Features of the host for batches, instead of `feature.batch.adaptor`.
    pub batch_source: Option<Arc<dyn FeatureSource>>,
    /// The way to other parties, instead of `proxy` and the proxies of the registry. `federation.hosts` stay.
    pub own_proxy: Option<Arc<dyn HostTransport>>,
    /// Threads of their own for the connections of the gRPC port; none: they are served where the server was started.
    pub lanes: Option<usize>,
}

/// The serving-server role.
#[derive(Debug, Clone, Copy)]
pub struct Server;

/// A server whose models are restored and whose ports are open. Callers of its ports wait, those of its handle do not.
#[derive(Debug)]
pub struct PreparedServer {
    node: Arc<Node>,
    lanes: Option<usize>,
    grpc: (TcpListener, SocketAddr),
    http: Option<(TcpListener, SocketAddr)>,
}

/// A server that takes calls. Dropping it stops it at once; [`RunningServer::drain`] stops it in peace.
#[derive(Debug)]
pub struct RunningServer {
    /// Where gRPC listens.
    pub grpc_addr: SocketAddr,
    /// Where HTTP listens, unless it is off.
    pub http_addr: Option<SocketAddr>,
    node: Arc<Node>,
    health: Health,
    stop: CancellationToken,
    /// A listener does not do what it should any more.
    failed: CancellationToken,
    tasks: JoinSet<()>,
}

/// Runs a server until `shutdown` is ready or a listener has failed, then drains it.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
    let mut server = Server::start(config).await?;
    let outcome = tokio::select! {
        () = shutdown => Ok(()),
        () = server.failed() => Err(StartError::Setup("a listener has failed".to_owned())),
    };
    server.drain().await;
    outcome
}

impl Server {
    /// Starts a server; when this returns it takes calls.
    pub async fn start(config: Config) -> Result<RunningServer, StartError> {
        Self::start_with(config, Embedding::default()).await
    }

    /// Starts a server inside a program that brings parts of its own.
    pub async fn start_with(
        config: Config,
        embedding: Embedding,
    ) -> Result<RunningServer, StartError> {
        Self::prepare(config, embedding).await?.serve().await
    }

    /// All of a start that may fail for reasons of this server; nobody hears of it yet.
    pub async fn prepare(
        config: Config,
        embedding: Embedding,
    ) -> Result<PreparedServer, StartError> {
        if let Some(levels) = &embedding.log_levels {
            config.logs.apply(levels).map_err(StartError::Setup)?;
        }
        config::say(config.notes());
        let flow = Arc::new(FlowControl::open(rules_file(&config), Clock::system()));
        let (models, report) = Models::open(model_settings(&config)).await?;
        say_restored(&report);
        if config.sync_on_start {
            sync::copy_from_peers(&models, &config).await;
        }
        self_test(&models).await;
        let sources = features::open(&config);
        sources.start().await;
        let grpc = bind("gRPC", &config, config.grpc_port).await?;
        let http = match config.http_port {
            Some(port) => Some(bind("HTTP", &config, port).await?),
            None => None,
        };
        let port = grpc.1.port();
        let registration = match &config.registry {
            Some(registry) => {
                let address = SocketAddr::new(config.bind, port);
                Some(registration::open(registry, address, models.clone()).await)
            }
            None => None,
        };
        let lanes = embedding.lanes;
        let node = assemble(config, embedding, models, registration, flow, sources, port)?;
        Ok(PreparedServer {
            node: Arc::new(node),
            lanes,
            grpc,
            http,
        })
    }
}

impl PreparedServer {
    /// The server for callers in this process.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.node), self.grpc.1)
    }

    /// Takes calls and registers.
    pub async fn serve(self) -> Result<RunningServer, StartError> {
        serve(self.node, self.lanes, self.grpc, self.http).await
    }
}

impl RunningServer {
    /// The models this server holds.
    pub fn models(&self) -> &Models {
        &self.node.models
    }

    /// Waits until a listener has failed; never ends in a healthy server.
    pub async fn failed(&mut self) {
        tokio::select! {
            () = self.failed.cancelled() => {}
            // Every task runs until `stop` is cancelled, so one that ends before has failed.
            _ = self.tasks.join_next() => {}
        }
    }

    /// Puts in force what another configuration changes and a running server can take over; all others of its keys are
    /// named. Calls in flight end as they began.
    ///
    /// # Errors
    /// Nothing has changed; the text says why.
    pub fn reload(&self, new: &Config) -> Result<Changes, String> {
        self.node.reload(new)
    }

    /// Stops taking calls, waits for those in flight up to `serving.drain.timeout`, closes the ports.
    pub async fn drain(mut self) {
        self.health.set_serving(false).await;
        if let Some(registration) = &self.node.registration {
            registration.close().await;
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
        tracing::info!("serving-server stopped");
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Rules live beside the models. A Java node kept them in its working directory; with the first start on such a node's
/// store they are taken over.
fn rules_file(config: &Config) -> PathBuf {
    let store = config.cache_path.join(".fate");
    let ours = store.join("flowRules.json");
    let java = Path::new(".fate/flowRules.json");
    let is_java_store = store.join("loadModelStore.cache").exists();
    if is_java_store && !ours.exists() && java.exists() && take_over(java, &ours).is_err() {
        tracing::warn!("flow rules of {} cannot be taken over", java.display());
    }
    ours
}

fn take_over(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(directory) = to.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::copy(from, to).map(drop)
}

fn model_settings(config: &Config) -> fate_model::Settings {
    let defaults = fate_model::Settings::new(config.cache_path.clone());
    let import_path = if config.import_path.is_empty() {
        defaults.import_path.clone()
    } else {
        config.import_path.clone()
    };
    fate_model::Settings {
        transfer_url: config.transfer_url.clone(),
        transfer_allow: config.transfer_allow.clone(),
        transfer_ca: config.transfer_ca.clone(),
        import_path,
        transfer_timeout: config.transfer_timeout,
        max_model_bytes: config.max_model_bytes,
        default_semantics: config.semantics,
        ..defaults
    }
}

fn say_restored(report: &RestoreReport) {
    tracing::info!(?report, "models restored");
}

/// Evaluates every restored model once on a row without features, so that a plan that cannot run is known before the
/// port opens. A row without features may fail with a fault; it may not panic.
async fn self_test(models: &Models) {
    let models = models.clone();
    let tested = tokio::task::spawn_blocking(move || {
        for model in models.snapshot().models() {
            let run = std::panic::catch_unwind(AssertUnwindSafe(|| {
                let mut row = model.plan.new_row();
                match model.role {
                    fate_domain::party::Role::Guest => drop(model.plan.guest_local(&mut row)),
                    _ => drop(model.plan.host_partial(&mut row)),
                }
            }));
            if run.is_err() {
                tracing::error!(model = %model.key.store_name(), "the self-test of a restored model panicked; its calls will fail with 110");
            }
        }
    });
    if let Err(error) = tested.await {
        tracing::error!(%error, "the self-test did not finish");
    }
}

async fn bind(
    what: &'static str,
    config: &Config,
    port: u16,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let address = SocketAddr::new(config.bind, port);
    let failed = |cause| StartError::Bind {
        what,
        address,
        cause,
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn assemble(
    config: Config,
    embedding: Embedding,
    models: Models,
    registration: Option<Arc<Registration>>,
    flow: Arc<FlowControl>,
    sources: features::Sources,
    grpc_port: u16,
) -> Result<Node, StartError> {
    let finds_proxies = config.registry.as_ref().is_some_and(|one| one.routes);
    let registered = registration.as_ref().filter(|_| finds_proxies);
    let registry = registered.map(|one| one.registry.clone());
    let routes = Routes::new(&config.federation_hosts, registry, config.proxy.as_ref())
        .map_err(StartError::Setup)?
        .with_own_proxy(embedding.own_proxy);
    let telemetry = Telemetry::with_sources(Arc::clone(&sources.meters));
    let transport: Arc<dyn HostTransport> = Arc::new(MeasuredTransport {
        inner: Arc::new(routes),
        parties: Arc::clone(&telemetry.parties),
    });
    let admission: Arc<dyn Admission> = Arc::new(FlowRules(Arc::clone(&flow)));
    let results =
        result_cache::open(&config).map_err(|error| StartError::Setup(error.to_string()))?;
    let tracing = tracing(&config, grpc_port)?;
    let single = embedding.single_source.or(sources.single.ok().flatten());
    let batch = embedding.batch_source.or(sources.batch.ok().flatten());
    let traced = |source| match &config.traces {
        Some(_) => Arc::new(TracedSource(source)) as Arc<dyn FeatureSource>,
        None => source,
    };
    let guest = Guest {
        models: models.clone(),
        transport,
        admission: Arc::clone(&admission),
        results,
        gatherings: Gatherings::default(),
        settings: guest_settings(&config),
    };
    let host = Host {
        models: models.clone(),
        single: single.map(traced),
        batch: batch.map(traced),
        admission,
        settings: host_settings(&config),
    };
    Ok(Node {
        grpc_port,
        models,
        registration,
        registered: Registered::default(),
        guest: ArcSwap::from_pointee(guest),
        host: ArcSwap::from_pointee(host),
        flow,
        metrics: Metrics::default(),
        telemetry,
        tracing,
        flow_log: flow_log(&config, embedding.log_levels.as_ref())?,
        process: process::Samples::default(),
        gates: Gates::new(config.max_in_flight),
        lateness: Lateness::new(embedding.lanes.unwrap_or(0)),
        caller_limit: ArcSwapOption::new(caller_limit(&config)),
        held_bytes: ByteBudget::new(config.max_body_bytes),
        log_levels: embedding.log_levels,
        config: ArcSwap::from_pointee(config),
    })
}

fn flow_log(config: &Config, log: Option<&LogLevels>) -> Result<FlowLog, StartError> {
    let file = config.logs.open_flow_file();
    let file = file.map_err(|cause| StartError::Setup(format!("log.path: {cause}")))?;
    Ok(FlowLog::new(file).with_log(log.cloned()))
}

fn tracing(config: &Config, grpc_port: u16) -> Result<Tracing, StartError> {
    let Some(traces) = &config.traces else {
        return Ok(Tracing::default());
    };
    let identity = ServiceInstance {
        service: "serving-server",
        instance: instance(&SocketAddr::new(config.bind, grpc_port)),
    };
    traces.open(identity).map_err(StartError::Setup)
}

async fn serve(
    node: Arc<Node>,
    lanes: Option<usize>,
    (grpc, grpc_addr): (TcpListener, SocketAddr),
    http: Option<(TcpListener, SocketAddr)>,
) -> Result<RunningServer, StartError> {
    let (services, health) = grpc::services(Arc::clone(&node))
        .await
        .map_err(StartError::Setup)?;
    let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    let services = services.watched(Arc::clone(&node.lateness));
    match lanes {
        Some(count) => tasks.spawn(services.serve_on_lanes(
            0..count.max(1),
            grpc,
            stop.clone(),
            failed.clone(),
        )),
        None => tasks.spawn(services.serve(grpc, stop.clone())),
    };
    let http_addr = http.map(|(listener, address)| {
        tasks.spawn(fate_edge::http::serve(
            listener,
            http::routes(Arc::clone(&node)),
            stop.clone(),
        ));
        address
    });
    tasks.spawn(watch_lateness(Arc::clone(&node), stop.clone()));
    tasks.spawn(sample_every_second(Arc::clone(&node), stop.clone()));
    health.set_serving(true).await;
    if let Some(registration) = &node.registration {
        tasks.spawn(Arc::clone(registration).keep_announcing(stop.clone()));
    }
    tracing::info!(%grpc_addr, ?http_addr, "serving-server takes calls");
    Ok(RunningServer {
        grpc_addr,
        http_addr,
        node,
        health,
        stop,
        failed,
        tasks,
    })
}

async fn watch_lateness(node: Arc<Node>, stop: CancellationToken) {
    tokio::select! {
        () = node.lateness.watch() => {}
        () = stop.cancelled() => {}
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
