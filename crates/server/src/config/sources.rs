//! The keys of feature sources, `feature.source.NAME.SETTING`: a table of their own, since names are the operator's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fate_edge::config::{
    COUNT, Entry, Fallback, Key, Kind, Level, MILLIS, Note, Problem, Values, find, honoured,
    line_of,
};
use fate_features::{
    ClientIdentity, ColumnMapping, MYSQL_SCHEMES, MemorySettings, POSTGRESQL_SCHEMES,
    REDIS_SCHEMES, ReadSettings, RedisForm, ServerUrl, SnapshotForm, SnapshotSettings, SourceKind,
    SourceSettings, TableSettings, TlsSettings,
};

use Fallback::{Is, Unset};

/// What the keys of all sources begin with.
pub const PREFIX: &str = "feature.source.";
const NAMES: &str = "feature.sources";
/// More sources would be a mistake; each is asked for every row.
const MAX_SOURCES: usize = 32;

const TYPES: &[&str] = &["redis", "postgresql", "mysql", "http", "csv", "parquet"];
const ON_SERVERS: &[&str] = &["redis", "postgresql", "mysql", "http"];
const IN_TABLES: &[&str] = &["postgresql", "mysql"];
const IN_FILES: &[&str] = &["csv", "parquet"];
const WITH_ID_COLUMN: &[&str] = &["postgresql", "mysql", "csv", "parquet"];

/// The settings of a source, behind its name.
#[rustfmt::skip]
pub const SETTINGS: &[Key] = &[
    honoured("type", Kind::Choice(TYPES), Unset, "kind of source"),
    // May hold a password: shown without it.
    honoured("url", Kind::Secret, Unset, "address of the server"),
    honoured("key", Kind::Text, Is("${id}"), "what a row is looked up by; ${name} is the id of that name in the request"),
    honoured("columns", Kind::List, Unset, "columns that are taken, column or column=feature,…; unset: all under their own names"),
    honoured("required", Kind::Flag, Is("true"), "whether a row fails when this source does; otherwise it goes on without these features"),
    honoured("timeout", MILLIS, Is("1000"), "ms for one question, waiting and connecting included"),
    honoured("pool", Kind::Number { min: 1, max: 1000 }, Is("8"), "questions and connections at a time"),
    honoured("cache.ttl", Kind::Number { min: 0, max: i32::MAX as i64 }, Is("0"), "ms a row is remembered; 0: not at all"),
    honoured("cache.negative.ttl", Kind::Number { min: 0, max: i32::MAX as i64 }, Is("0"), "ms it is remembered that there is no row; 0: not at all"),
    honoured("cache.max.entries", COUNT, Is("10000"), "rows remembered at a time"),
    honoured("cache.max.bytes", Kind::Number { min: 65536, max: 1 << 40 }, Is("67108864"), "bytes of them together"),
    honoured("breaker.failures", COUNT, Is("5"), "failures in a row after which the source is left alone"),
    honoured("breaker.pause", MILLIS, Is("1000"), "ms it is left alone before it is tried again"),
    honoured("cluster", Kind::Flag, Is("false"), "redis: whether the server belongs to a cluster; several host:port,… in the address mean so, too"),
    honoured("format", Kind::Choice(&["hash", "json"]), Is("hash"), "redis: what lies under a key"),
    honoured("file", Kind::Text, Unset, "csv, parquet: the file; looked at once a second"),
    honoured("id.column", Kind::Text, Is("id"), "postgresql, mysql, csv, parquet: the column of the keys, whose values are unique"),
    honoured("table", Kind::Text, Unset, "postgresql, mysql: the table or view, table or schema.table"),
    honoured("max.bytes", Kind::Number { min: 1024, max: 1 << 40 }, Is("1073741824"), "csv, parquet: largest file, and largest table of it in memory"),
    honoured("tls", Kind::Flag, Is("false"), "postgresql, mysql: over TLS; redis has it by rediss://, http by https://"),
    honoured("tls.ca", Kind::Text, Unset, "PEM file of the authority that is trusted over TLS, instead of the system's"),
    honoured("tls.cert", Kind::Text, Unset, "PEM file of the certificate that is shown to the server over TLS, with its chain"),
    honoured("tls.key", Kind::Text, Unset, "PEM file of its key; of mysql an RSA key"),
];

