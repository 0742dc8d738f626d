//! Configuration: the keys of `serving-server.properties`, read, checked and typed.
//!
//! One table, [`KEYS`], says of every key its kind, default and whether it is honoured. A file is read completely:
//! every problem is reported at once, with file, line and key.

mod keys;
mod notes;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fate_domain::properties;
use fate_inference::Semantics;

pub use keys::{Fallback, KEYS, Key, Treatment};
pub use notes::{Level, Note};
pub use value::{Address, Kind, Value};

/// The interface version announced in packets and `listProps`, the one of FATE-Serving 2.1.7.
pub const CURRENT_VERSION: i64 = 216;

/// A checked configuration. Durations and sizes are in the units their types say.
#[derive(Clone)]
pub struct Config {
    /// gRPC port; 0 takes any free port.
    pub grpc_port: u16,
    /// HTTP port; 0 takes any free port, `None` switches HTTP off.
    pub http_port: Option<u16>,
    /// Address the listeners bind; the wildcard address unless an embedding program narrows it.
    pub bind: std::net::IpAddr,
    /// Inference calls in flight before 124 is answered.
    pub max_in_flight: usize,
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
    /// Hosts reached directly, by party id.
    pub federation_hosts: BTreeMap<String, Address>,
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
    /// File of the file sources.
    pub host_data_file: PathBuf,
    /// Address of the HTTP sources.
    pub http_adapter_url: Option<String>,
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
    /// Whether the flow log carries request bodies.
    pub print_input: bool,
    /// Whether the flow log carries answers.
    pub print_output: bool,
    /// Whether `checkHealthService` answers.
    pub health_check: bool,
    values: Values,
    notes: Vec<Note>,
}

/// Something wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line of the file, when the key is in it.
    pub line: Option<usize>,
    /// The key; empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Where the properties came from.
    pub origin: String,
    /// At least one problem.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(out, "{separator}{}", self.origin)?;
            if let Some(line) = problem.line {
                write!(out, ":{line}")?;
            }
            if !problem.key.is_empty() {
                write!(out, ": {}", problem.key)?;
            }
            write!(out, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl Config {
    /// Reads a properties file.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let origin = path.display().to_string();
        let whole = |message: String, line| ConfigError {
            origin: origin.clone(),
            problems: vec![Problem {
                line,
                key: String::new(),
                message,
            }],
        };
        let bytes = read_file(path).map_err(|e| whole(format!("cannot be read: {e}"), None))?;
        let parsed =
            properties::parse(&bytes).map_err(|e| whole(e.message.clone(), Some(e.line)))?;
        let entries = parsed
            .iter()
            .map(|entry| Entry {
                key: &entry.key,
                value: &entry.value,
                line: Some(entry.line),
            })
            .collect::<Vec<_>>();
        Self::from_entries(&origin, &entries)
    }

    /// Reads key-value pairs, as a program or a test gives them.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ConfigError> {
        let entries = pairs
            .into_iter()
            .map(|(key, value)| Entry {
                key,
                value,
                line: None,
            })
            .collect::<Vec<_>>();
        Self::from_entries("configuration", &entries)
    }

    fn from_entries(origin: &str, entries: &[Entry<'_>]) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let values = Values::read(entries, &mut problems);
        problems.extend(one_port_twice(&values, entries));
        if !problems.is_empty() {
            return Err(ConfigError {
                origin: origin.to_owned(),
                problems,
            });
        }
        let notes = notes::notes(entries, &values);
        let mut config = Self::from_values(values, notes);
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
            bind: std::net::Ipv4Addr::UNSPECIFIED.into(),
            max_in_flight: values.count("serving.max.inflight"),
            max_message_bytes: values.count("serving.max.message.bytes"),
            max_body_bytes: values.count("serving.max.body.bytes"),
            drain_timeout: values.duration("serving.drain.timeout"),
            service_role_name: values.text("serviceRoleName").unwrap_or_default(),
            proxy: values.address("proxy"),
            federation_hosts: values.hosts("federation.hosts"),
            single_timeout: values.duration("single.inference.rpc.timeout"),
            batch_timeout: values.duration("batch.inference.rpc.timeout"),
            batch_max: values.count("batch.inference.max"),
            guest_batch_max: values.count("batch.inference.guest.max"),
            grpc_timeout: values.duration("grpc.timeout"),
            single_source: values.text("feature.single.adaptor"),
            batch_source: values.text("feature.batch.adaptor"),
            batch_single_source: values.text("feature.batch.single.adaptor"),
            host_data_file: values.text("host.data.file").unwrap_or_default().into(),
            http_adapter_url: values.text("http.adapter.url"),
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
            print_input: values.flag("print.input.data"),
            print_output: values.flag("print.output.data"),
            health_check: values.flag("health.check.allow"),
            values,
            notes,
        }
    }

    /// What an operator should know at start: unknown keys, ignored keys, missing routes.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The properties as `listProps` answers them (contract 01 §1.8): native JSON types, secrets masked, filtered by
    /// a case-insensitive part of the key. `server.port` carries the gRPC port, as the Java server has it.
    pub fn listed(&self, keyword: &str, grpc_port: u16) -> BTreeMap<String, serde_json::Value> {
        let keyword = keyword.trim().to_lowercase();
        let mut listed = BTreeMap::new();
        for key in KEYS.iter().filter(|key| key.name != "port") {
            if let Some(value) = self.values.get(key.name) {
                listed.insert(key.name.to_owned(), value.shown());
            }
        }
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
        out.debug_map().entries(self.values.by_key.iter()).finish()
    }
}

