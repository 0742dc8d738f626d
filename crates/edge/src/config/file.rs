//! Reading a properties file completely, and everything that is wrong with it.

use std::fmt;
use std::path::Path;

use fate_domain::properties;

use super::values::Entry;
use crate::small_file;

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

/// The entries of a properties file, in its order.
pub fn read_entries(path: &Path) -> Result<Vec<Entry>, ConfigError> {
    let whole = |message: String, line| ConfigError {
        origin: path.display().to_string(),
        problems: vec![Problem {
            line,
            key: String::new(),
            message,
        }],
    };
    let bytes = small_file::read(path).map_err(|e| whole(format!("cannot be read: {e}"), None))?;
    let parsed = properties::parse(&bytes).map_err(|e| whole(e.message.clone(), Some(e.line)))?;
    let entries = parsed.iter().map(|entry| Entry {
        key: entry.key.clone(),
        value: entry.value.clone(),
        line: Some(entry.line),
    });
    Ok(entries.collect())
}

/// Entries as a program or a test gives them.
pub fn pair_entries<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Entry> {
    let entries = pairs.into_iter().map(|(key, value)| Entry {
        key: key.to_owned(),
        value: value.to_owned(),
        line: None,
    });
    entries.collect()
}
