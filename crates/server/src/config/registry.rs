//! The keys of the service registry (contract 01 §9.2, contract 03 §2).

use std::path::PathBuf;
use std::time::Duration;

use fate_edge::config::{Entry, Level, Note, Problem, Values, line_of};
use fate_registry::{Addresses, Login};

/// How this server uses ZooKeeper.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// `zk.url`.
    pub addresses: Addresses,
    /// `acl.*`, when they are on and complete.
    pub login: Option<Login>,
    /// `register.ip`: the host that peers are told, instead of the one that is found.
    pub host: Option<String>,
    /// `useZkRouter`: whether the proxy is found through the registry.
    pub routes: bool,
    /// Directory of the last known answers and the weights.
    pub directory: PathBuf,
    /// The session's timeout.
    pub session_timeout: Duration,
}

/// The registry's part of a configuration; `None` for a server without one: `useRegister=false`, or no `zk.url`.
pub(super) fn read(
    entries: &[Entry],
    values: &Values,
    problems: &mut Vec<Problem>,
) -> Option<RegistryConfig> {
    let mut checked = |key: &str, outcome: Result<(), String>| {
        if let Err(message) = outcome {
            problems.push(Problem {
                line: line_of(entries, key),
                key: key.to_owned(),
                message,
            });
        }
    };
    let host = values.text("register.ip");
    if let Some(host) = host.as_deref() {
        let outcome = fate_registry::own_host(Some(host));
        checked(
            "register.ip",
            outcome.map(drop).map_err(|error| error.to_string()),
        );
    }
    let addresses = values.text("zk.url")?.parse::<Addresses>();
    let addresses = addresses
        .map_err(|error| checked("zk.url", Err(error.to_string())))
        .ok()?;
    values.flag("useRegister").then(|| RegistryConfig {
        addresses,
        login: login(values),
        host,
        routes: values.flag("useZkRouter"),
        directory: values.text("registry.cache.path").map_or_else(
            || std::env::home_dir().unwrap_or_default().join(".fate"),
            PathBuf::from,
        ),
        session_timeout: values.duration("zk.session.timeout"),
    })
}

fn login(values: &Values) -> Option<Login> {
    values.flag("acl.enable").then_some(())?;
    Some(Login {
        user: values.text("acl.username")?,
        password: values.secret("acl.password")?,
    })
}

/// What is worth saying at start.
pub(super) fn notes(entries: &[Entry], values: &Values) -> Vec<Note> {
    let is_written = |key: &str| entries.iter().any(|entry| entry.key == key);
    let note = |key: &str, text: &str| Note {
        level: Level::Warning,
        line: line_of(entries, key),
        text: text.to_owned(),
    };
    let mut notes = Vec::new();
    if values.flag("useRegister") && is_written("useRegister") && values.text("zk.url").is_none() {
        let text = "useRegister asks for the ZooKeeper registry, but zk.url is not set: this server is not registered, \
                    hosts are reached by proxy= or federation.hosts=";
        notes.push(note("useRegister", text));
    }
    if values.flag("acl.enable") && login(values).is_none() {
        let text =
            "acl.enable needs acl.username and acl.password: ZooKeeper is used without a login";
        notes.push(note("acl.enable", text));
    }
    notes
}
