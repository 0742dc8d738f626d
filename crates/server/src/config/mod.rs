//! Configuration: the keys of `serving-server.properties`, read, checked and typed.
//!
//! One table, [`KEYS`], says of every key its kind, default and whether it is honoured. A file is read completely:
//! every problem is reported at once, with file, line and key.

mod keys;
mod notes;
mod registry;
mod result_cache;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::HeaderName;
use fate_edge::admin_token::AdminToken;
use fate_edge::config::{Entry, Values, line_of, one_port_twice, pair_entries, read_entries};
use fate_edge::log_settings::LogSettings;
use fate_edge::trace;
use fate_features::SourceSettings;
use fate_federation::Coalescing;
use fate_inference::Semantics;

pub use fate_edge::config::{
    Address, Changes, ConfigError, Fallback, Key, Kind, Level, Note, Problem, Treatment, Value,
};
pub use keys::KEYS;
use keys::RELOADABLE;
pub use registry::RegistryConfig;
pub use result_cache::ResultCacheConfig;
pub use sources::{PREFIX as SOURCE_PREFIX, SETTINGS as SOURCE_SETTINGS};

/// The interface version announced in packets and `listProps`, the one of FATE-Serving 2.1.7.
pub const CURRENT_VERSION: i64 = 216;

/// The keys of ports, and what listens there.
const PORTS: &[(&str, &str)] = &[("port", "gRPC"), ("server.port", "HTTP")];

/// A checked configuration. Durations and sizes are in the units their types say.
#[derive(Clone)]
pub struct Config {
    /// gRPC port; 0 takes any free port.
    pub grpc_port: u16,
    /// HTTP port; 0 takes any free port, `None` switches HTTP off.
    pub http_port: Option<u16>,
    /// Address of both listeners.
    pub bind: std::net::IpAddr,
    /// Inference calls in flight before 124 is answered.
    pub max_in_flight: usize,
    /// Whether fewer are let in while the threads are late.
    pub is_adaptive: bool,
    /// Part of them that may be of one model.
    pub model_share: Option<f64>,
    /// Largest request read, in bytes.
    pub max_message_bytes: usize,
    /// Bytes of requests held at the same time, from arrival to answer.
    pub max_body_bytes: usize,
    /// How long a drain waits for calls in flight.
    pub drain_timeout: Duration,
    /// Role written into packet topics.
    pub service_role_name: String,
    /// The serving-proxy.
    pub proxy: Option<Address>,
    /// The service registry, if there is one.
    pub registry: Option<RegistryConfig>,
    /// Where hosts' results are remembered, if they are.
    pub result_cache: Option<ResultCacheConfig>,
    /// Hosts reached directly, by party id.
    pub federation_hosts: BTreeMap<String, Address>,
    /// Whether parts of tree models travel in the compact form between servers of this kind.
    pub compact: bool,
    /// Whether single inferences share packets to hosts.
    pub coalescing: Option<Coalescing>,
    /// Deadline of a single inference's host calls.
    pub single_timeout: Duration,
    /// Deadline of a batch's host calls.
    pub batch_timeout: Duration,
    /// Rows a host accepts in a batch.
    pub batch_max: usize,
    /// Rows a guest accepts in a batch.
    pub guest_batch_max: usize,
    /// Deadline of calls to other servers that are not inference.
    pub grpc_timeout: Duration,
    /// Name of the host's single feature source.
    pub single_source: Option<String>,
    /// Name of the host's batch feature source.
    pub batch_source: Option<String>,
    /// Name of the single source behind the parallel batch source.
    pub batch_single_source: Option<String>,
    /// What the source `sources` puts rows together from.
    pub sources: Vec<SourceSettings>,
    /// File of the file sources.
    pub host_data_file: PathBuf,
    /// Address of the HTTP sources.
    pub http_adapter_url: Option<String>,
    /// Authority that HTTP sources trust, instead of the system's.
    pub http_adapter_ca: Option<PathBuf>,
    /// HTTP sources: waiting for a free connection.
    pub http_request_timeout: Duration,
    /// HTTP sources: connecting.
    pub http_connect_timeout: Duration,
    /// HTTP sources: waiting for the answer.
    pub http_socket_timeout: Duration,
    /// FATE-Flow's transfer address.
    pub transfer_url: Option<String>,
    /// URL prefixes models may come from; empty: the built-in rule.
    pub transfer_allow: Vec<String>,
    /// Authorities trusted for https transfers besides the system's.
    pub transfer_ca: Option<PathBuf>,
    /// Deadline of fetching a model.
    pub transfer_timeout: Duration,
    /// Directories model files may come from.
    pub import_path: Vec<PathBuf>,
    /// Largest model accepted, in bytes.
    pub max_model_bytes: u64,
    /// Semantics of newly loaded models.
    pub semantics: Semantics,
    /// Parent of the store `.fate`.
    pub cache_path: PathBuf,
    /// Whether models are exchanged with other servers.
    pub synchronize: bool,
    /// Whether a start copies what other nodes of this party hold.
    pub sync_on_start: bool,
    /// Those nodes; empty: all that the registry knows.
    pub sync_peers: Vec<Address>,
    /// Guest: whether every answer tells what its rows brought along. Host: whether names of features are told.
    pub details: bool,
    /// Rows of which a smaller part of the needed features is there are refused.
    pub min_hit_rate: Option<f64>,
    /// What changes over HTTP need; `None` lets everybody make them.
    pub admin_token: Option<AdminToken>,
    /// Calls a second of each client of inference, and the header that tells clients apart.
    pub caller_limit: Option<(f64, HeaderName)>,
    /// Where traces are exported to, if they are.
    pub traces: Option<trace::Settings>,
    /// Where and how is logged.
    pub logs: LogSettings,
    /// Whether `checkHealthService` answers.
    pub health_check: bool,
    values: Values,
    /// Keys of the sources with their values, as they may be shown.
    shown_sources: BTreeMap<String, serde_json::Value>,
    /// The same as they are written, passwords too; never shown.
    source_entries: BTreeMap<String, String>,
    notes: Vec<Note>,
}