/// Settings that only these types have.
const OF_TYPES: &[(&str, &[&str])] = &[
    ("url", ON_SERVERS),
    ("timeout", ON_SERVERS),
    ("pool", ON_SERVERS),
    ("cache.ttl", ON_SERVERS),
    ("cache.negative.ttl", ON_SERVERS),
    ("cache.max.entries", ON_SERVERS),
    ("cache.max.bytes", ON_SERVERS),
    ("breaker.failures", ON_SERVERS),
    ("breaker.pause", ON_SERVERS),
    ("cluster", &["redis"]),
    ("format", &["redis"]),
    ("tls", IN_TABLES),
    ("tls.ca", ON_SERVERS),
    ("tls.cert", ON_SERVERS),
    ("tls.key", ON_SERVERS),
    ("file", IN_FILES),
    ("table", IN_TABLES),
    ("id.column", WITH_ID_COLUMN),
    ("max.bytes", IN_FILES),
];

/// The configured sources in the order of their precedence, and their keys as they may be shown.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) settings: Vec<SourceSettings>,
    pub(super) shown: BTreeMap<String, serde_json::Value>,
}

pub(super) fn read(entries: &[Entry], values: &Values, problems: &mut Vec<Problem>) -> Sources {
    let mut sources = Sources::default();
    let names = values.list(NAMES);
    if let Some(message) = wrong_names(&names) {
        problems.push(Problem {
            line: line_of(entries, NAMES),
            key: NAMES.to_owned(),
            message,
        });
        return sources;
    }
    for name in names {
        let prefix = format!("{PREFIX}{name}.");
        let own = own_entries(entries, &prefix);
        let mut wrong = unknown(&own);
        let values = Values::read(SETTINGS, &own, &mut wrong);
        if wrong.is_empty() {
            let of_no_use = |(setting, types): &&(&str, &[&str])| {
                let kind = values.text("type").unwrap_or_default();
                line_is_given(&own, setting) && !types.contains(&kind.as_str())
            };
            wrong.extend(OF_TYPES.iter().filter(of_no_use).map(|(setting, types)| {
                problem(
                    &own,
                    setting,
                    format!("only a source of type {} has it", types.join(", ")),
                )
            }));
        }
        if wrong.is_empty() {
            match source(&name, &values) {
                Ok(source) => {
                    sources.shown.extend(shown(&prefix, &values, &source));
                    sources.settings.push(source);
                }
                Err((setting, message)) => wrong.push(problem(&own, setting, message)),
            }
        }
        problems.extend(wrong.into_iter().map(|mut problem| {
            problem.key = format!("{prefix}{}", problem.key);
            problem.line = problem.line.or_else(|| line_of(entries, NAMES));
            problem
        }));
    }
    sources
}

fn wrong_names(names: &[String]) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if let Some(name) = names.iter().find(|name| !name.chars().all(is_plain)) {
        return Some(format!("`{name}` is no name of letters, digits, - and _"));
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Some(format!("{} is named twice", pair[0]));
    }
    (names.len() > MAX_SOURCES).then(|| format!("more than {MAX_SOURCES} sources"))
}

/// The entries of one source, by setting.
fn own_entries(entries: &[Entry], prefix: &str) -> Vec<Entry> {
    let own = entries.iter().filter_map(|entry| {
        let setting = entry.key.strip_prefix(prefix)?;
        Some(Entry {
            key: setting.to_owned(),
            ..entry.clone()
        })
    });
    own.collect()
}

/// A misspelled setting would leave its default in force without a word.
fn unknown(own: &[Entry]) -> Vec<Problem> {
    let unknown = own
        .iter()
        .filter(|entry| find(SETTINGS, &entry.key).is_none());
    let names = SETTINGS
        .iter()
        .map(|key| key.name)
        .collect::<Vec<_>>()
        .join(", ");
    unknown
        .map(|entry| Problem {
            line: entry.line,
            key: entry.key.clone(),
            message: format!("no setting of a source; there are {names}"),
        })
        .collect()
}

fn line_is_given(own: &[Entry], setting: &str) -> bool {
    own.iter().any(|entry| entry.key == setting)
}

fn problem(own: &[Entry], setting: &str, message: String) -> Problem {
    Problem {
        line: line_of(own, setting),
        key: setting.to_owned(),
        message,
    }
}