/// A properties file is small; whatever is larger, or no file, is a mistake that must not fill the memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    // Before it is opened: opening a pipe waits for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let text = format!("it is larger than {MAX_FILE_BYTES} bytes");
        return Err(io::Error::other(text));
    }
    Ok(bytes)
}

/// Two listeners cannot share a port; said here, it has a line and a key.
fn one_port_twice(values: &Values, entries: &[Entry<'_>]) -> Option<Problem> {
    let port = values.port("port").filter(|port| *port != 0)?;
    values.port("server.port").filter(|http| *http == port)?;
    let given = |key: &str| entries.iter().rfind(|entry| entry.key == key);
    let entry = given("server.port").or_else(|| given("port"));
    Some(Problem {
        line: entry.and_then(|entry| entry.line),
        key: entry.map_or("port", |entry| entry.key).to_owned(),
        message: format!("port and server.port are both {port}; gRPC and HTTP need a port each"),
    })
}

fn paths(texts: Vec<String>) -> Vec<PathBuf> {
    texts.into_iter().map(PathBuf::from).collect()
}

/// One key as it was given.
struct Entry<'a> {
    key: &'a str,
    value: &'a str,
    line: Option<usize>,
}

/// Values by key, defaults filled in; unset optional keys are missing.
#[derive(Clone)]
struct Values {
    by_key: BTreeMap<&'static str, Value>,
}

impl Values {
    fn read(entries: &[Entry<'_>], problems: &mut Vec<Problem>) -> Self {
        let mut by_key = BTreeMap::new();
        for key in KEYS {
            let entry = entries.iter().rev().find(|entry| entry.key == key.name);
            let (text, line) = match entry {
                Some(entry) => (entry.value.trim().to_owned(), entry.line),
                None => match default_text(key.fallback) {
                    Some(text) => (text, None),
                    None => continue,
                },
            };
            match key.kind.read(&text).map(|read| or_default(read, key)) {
                Ok(Some(value)) => {
                    by_key.insert(key.name, value);
                }
                Ok(None) => {}
                Err(message) => problems.push(Problem {
                    line,
                    key: key.name.to_owned(),
                    message,
                }),
            }
        }
        Self { by_key }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.by_key.get(key)
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.get(key) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Value::Flag(true)))
    }

    fn number_if_set(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> i64 {
        self.number_if_set(key).unwrap_or(0)
    }

    fn count(&self, key: &str) -> usize {
        usize::try_from(self.number(key)).unwrap_or(0)
    }

    fn port(&self, key: &str) -> Option<u16> {
        self.number_if_set(key).and_then(|n| u16::try_from(n).ok())
    }

    fn duration_if_set(&self, key: &str) -> Option<Duration> {
        let millis = u64::try_from(self.number_if_set(key)?).ok()?;
        Some(Duration::from_millis(millis))
    }

    fn duration(&self, key: &str) -> Duration {
        self.duration_if_set(key).unwrap_or_default()
    }

    fn address(&self, key: &str) -> Option<Address> {
        match self.get(key) {
            Some(Value::Address(address)) => Some(address.clone()),
            _ => None,
        }
    }

    fn hosts(&self, key: &str) -> BTreeMap<String, Address> {
        match self.get(key) {
            Some(Value::Hosts(hosts)) => hosts.clone(),
            _ => BTreeMap::new(),
        }
    }

    fn list(&self, key: &str) -> Vec<String> {
        match self.get(key) {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }
}

fn default_text(fallback: Fallback) -> Option<String> {
    match fallback {
        Fallback::Unset => None,
        Fallback::Is(text) => Some(text.to_owned()),
        Fallback::Processors(times) => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            Some((processors * times).to_string())
        }
    }
}

/// A text key left blank falls back to its default; `server.port` left blank means no HTTP.
fn or_default(read: Option<Value>, key: &Key) -> Option<Value> {
    match (read, key.kind) {
        (None, Kind::Text) => default_text(key.fallback).map(Value::Text),
        (read, _) => read,
    }
}

#[cfg(test)]
mod tests;
