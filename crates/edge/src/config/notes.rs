//! What a configuration makes worth saying at start.

use super::key::{Key, Treatment, find};
use super::values::Entry;

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

/// The line in which a key is given.
pub fn line_of(entries: &[Entry], key: &str) -> Option<usize> {
    let entry = entries.iter().rfind(|entry| entry.key == key)?;
    entry.line
}

/// What is to be said about an entry: unknown or ignored.
pub fn about_entry(keys: &[Key], entry: &Entry) -> Option<Note> {
    let Some(key) = find(keys, &entry.key) else {
        return Some(unknown(keys, entry));
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

fn unknown(keys: &[Key], entry: &Entry) -> Note {
    let belongs_to_spring = ["spring.", "logging.", "server.", "management."]
        .iter()
        .any(|prefix| entry.key.starts_with(prefix));
    let mut text = format!("{} is not a key of this server and is ignored", entry.key);
    if let Some(near) = nearest(keys, &entry.key) {
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
fn nearest(keys: &[Key], name: &str) -> Option<&'static str> {
    let folded = name.to_lowercase();
    keys.iter()
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

/// Writes notes to the log.
pub fn say(notes: &[Note]) {
    for note in notes {
        match note.level {
            Level::Warning => tracing::warn!(line = note.line, "{}", note.text),
            Level::Info => tracing::info!(line = note.line, "{}", note.text),
        }
    }
}