/// A source, or the setting that is wrong and why.
fn source(name: &str, values: &Values) -> Result<SourceSettings, (&'static str, String)> {
    let key = values.text("key").unwrap_or_default();
    let columns = values.list("columns");
    Ok(SourceSettings {
        name: name.to_owned(),
        kind: kind(values)?,
        key: key.parse().map_err(|cause| ("key", cause))?,
        columns: ColumnMapping::of(columns.iter().map(String::as_str))
            .map_err(|cause| ("columns", cause))?,
        required: values.flag("required"),
        reads: ReadSettings {
            timeout: values.duration("timeout"),
            pool: values.count("pool"),
            memory: MemorySettings {
                rows: values
                    .duration_if_set("cache.ttl")
                    .filter(|time| !time.is_zero()),
                absences: values
                    .duration_if_set("cache.negative.ttl")
                    .filter(|time| !time.is_zero()),
                max_entries: values.count("cache.max.entries"),
                max_bytes: values.count("cache.max.bytes"),
            },
            breaker_failures: u32::try_from(values.number("breaker.failures")).unwrap_or(u32::MAX),
            breaker_pause: values.duration("breaker.pause"),
        },
    })
}

fn kind(values: &Values) -> Result<SourceKind, (&'static str, String)> {
    match values.text("type").as_deref() {
        Some("postgresql") => Ok(SourceKind::PostgreSql(table(values, POSTGRESQL_SCHEMES)?)),
        Some("mysql") => Ok(SourceKind::MySql(table(values, MYSQL_SCHEMES)?)),
        Some("http") => {
            let url = values.secret("url");
            let url = url.ok_or_else(|| ("url", "is not set".to_owned()))?;
            let tls = tls(values, url.starts_with("https://"))?.unwrap_or_default();
            Ok(SourceKind::HttpBatch { url, tls })
        }
        Some("csv") => snapshot(values, SnapshotForm::Csv),
        Some("parquet") => snapshot(values, SnapshotForm::Parquet),
        Some("redis") => {
            let server = server(values, REDIS_SCHEMES)?;
            Ok(SourceKind::Redis {
                tls: tls(values, server.scheme == "rediss")?.unwrap_or_default(),
                server,
                is_cluster: values.flag("cluster"),
                form: match values.text("format").as_deref() {
                    Some("json") => RedisForm::Json,
                    _ => RedisForm::Hash,
                },
            })
        }
        _ => Err((
            "type",
            format!("is not set; there are {}", TYPES.join(", ")),
        )),
    }
}

fn table(values: &Values, schemes: &[&str]) -> Result<TableSettings, (&'static str, String)> {
    let table = values.text("table");
    let table = table.ok_or_else(|| ("table", "is not set".to_owned()))?;
    let is_named = |part: &str| !part.is_empty();
    if table.split('.').count() > 2 || !table.split('.').all(is_named) {
        let message = format!("`{table}` is not table or schema.table");
        return Err(("table", message));
    }
    Ok(TableSettings {
        server: server(values, schemes)?,
        tls: tls(values, values.flag("tls"))?,
        table,
        id_column: values.text("id.column").unwrap_or_default(),
    })
}

/// `None` in the clear, where none of its settings has a meaning: whoever names files wants TLS.
fn tls(values: &Values, is_secured: bool) -> Result<Option<TlsSettings>, (&'static str, String)> {
    let file = |setting| values.text(setting).map(PathBuf::from);
    let [ca, certificate, key] = ["tls.ca", "tls.cert", "tls.key"].map(file);
    if !is_secured {
        let given = [("tls.ca", ca), ("tls.cert", certificate), ("tls.key", key)];
        return match given.into_iter().find(|(_, file)| file.is_some()) {
            None => Ok(None),
            Some((setting, _)) => Err((
                setting,
                "this source is not asked over TLS: that takes rediss://, https://, or tls=true"
                    .to_owned(),
            )),
        };
    }
    let missing = |setting, other| Err((setting, format!("is not set, {other} is")));
    let identity = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key }),
        (Some(_), None) => return missing("tls.key", "tls.cert"),
        (None, Some(_)) => return missing("tls.cert", "tls.key"),
    };
    Ok(Some(TlsSettings { ca, identity }))
}

fn snapshot(values: &Values, form: SnapshotForm) -> Result<SourceKind, (&'static str, String)> {
    let path = values.text("file");
    Ok(SourceKind::Snapshot(SnapshotSettings {
        path: path
            .ok_or_else(|| ("file", "is not set".to_owned()))?
            .into(),
        form,
        id_column: values.text("id.column").unwrap_or_default(),
        max_bytes: u64::try_from(values.number("max.bytes")).unwrap_or(0),
    }))
}

