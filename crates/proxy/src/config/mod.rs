//! Configuration: the keys of the proxy's `application.properties`, read, checked and typed.
//!
//! One table, [`KEYS`], says of every key its kind, default and whether it is honoured. A file is read completely:
//! every problem is reported at once, with file, line and key.

mod check;
mod keys;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fate_edge::admin_token::AdminToken;
use fate_edge::config::{
    Changes, ConfigError, Entry, Note, Values, about_entry, one_port_twice, pair_entries,
    read_entries,
};
use fate_edge::log_settings::LogSettings;
use fate_edge::trace;

use check::Checked;
use keys::RELOADABLE;
pub use keys::{ALIASES, KEYS, OURS};

/// The interface version announced in `listProps` and the registry, the one of FATE-Serving 2.1.7.
pub const CURRENT_VERSION: i64 = 216;

/// A checked configuration.
#[derive(Clone)]
pub struct Config {
    /// Own party id.
    pub coordinator: String,
    /// Role of the route table that HTTP inference is sent to.
    pub inference_role: String,
    /// HTTP; port 0 takes any free port, `None` switches HTTP off.
    pub http: Option<(IpAddr, u16)>,
    /// In front of every HTTP path: empty, or with a leading and without a trailing slash.
    pub context_path: String,
    /// gRPC for this party's servers.
    pub intra: (IpAddr, u16),
    /// gRPC for other parties.
    pub inter: (IpAddr, u16),
    /// TLS of the inter port; `None` is in the clear.
    pub inter_tls: Option<InterTls>,
    /// The route table.
    pub route_table: PathBuf,
    /// Choice among several addresses.
    pub route_type: RouteType,
    /// Which routes the permission rules guard.
    pub enforce: Enforce,
    /// Whether packets are signed and signatures checked.
    pub auth_open: bool,
    /// Keys of the proxies.
    pub auth_file: PathBuf,
    /// Times of calls to others.
    pub timeouts: Timeouts,
    /// Calls of one service handled at the same time.
    pub max_in_flight: usize,
    /// Calls to one peer at the same time.
    pub max_in_flight_per_peer: usize,
    /// Largest message read, in bytes.
    pub max_message_bytes: usize,
    /// Bytes of requests held at the same time, from arrival to answer.
    pub max_body_bytes: usize,
    /// How long a drain waits for calls in flight.
    pub drain_timeout: Duration,
    /// The registry; `None` without `useZkRouter`.
    pub registry: Option<RegistrySettings>,
    /// What changes over HTTP need; without it they have to come from this machine.
    pub admin_token: Option<AdminToken>,
    /// The same over gRPC; without it changes there are open to all who reach the intra port.
    pub grpc_admin_token: Option<AdminToken>,
    /// Where traces are exported to, if they are.
    pub traces: Option<trace::Settings>,
    /// Where and how is logged.
    pub logs: LogSettings,
    /// Whether `checkHealthService` answers.
    pub health_check: bool,
    /// Parent of `.fate`.
    pub state_path: PathBuf,
    values: Values,
    notes: Vec<Note>,
}

/// Files of the inter port's mutual TLS, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterTls {
    /// Authorities of the clients' certificates.
    pub ca: PathBuf,
    /// Own certificate and what leads to its authority.
    pub cert_chain: PathBuf,
    /// Own key.
    pub private_key: PathBuf,
}

/// How one of several addresses is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RouteType {
    /// Any, with equal chances.
    #[default]
    Random,
    /// Always the first, as Java's consistent hashing of nothing does.
    Consistent,
    /// One after the other.
    RoundRobin,
}

/// Which routes the permission rules guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enforce {
    /// Those that the registry has for calls of other parties; Java lets them pass.
    pub registry: bool,
    /// Those of the route table.
    pub table: bool,
}

/// Times of calls to others, and of requests over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// A single inference.
    pub inference: Duration,
    /// A batch.
    pub batch: Duration,
    /// A packet over gRPC.
    pub unary: Duration,
    /// The body of an HTTP request to arrive.
    pub http: Duration,
    /// HTTP routes: connecting.
    pub http_route_connect: Duration,
    /// HTTP routes: the answer.
    pub http_route_answer: Duration,
}

/// Where and as whom the registry is used.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// `host:port` of each ZooKeeper.
    pub servers: Vec<String>,
    /// User and password of the digest ACL.
    pub acl: Option<(String, String)>,
    /// Address to register in place of the one found.
    pub register_ip: Option<String>,
}

impl fmt::Debug for RegistrySettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.acl.as_ref().map(|(user, _)| user);
        out.debug_struct("RegistrySettings")
            .field("servers", &self.servers)
            .field("acl_user", &user)
            .field("register_ip", &self.register_ip)
            .finish()
    }
}

