//! What a configuration makes worth saying at start.

use fate_edge::config::{Entry, Level, Note, Values, about_entry, line_of};

use super::keys::KEYS;
use super::{Config, registry, result_cache, sources};
use crate::features;

pub(super) fn notes(entries: &[Entry], values: &Values) -> Vec<Note> {
    let mut notes: Vec<Note> = entries
        .iter()
        .filter(|entry| !entry.key.starts_with(sources::PREFIX))
        .filter_map(|entry| about_entry(KEYS, entry))
        .collect();
    notes.extend(registry::notes(entries, values));
    notes.extend(result_cache::notes(entries, values));
    notes.extend(sources::notes(entries, values));
    notes.extend(about_routes(values));
    notes.extend(about_peers(entries, values));
    notes
}

/// Feature sources that cannot be used. The node starts without them, as the Java server does.
pub(super) fn about_sources(config: &Config, entries: &[Entry]) -> Vec<Note> {
    let note = |(key, error): (&str, fate_features::Error)| Note {
        level: Level::Warning,
        line: line_of(entries, key),
        text: format!("{key}: {error}; calls that need it will answer 116"),
    };
    let mock = ["feature.single.adaptor", "feature.batch.adaptor"]
        .into_iter()
        .zip([&config.single_source, &config.batch_source])
        .filter(|(_, source)| source.as_deref().is_some_and(is_mock))
        .map(|(key, _)| Note {
            level: Level::Info,
            line: line_of(entries, key),
            text: format!("{key} gives the same made-up features for every id: for tests only"),
        });
    let file = config.host_data_file.display();
    let without_file = features::without_file(config).map(|key| Note {
        level: Level::Warning,
        line: line_of(entries, key),
        text: format!(
            "{key} reads host.data.file, and {file} is no file that is there: calls that need it will answer 102"
        ),
    });
    let problems = features::problems(config).map(note);
    problems.chain(mock).chain(without_file).collect()
}

fn is_mock(source: &str) -> bool {
    source == "mock" || source.ends_with(".MockAdapter") || source.ends_with(".MockBatchAdapter")
}

fn about_peers(entries: &[Entry], values: &Values) -> Option<Note> {
    let has_registry = values.flag("useRegister") && values.get("zk.url").is_some();
    let lacks_peers = !has_registry && values.list("sync.peers").is_empty();
    (values.flag("sync.on.start") && lacks_peers).then(|| Note {
        level: Level::Warning,
        line: line_of(entries, "sync.on.start"),
        text: "sync.on.start has nobody to ask: neither sync.peers nor a registry is set"
            .to_owned(),
    })
}

/// In a process that has a proxy of its own, that one is the way to other parties.
pub(super) fn about_own_proxy(config: &Config) -> Option<Note> {
    let replaced = config.proxy.as_ref()?;
    Some(Note {
        level: Level::Warning,
        line: None,
        text: format!("proxy={replaced} is not used: this node has a proxy of its own"),
    })
}

/// What is said without any way to other parties.
pub(super) const NO_ROUTES: &str =
    "neither proxy nor federation.hosts is set: guest models that need hosts answer 106";

fn about_routes(values: &Values) -> Option<Note> {
    let has_registry = values.flag("useRegister") && values.get("zk.url").is_some();
    let may_route = has_registry && values.flag("useZkRouter");
    let is_static = values.get("proxy").is_some() || values.get("federation.hosts").is_some();
    (!may_route && !is_static).then(|| Note {
        level: Level::Info,
        line: None,
        text: NO_ROUTES.to_owned(),
    })
}
