//! What a configuration makes worth saying at start.

use super::keys::{self, KEYS, Treatment};
use super::{Config, Entry, Values};
use crate::features;

/// How loud a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The operator should act.
    Warning,
    /// Good to know.
    Info,
}

/// One line for the start log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its weight.
    pub level: Level,
    /// Line of the file, when the note is about one.
    pub line: Option<usize>,
    /// The text; never holds the value of a secret.
    pub text: String,
}

pub(super) fn notes(entries: &[Entry<'_>], values: &Values) -> Vec<Note> {
    let mut notes: Vec<Note> = entries.iter().filter_map(about_entry).collect();
    notes.extend(about_registry(entries, values));
    notes.extend(about_routes(values));
    notes
}

/// Feature sources that cannot be used. The node starts without them, as the Java server does.
pub(super) fn about_sources(config: &Config, entries: &[Entry<'_>]) -> Vec<Note> {
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

fn line_of(entries: &[Entry<'_>], key: &str) -> Option<usize> {
    let entry = entries.iter().rfind(|entry| entry.key == key)?;
    entry.line
}

fn about_entry(entry: &Entry<'_>) -> Option<Note> {
    let Some(key) = keys::find(entry.key) else {
        return Some(unknown(entry));
    };
    match key.treatment {
        Treatment::Honoured => None,
        Treatment::Ignored(reason) => Some(Note {
            level: Level::Info,
            line: entry.line,
            text: format!("{} is ignored: {reason}", key.name),
        }),
    }
}

fn unknown(entry: &Entry<'_>) -> Note {
    let belongs_to_spring = ["spring.", "logging.", "server.", "management."]
        .iter()
        .any(|prefix| entry.key.starts_with(prefix));
    let mut text = format!("{} is not a key of this server and is ignored", entry.key);
    if let Some(near) = nearest(entry.key) {
        text.push_str(&format!("; did you mean {near}?"));
    } else if belongs_to_spring {
        text.push_str(": it configures Spring, which this server does not use");
    }
    Note {
        level: Level::Warning,
        line: entry.line,
        text,
    }
}

/// The known key closest to a misspelled one, if any is close.
fn nearest(name: &str) -> Option<&'static str> {
    let folded = name.to_lowercase();
    KEYS.iter()
        .map(|key| (distance(&folded, &key.name.to_lowercase()), key.name))
        .min()
        .filter(|(distance, near)| *distance <= 3.min(near.len() / 3))
        .map(|(_, near)| near)
}

/// Edit distance in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

/// Java registers in ZooKeeper unless told not to; this version never does and must say so.
fn about_registry(entries: &[Entry<'_>], values: &Values) -> Option<Note> {
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
            .find(|entry| asked.contains(&entry.key))
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