impl Config {
    /// Reads a properties file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        Self::from_entries(&path.display().to_string(), read_entries(path)?)
    }

    /// Reads key-value pairs, as a program or a test gives them.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ConfigError> {
        Self::from_entries("configuration", pair_entries(pairs))
    }

    fn from_entries(origin: &str, mut entries: Vec<Entry>) -> Result<Self, ConfigError> {
        for entry in &mut entries {
            let alias = ALIASES.iter().find(|(alias, _)| *alias == entry.key);
            if let Some((_, name)) = alias {
                entry.key = (*name).to_owned();
            }
        }
        let mut problems = Vec::new();
        let values = Values::read(KEYS, &entries, &mut problems);
        problems.extend(one_port_twice(&values, &entries, keys::PORTS));
        let checked = Checked::read(&values, &entries, &mut problems);
        let logs = LogSettings::read(&entries, &values, &mut problems);
        let traces = trace::Settings::read(&entries, &values, &mut problems);
        if !problems.is_empty() {
            return Err(ConfigError {
                origin: origin.to_owned(),
                problems,
            });
        }
        let about_entries = entries.iter().filter_map(|entry| about_entry(KEYS, entry));
        let notes = about_entries.chain(check::notes(&values, &entries));
        let notes = notes.collect();
        let mut config = Self::from_values(values, checked, notes);
        config.traces = traces;
        config.logs = logs;
        Ok(config)
    }

    fn from_values(values: Values, checked: Checked, notes: Vec<Note>) -> Self {
        let path = |key: &str| PathBuf::from(values.text(key).unwrap_or_default());
        Self {
            coordinator: values.number("coordinator").to_string(),
            inference_role: values.text("inference.service.name").unwrap_or_default(),
            http: values
                .port("server.port")
                .map(|port| (checked.bind_http, port)),
            context_path: context_path(values.text("server.servlet.context-path")),
            intra: (
                checked.bind_intra,
                values.port("proxy.grpc.intra.port").unwrap_or(0),
            ),
            inter: (
                checked.bind_inter,
                values.port("proxy.grpc.inter.port").unwrap_or(0),
            ),
            inter_tls: checked.inter_tls,
            route_table: path("route.table"),
            route_type: check::route_type(&values).unwrap_or_default(),
            enforce: checked.enforce,
            auth_open: values.flag("auth.open"),
            auth_file: path("auth.file"),
            timeouts: Timeouts {
                inference: values.duration("proxy.grpc.inference.timeout"),
                batch: values.duration("proxy.grpc.batch.inference.timeout"),
                unary: values.duration("proxy.grpc.unaryCall.timeout"),
                http: values.duration("proxy.async.timeout"),
                http_route_connect: values.duration("httpclient.config.connection.timeout"),
                http_route_answer: values.duration("httpclient.config.sockect.timeout"),
            },
            max_in_flight: values.count("proxy.max.inflight"),
            max_in_flight_per_peer: values.count("proxy.peer.max.inflight"),
            max_message_bytes: values.count("proxy.max.message.bytes"),
            max_body_bytes: values.count("proxy.max.body.bytes"),
            drain_timeout: values.duration("proxy.drain.timeout"),
            registry: checked.registry,
            admin_token: values.secret("admin.token").as_deref().map(AdminToken::new),
            grpc_admin_token: checked.grpc_admin_token,
            traces: None,
            logs: LogSettings::default(),
            health_check: values.flag("health.check.allow"),
            state_path: path("proxy.state.path"),
            values,
            notes,
        }
    }

    /// This configuration with what a running proxy takes over of a new one.
    pub(crate) fn reloaded(&self, new: &Self) -> (Self, Changes) {
        let changes = Changes::between(&self.values, &new.values, RELOADABLE);
        let values = self.values.with(&new.values, RELOADABLE);
        let ratio = values.share("trace.sample.ratio").unwrap_or(1.0);
        let traces = self.traces.clone();
        let config = Self {
            // Peers know the times of HTTP routes since the start.
            timeouts: Timeouts {
                http_route_connect: self.timeouts.http_route_connect,
                http_route_answer: self.timeouts.http_route_answer,
                ..new.timeouts
            },
            max_in_flight: new.max_in_flight,
            drain_timeout: new.drain_timeout,
            admin_token: new.admin_token.clone(),
            grpc_admin_token: new.grpc_admin_token.clone(),
            health_check: new.health_check,
            logs: LogSettings {
                directory: self.logs.directory.clone(),
                ..new.logs.clone()
            },
            traces: traces.map(|traces| trace::Settings { ratio, ..traces }),
            values,
            ..self.clone()
        };
        (config, changes)
    }

    /// What an operator should know at start.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The properties as `listProps` answers them (contract 04 A.9): native JSON types, secrets masked, filtered by a
    /// case-insensitive part of the key. `route_table` is the text of the table in force.
    pub fn listed(&self, keyword: &str, route_table: &str) -> BTreeMap<String, serde_json::Value> {
        let keyword = keyword.trim().to_lowercase();
        let values = self.values.shown();
        let mut listed: BTreeMap<_, _> =
            values.map(|(key, value)| (key.to_owned(), value)).collect();
        listed.insert("currentVersion".to_owned(), CURRENT_VERSION.into());
        listed.insert("proxy.router.table".to_owned(), route_table.into());
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

fn context_path(text: Option<String>) -> String {
    let text = text.unwrap_or_default();
    let path = text.trim_matches('/');
    if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    }
}

#[cfg(test)]
mod tests;
