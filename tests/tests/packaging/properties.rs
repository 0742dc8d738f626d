//! Every key that a shipped file names exists, given or in a comment that shows it; every file is a configuration.

use std::path::{Path, PathBuf};

use fate_edge::config::{Note, find};

use super::{conf, files_below, read};

/// Whose properties a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Proxy,
}

impl Role {
    fn of(path: &Path) -> Self {
        match path.file_name().and_then(|name| name.to_str()) {
            Some("serving-server.properties") => Self::Server,
            Some("application.properties") => Self::Proxy,
            other => panic!("{other:?} is neither a server's nor a proxy's name"),
        }
    }

    pub(super) fn knows(self, key: &str) -> bool {
        let is_alias = |alias: &(&str, &str)| alias.0 == key;
        match self {
            Self::Server => find(fate_server::config::KEYS, key).is_some() || is_of_source(key),
            Self::Proxy => {
                find(fate_proxy::config::KEYS, key).is_some()
                    || fate_proxy::config::ALIASES.iter().any(is_alias)
            }
        }
    }
}

/// Whether it is a setting of a feature source of any name.
fn is_of_source(key: &str) -> bool {
    let setting = key
        .strip_prefix(fate_server::config::SOURCE_PREFIX)
        .and_then(|rest| rest.split_once('.'));
    setting.is_some_and(|(_, name)| find(fate_server::config::SOURCE_SETTINGS, name).is_some())
}

/// Properties files of `conf/`.
fn shipped() -> Vec<PathBuf> {
    let mut all = files_below(&conf(""));
    all.retain(|path| path.extension().is_some_and(|one| one == "properties"));
    assert!(all.len() >= 6, "{all:?}");
    all
}

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    // Prose has blanks before an equals sign.
    (!key.is_empty() && !key.contains(char::is_whitespace)).then_some(key)
}

#[test]
fn every_key_exists() {
    for path in shipped() {
        let role = Role::of(&path);
        let text = read(&path);
        for (number, line) in text.lines().enumerate() {
            let given = line.strip_prefix('#').unwrap_or(line);
            if let Some(key) = key_of(given) {
                let place = format!("{}:{}", path.display(), number + 1);
                assert!(role.knows(key), "{place}: {key} is no key of a {role:?}");
            }
        }
    }
}

#[test]
fn every_key_with_an_effect_is_explained_in_the_files_that_explain() {
    let explains = |file: &str, key: &str| {
        let text = read(conf(file));
        let mut lines = text
            .lines()
            .map(|line| line.strip_prefix('#').unwrap_or(line));
        lines.any(|line| key_of(line) == Some(key))
    };
    let roles = [
        ("serving-server.properties", fate_server::config::KEYS),
        ("application.properties", fate_proxy::config::KEYS),
    ];
    for (file, keys) in roles {
        let honoured = keys
            .iter()
            .filter(|key| key.treatment == fate_edge::config::Treatment::Honoured);
        for key in honoured {
            assert!(
                explains(file, key.name),
                "conf/{file} does not explain {}",
                key.name
            );
        }
    }
}

#[test]
fn every_file_is_a_configuration() {
    for path in shipped() {
        let notes: Vec<Note> = match Role::of(&path) {
            Role::Server => fate_server::Config::from_file(&path)
                .unwrap_or_else(|error| panic!("{error}"))
                .notes()
                .to_vec(),
            Role::Proxy => fate_proxy::Config::from_file(&path)
                .unwrap_or_else(|error| panic!("{error}"))
                .notes()
                .to_vec(),
        };
        let unknown = notes.iter().find(|note| note.text.contains("is not a key"));
        assert_eq!(unknown, None, "{}", path.display());
    }
}

#[test]
fn every_route_table_works() {
    let own = fate_proxy::route_table::OwnAddresses::new(Vec::new());
    let tables = files_below(&conf(""));
    let tables: Vec<_> = tables
        .into_iter()
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name == "route_table.json")
        })
        .collect();
    assert!(tables.len() >= 3, "{tables:?}");
    for path in tables {
        let table = fate_proxy::route_table::RouteTable::parse(read(&path).as_bytes(), &own);
        let table = table.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(table.warnings(), [], "{}", path.display());
    }
}