impl Config {
    /// Reads a properties file.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        Self::from_entries(&path.display().to_string(), &read_entries(path)?)
    }

    /// Reads key-value pairs, as a program or a test gives them.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ConfigError> {
        Self::from_entries("configuration", &pair_entries(pairs))
    }

    fn from_entries(origin: &str, entries: &[Entry]) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let values = Values::read(KEYS, entries, &mut problems);
        problems.extend(one_port_twice(&values, entries, PORTS));
        let registry = registry::read(entries, &values, &mut problems);
        let caller_limit = caller_limit(entries, &values, &mut problems);
        let result_cache = result_cache::read(entries, &values, &mut problems);
        let sources = sources::read(entries, &values, &mut problems);
        let logs = LogSettings::read(entries, &values, &mut problems);
        let traces = trace::Settings::read(entries, &values, &mut problems);
        if !problems.is_empty() {
            return Err(ConfigError {
                origin: origin.to_owned(),
                problems,
            });
        }
        let notes = notes::notes(entries, &values);
        let mut config = Self::from_values(values, notes);
        config.registry = registry;
        config.result_cache = result_cache;
        config.caller_limit = caller_limit;
        config.sources = sources.settings;
        config.shown_sources = sources.shown;
        config.source_entries = entries
            .iter()
            .filter(|entry| entry.key.starts_with(SOURCE_PREFIX))
            .map(|entry| (entry.key.clone(), entry.value.clone()))
            .collect();
        config.traces = traces;
        config.logs = logs;
        config.notes.extend(notes::about_sources(&config, entries));
        Ok(config)
    }

    fn from_values(values: Values, notes: Vec<Note>) -> Self {
        let transfer_timeout = values
            .duration_if_set("model.transfer.timeout")
            .unwrap_or_else(|| values.duration("httpclient.tran.sockect.timeout"));
        Self {
            grpc_port: values.port("port").unwrap_or(0),
            http_port: values.port("server.port"),
            bind: values
                .ip("listen.address")
                .unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()),
            max_in_flight: values.count("serving.max.inflight"),
            is_adaptive: values.flag("serving.adaptive"),
            model_share: values.share("serving.model.share"),
            max_message_bytes: values.count("serving.max.message.bytes"),
            max_body_bytes: values.count("serving.max.body.bytes"),
            drain_timeout: values.duration("serving.drain.timeout"),
            service_role_name: values.text("serviceRoleName").unwrap_or_default(),
            proxy: values.address("proxy"),
            registry: None,
            result_cache: None,
            federation_hosts: values.hosts("federation.hosts"),
            compact: values.flag("federation.compact"),
            coalescing: coalescing(&values),
            single_timeout: values.duration("single.inference.rpc.timeout"),
            batch_timeout: values.duration("batch.inference.rpc.timeout"),
            batch_max: values.count("batch.inference.max"),
            guest_batch_max: values.count("batch.inference.guest.max"),
            grpc_timeout: values.duration("grpc.timeout"),
            single_source: values.text("feature.single.adaptor"),
            batch_source: values.text("feature.batch.adaptor"),
            batch_single_source: values.text("feature.batch.single.adaptor"),
            sources: Vec::new(),
            host_data_file: values.text("host.data.file").unwrap_or_default().into(),
            http_adapter_url: values.text("http.adapter.url"),
            http_adapter_ca: values.text("http.adapter.ca").map(PathBuf::from),
            http_request_timeout: values.duration("http.connect.request.timeout"),
            http_connect_timeout: values.duration("http.connect.timeout"),
            http_socket_timeout: values.duration("http.socket.timeout"),
            transfer_url: values.text("model.transfer.url"),
            transfer_allow: values.list("model.transfer.allow"),
            transfer_ca: values.text("model.transfer.ca").map(PathBuf::from),
            transfer_timeout,
            import_path: paths(values.list("model.import.path")),
            max_model_bytes: u64::try_from(values.number("model.max.bytes")).unwrap_or(0),
            semantics: values
                .text("model.semantics")
                .and_then(|text| text.parse().ok())
                .unwrap_or_default(),
            cache_path: values
                .text("model.cache.path")
                .map_or_else(|| PathBuf::from("."), PathBuf::from),
            synchronize: values.flag("model.synchronize"),
            sync_on_start: values.flag("sync.on.start"),
            sync_peers: sync_peers(&values),
            details: values.flag("response.details"),
            min_hit_rate: values.share("min.feature.hit.rate"),
            admin_token: values.secret("admin.token").as_deref().map(AdminToken::new),
            caller_limit: None,
            traces: None,
            logs: LogSettings::default(),
            health_check: values.flag("health.check.allow"),
            values,
            shown_sources: BTreeMap::new(),
            source_entries: BTreeMap::new(),
            notes,
        }
    }

    /// The same for a server whose proxy runs in its process.
    pub fn beside_own_proxy(mut self) -> Self {
        self.notes.retain(|note| note.text != notes::NO_ROUTES);
        self.notes.extend(notes::about_own_proxy(&self));
        self.proxy = None;
        self
    }

    /// This configuration with what a running server takes over of a new one.
    pub(crate) fn reloaded(&self, new: &Self) -> (Self, Changes) {
        let mut changes = Changes::between(&self.values, &new.values, RELOADABLE);
        // By what is written, not by what is shown: a password is shown as any other.
        let of_sources = self.source_entries.keys().chain(new.source_entries.keys());
        let of_sources: BTreeSet<&String> = of_sources
            .filter(|key| self.source_entries.get(*key) != new.source_entries.get(*key))
            .collect();
        changes
            .after_restart
            .extend(of_sources.into_iter().cloned());
        let values = self.values.with(&new.values, RELOADABLE);
        let ratio = values.share("trace.sample.ratio").unwrap_or(1.0);
        let traces = self.traces.clone();
        let config = Self {
            max_in_flight: new.max_in_flight,
            is_adaptive: new.is_adaptive,
            model_share: new.model_share,
            compact: new.compact,
            coalescing: new.coalescing,
            single_timeout: new.single_timeout,
            batch_timeout: new.batch_timeout,
            batch_max: new.batch_max,
            guest_batch_max: new.guest_batch_max,
            grpc_timeout: new.grpc_timeout,
            drain_timeout: new.drain_timeout,
            details: new.details,
            min_hit_rate: new.min_hit_rate,
            admin_token: new.admin_token.clone(),
            caller_limit: new.caller_limit.clone(),
            health_check: new.health_check,
            traces: traces.map(|traces| trace::Settings { ratio, ..traces }),
            logs: LogSettings {
                directory: self.logs.directory.clone(),
                ..new.logs.clone()
            },
            values,
            ..self.clone()
        };
        (config, changes)
    }

    /// Calls of one model at the same time, if there is a limit of its own.
    pub(crate) fn model_calls(&self) -> Option<usize> {
        let share = self.model_share?;
        Some(((self.max_in_flight as f64 * share) as usize).max(1))
    }

    /// What an operator should know at start: unknown keys, ignored keys, missing routes.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The properties as `listProps` answers them (contract 01 §1.8): native JSON types, secrets masked, filtered by
    /// a case-insensitive part of the key. `server.port` carries the gRPC port, as the Java server has it.
    pub fn listed(&self, keyword: &str, grpc_port: u16) -> BTreeMap<String, serde_json::Value> {
        let keyword = keyword.trim().to_lowercase();
        let values = self.values.shown().filter(|(key, _)| *key != "port");
        let mut listed: BTreeMap<_, _> =
            values.map(|(key, value)| (key.to_owned(), value)).collect();
        listed.extend(self.shown_sources.clone());
        listed.insert("server.port".to_owned(), grpc_port.into());
        listed.insert("currentVersion".to_owned(), CURRENT_VERSION.into());
        listed.insert(
            "model.cache.path".to_owned(),
            self.cache_path.display().to_string().into(),
        );
        listed.retain(|name, _| keyword.is_empty() || name.to_lowercase().contains(&keyword));
        listed
    }
}

