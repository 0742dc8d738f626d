//! What a configuration makes worth saying at start.

use fate_edge::config::{Entry, Level, Note, Values, about_entry, line_of};

use super::Config;
use super::keys::KEYS;
use crate::features;

pub(super) fn notes(entries: &[Entry], values: &Values) -> Vec<Note> {
    let mut notes: Vec<Note> = entries
        .iter()
        .filter_map(|entry| about_entry(KEYS, entry))
        .collect();
    notes.extend(about_registry(entries, values));
    notes.extend(about_routes(values));
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
    features::problems(config).map(note).chain(mock).collect()
}

fn is_mock(source: &str) -> bool {
    source == "mock" || source.ends_with(".MockAdapter") || source.ends_with(".MockBatchAdapter")
}

/// Java registers in ZooKeeper unless told not to; this version never does and must say so.
fn about_registry(entries: &[Entry], values: &Values) -> Option<Note> {
    let asked = ["useRegister", "useZkRouter"]
        .into_iter()
        .filter(|key| values.flag(key) && entries.iter().any(|entry| entry.key == *key))
        .collect::<Vec<_>>();
    if asked.is_empty() {
        return None;
    }
    Some(Note {
        level: Level::Warning,
        line: entries
            .iter()
            .find(|entry| asked.contains(&entry.key.as_str()))
            .and_then(|entry| entry.line),
        text: format!(
            "{} asks for the ZooKeeper registry, which is not available in this version; \
             hosts are reached by proxy= or federation.hosts=, and this server is not registered",
            asked.join(" and ")
        ),
    })
}

fn about_routes(values: &Values) -> Option<Note> {
    (values.get("proxy").is_none() && values.get("federation.hosts").is_none()).then(|| Note {
        level: Level::Info,
        line: None,
        text: "neither proxy nor federation.hosts is set: guest models that need hosts answer 106"
            .to_owned(),
    })
}