fn server(values: &Values, schemes: &[&str]) -> Result<ServerUrl, (&'static str, String)> {
    let url = values.secret("url");
    let url = url.ok_or_else(|| ("url", "is not set".to_owned()))?;
    let server = ServerUrl::parse(&url, schemes).map_err(|cause| ("url", cause))?;
    if schemes != REDIS_SCHEMES && !server.others.is_empty() {
        let message = "several servers are only for redis".to_owned();
        return Err(("url", message));
    }
    Ok(server)
}

/// The keys of a source with their values, the address without its password.
fn shown<'a>(
    prefix: &'a str,
    values: &'a Values,
    source: &'a SourceSettings,
) -> impl Iterator<Item = (String, serde_json::Value)> + 'a {
    let kind = values.text("type").unwrap_or_default();
    let has = move |setting: &str| {
        let mut of_types = OF_TYPES.iter();
        let types = of_types.find(|(name, _)| *name == setting);
        types.is_none_or(|(_, types)| types.contains(&kind.as_str()))
    };
    values
        .shown()
        .filter(move |(setting, _)| has(setting))
        .map(move |(setting, value)| {
            let address = source.kind.shown_address().filter(|_| setting == "url");
            let value = address.map_or(value, serde_json::Value::from);
            (format!("{prefix}{setting}"), value)
        })
}

/// Sources that are described and never asked.
pub(super) fn notes(entries: &[Entry], values: &Values) -> Vec<Note> {
    let names = values.list(NAMES);
    let warning = |line, text| Note {
        level: Level::Warning,
        line,
        text,
    };
    let mut notes = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for entry in entries {
        let Some(rest) = entry.key.strip_prefix(PREFIX) else {
            continue;
        };
        let name = rest.split('.').next().unwrap_or_default();
        if !names.iter().any(|known| known == name) && !told.contains(&name) {
            told.push(name);
            let text = format!("{PREFIX}{name}.… is not used: {NAMES} does not name {name}");
            notes.push(warning(entry.line, text));
        }
    }
    let adaptors = [
        "feature.single.adaptor",
        "feature.batch.adaptor",
        "feature.batch.single.adaptor",
    ];
    let is_asked = |key: &&str| values.text(key).as_deref() == Some("sources");
    if !names.is_empty() && !adaptors.iter().any(is_asked) {
        let text = format!("{NAMES} is not used: no feature.….adaptor is `sources`");
        notes.push(warning(line_of(entries, NAMES), text));
    }
    notes
}

#[cfg(test)]
mod tests {
    use crate::Config;
    use crate::config::Level;

    const BOTH: [(&str, &str); 6] = [
        ("feature.single.adaptor", "sources"),
        ("feature.sources", "profile, behaviour"),
        ("feature.source.profile.type", "redis"),
        ("feature.source.profile.url", "redis://user:hunter2@h:1/2"),
        ("feature.source.behaviour.type", "redis"),
        ("feature.source.behaviour.url", "redis://h"),
    ];