/// Shows every value with secrets masked.
impl fmt::Debug for Config {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.fmt(out)
    }
}

/// `remote.coalesce.*`; `None` with a window of 0.
fn coalescing(values: &Values) -> Option<Coalescing> {
    let window = values.duration("remote.coalesce.window");
    (!window.is_zero()).then(|| Coalescing {
        window,
        max_calls: values.count("remote.coalesce.max"),
    })
}

fn sync_peers(values: &Values) -> Vec<Address> {
    // They were checked when the file was read.
    let peers = values.list("sync.peers");
    peers.iter().filter_map(|peer| peer.parse().ok()).collect()
}

/// `limit.caller.*`; `None` without a limit.
fn caller_limit(
    entries: &[Entry],
    values: &Values,
    problems: &mut Vec<Problem>,
) -> Option<(f64, HeaderName)> {
    const HEADER: &str = "limit.caller.header";
    let name = values.text(HEADER).unwrap_or_default();
    let Ok(name) = name.parse::<HeaderName>() else {
        problems.push(Problem {
            line: line_of(entries, HEADER),
            key: HEADER.to_owned(),
            message: format!("`{name}` is not the name of a header"),
        });
        return None;
    };
    let qps = u32::try_from(values.number_if_set("limit.caller.qps")?).ok()?;
    Some((f64::from(qps), name))
}

fn paths(texts: Vec<String>) -> Vec<PathBuf> {
    texts.into_iter().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests;
