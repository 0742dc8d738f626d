//! Values by key.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::file::Problem;
use super::key::{Fallback, Key};
use super::value::{Address, Kind, Value};

/// One key as it was given.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Its text, untrimmed.
    pub value: String,
    /// Line of the file, when there is one.
    pub line: Option<usize>,
}

/// Values by key, defaults filled in; unset optional keys are missing.
#[derive(Debug, Clone)]
pub struct Values {
    by_key: BTreeMap<&'static str, Value>,
}

impl Values {
    /// Reads every key of the table; what is wrong is added to `problems`.
    pub fn read(keys: &[Key], entries: &[Entry], problems: &mut Vec<Problem>) -> Self {
        let mut by_key = BTreeMap::new();
        for key in keys {
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

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.by_key.get(key)
    }

    /// Keys and values as `listProps` shows them: native JSON types, secrets masked.
    pub fn shown(&self) -> impl Iterator<Item = (&'static str, serde_json::Value)> {
        self.by_key.iter().map(|(key, value)| (*key, value.shown()))
    }

    /// The keys whose values differ, or that only one of both has.
    pub(super) fn differing(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let keys: BTreeSet<&'static str> = self
            .by_key
            .keys()
            .chain(other.by_key.keys())
            .copied()
            .collect();
        keys.into_iter()
            .filter(|key| self.by_key.get(key) != other.by_key.get(key))
    }

    /// These values, with those of `other` for some keys.
    pub fn with(&self, other: &Self, keys: &[&str]) -> Self {
        let is_of_other = |key: &&'static str| keys.contains(key);
        let own = self.by_key.iter().filter(|(key, _)| !is_of_other(key));
        let others = other.by_key.iter().filter(|(key, _)| is_of_other(key));
        let all = own.chain(others).map(|(key, value)| (*key, value.clone()));
        Self {
            by_key: all.collect(),
        }
    }

    /// Of a text.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.get(key) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    /// Of a secret. It must not reach a log or an answer.
    pub fn secret(&self, key: &str) -> Option<String> {
        match self.get(key) {
            Some(Value::Secret(text)) => Some(text.clone()),
            _ => None,
        }
    }

    /// Of a flag; unset is false.
    pub fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Value::Flag(true)))
    }

    /// Of a number.
    pub fn number_if_set(&self, key: &str) -> Option<i64> {
        match self.get(key) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// Of a number; unset is 0.
    pub fn number(&self, key: &str) -> i64 {
        self.number_if_set(key).unwrap_or(0)
    }

    /// Of a number of things; unset is 0.
    pub fn count(&self, key: &str) -> usize {
        usize::try_from(self.number(key)).unwrap_or(0)
    }

    /// Of a share, 0 to 1.
    pub fn share(&self, key: &str) -> Option<f64> {
        match self.get(key) {
            Some(Value::Share(share)) => Some(*share),
            _ => None,
        }
    }

    /// Of a port.
    pub fn port(&self, key: &str) -> Option<u16> {
        self.number_if_set(key).and_then(|n| u16::try_from(n).ok())
    }

    /// Of milliseconds.
    pub fn duration_if_set(&self, key: &str) -> Option<Duration> {
        let millis = u64::try_from(self.number_if_set(key)?).ok()?;
        Some(Duration::from_millis(millis))
    }

    /// Of milliseconds; unset is 0.
    pub fn duration(&self, key: &str) -> Duration {
        self.duration_if_set(key).unwrap_or_default()
    }

    /// Of an IP address.
    pub fn ip(&self, key: &str) -> Option<IpAddr> {
        match self.get(key) {
            Some(Value::Ip(address)) => Some(*address),
            _ => None,
        }
    }

    /// Of an address.
    pub fn address(&self, key: &str) -> Option<Address> {
        match self.get(key) {
            Some(Value::Address(address)) => Some(address.clone()),
            _ => None,
        }
    }

    /// Of a table of hosts; unset is empty.
    pub fn hosts(&self, key: &str) -> BTreeMap<String, Address> {
        match self.get(key) {
            Some(Value::Hosts(hosts)) => hosts.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// Of a list; unset is empty.
    pub fn list(&self, key: &str) -> Vec<String> {
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

/// Two listeners cannot share a port; said here, it has a line and a key. `ports` are the keys of ports, each with what
/// listens there.
pub fn one_port_twice(
    values: &Values,
    entries: &[Entry],
    ports: &[(&'static str, &'static str)],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (position, (key, what)) in ports.iter().enumerate() {
        for (other, also) in &ports[position + 1..] {
            let Some(port) = values.port(key).filter(|port| *port != 0) else {
                continue;
            };
            if values.port(other) != Some(port) {
                continue;
            }
            let given = |key: &str| entries.iter().rfind(|entry| entry.key == key);
            let entry = given(other).or_else(|| given(key));
            problems.push(Problem {
                line: entry.and_then(|entry| entry.line),
                key: entry.map_or(*key, |entry| &entry.key).to_owned(),
                message: format!(
                    "{key} and {other} are both {port}; {what} and {also} need a port each"
                ),
            });
        }
    }
    problems
}