    fn with<'a>(more: &[(&'a str, &'a str)]) -> Result<Config, crate::ConfigError> {
        Config::from_pairs(BOTH.iter().chain(more).copied())
    }

    #[test]
    fn sources_are_read_in_their_order_and_shown_without_secrets() {
        let config = with(&[("feature.source.behaviour.timeout", "20")]).unwrap();
        let names: Vec<&str> = config.sources.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["profile", "behaviour"]);
        assert_eq!(config.sources[1].reads.timeout.as_millis(), 20);
        let warnings = config
            .notes()
            .iter()
            .filter(|note| note.level == Level::Warning);
        assert_eq!(warnings.count(), 0, "{:?}", config.notes());
        let listed = config.listed("feature.source", 1);
        assert_eq!(listed["feature.sources"], "profile,behaviour");
        assert_eq!(listed["feature.source.profile.url"], "redis://******@h:1/2");
        assert_eq!(listed["feature.source.behaviour.timeout"], 20);
        assert_eq!(listed["feature.source.behaviour.key"], "${id}");
        let shown = format!("{listed:?} {config:?} {:?}", config.sources);
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn every_type_has_its_settings() {
        let types = [
            (
                "postgresql",
                vec![
                    ("url", "postgres://u:hunter2@h/db"),
                    ("table", "s.t"),
                    ("tls", "true"),
                    ("tls.ca", "/ca.pem"),
                    ("tls.cert", "/me.pem"),
                    ("tls.key", "/me.key"),
                ],
            ),
            (
                "mysql",
                vec![
                    ("url", "mysql://u:hunter2@h/db"),
                    ("table", "t"),
                    ("id.column", "k"),
                ],
            ),
            (
                "http",
                vec![("url", "http://h:1/rows?token=hunter2"), ("pool", "3")],
            ),
            ("csv", vec![("file", "/f.csv")]),
            (
                "parquet",
                vec![("file", "/f.parquet"), ("max.bytes", "4096")],
            ),
        ];
        for (kind, settings) in types {
            let mut pairs = vec![
                ("feature.single.adaptor".to_owned(), "sources"),
                ("feature.sources".to_owned(), "a"),
                ("feature.source.a.type".to_owned(), kind),
            ];
            let key = |setting: &str| format!("feature.source.a.{setting}");
            pairs.extend(
                settings
                    .iter()
                    .map(|(setting, value)| (key(setting), *value)),
            );
            let read = |pairs: &[(String, &'static str)]| {
                let pairs: Vec<_> = pairs
                    .iter()
                    .map(|(key, value)| (key.as_str(), *value))
                    .collect();
                Config::from_pairs(pairs)
            };
            let config = read(&pairs).unwrap();
            let listed = format!("{:?} {:?}", config.listed("", 1), config.notes());
            assert!(!listed.contains("hunter2"), "{listed}");
            // The first setting is one that it cannot do without.
            pairs.remove(3);
            let error = read(&pairs).expect_err(kind);
            assert_eq!(error.problems[0].key, key(settings[0].0));
        }
    }

    #[test]
    fn what_is_wrong_with_a_source_is_named_by_its_key() {
        for (more, key) in [
            (("feature.sources", "a,a"), "feature.sources"),
            (("feature.sources", "a.b"), "feature.sources"),
            (("feature.sources", "other"), "feature.source.other.type"),
            (
                ("feature.source.profile.type", "oracle"),
                "feature.source.profile.type",
            ),
            (
                ("feature.source.profile.tiemout", "1"),
                "feature.source.profile.tiemout",
            ),
            (
                ("feature.source.profile.timeout", "0"),
                "feature.source.profile.timeout",
            ),
            (
                ("feature.source.profile.key", "user"),
                "feature.source.profile.key",
            ),
            (
                ("feature.source.profile.columns", "a,b=a"),
                "feature.source.profile.columns",
            ),
            (
                ("feature.source.profile.cluster", "perhaps"),
                "feature.source.profile.cluster",
            ),
            // Over no TLS, and half of an identity.
            (
                ("feature.source.profile.tls.ca", "/ca.pem"),
                "feature.source.profile.tls.ca",
            ),
            (
                ("feature.source.profile.tls", "true"),
                "feature.source.profile.tls",
            ),
            (
                ("feature.source.profile.url", "redis://u:hunter2"),
                "feature.source.profile.url",
            ),
        ] {
            let error = with(&[more]).expect_err(key);
            let keys: Vec<&str> = error.problems.iter().map(|one| one.key.as_str()).collect();
            assert_eq!(keys, [key]);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_identity_is_a_certificate_and_its_key() {
        let secured = ("feature.source.profile.url", "rediss://u:hunter2@h");
        let half = with(&[secured, ("feature.source.profile.tls.cert", "/me.pem")]).unwrap_err();
        assert_eq!(half.problems[0].key, "feature.source.profile.tls.key");
        let files = [
            ("feature.source.profile.tls.cert", "/me.pem"),
            ("feature.source.profile.tls.key", "/me.key"),
        ];
        let whole = with(&[secured, files[0], files[1]]).unwrap();
        let names: Vec<_> = whole.sources[0].certificates().collect();
        assert_eq!(names, [("tls.cert", std::path::Path::new("/me.pem"))]);
    }

    #[test]
    fn sources_that_nobody_asks_are_warned_of() {
        let config = with(&[
            ("feature.single.adaptor", "mock"),
            ("feature.source.old.type", "redis"),
        ]);
        let config = config.unwrap();
        let warned = |part: &str| {
            let mut notes = config.notes().iter();
            notes.any(|note| note.level == Level::Warning && note.text.contains(part))
        };
        assert!(warned("feature.source.old"), "{:?}", config.notes());
        assert!(
            warned("feature.sources is not used"),
            "{:?}",
            config.notes()
        );
    }
}
