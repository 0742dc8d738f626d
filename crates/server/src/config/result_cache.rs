//! The keys of the cache of hosts' results (contract 01 §6, §9.2).

use std::path::PathBuf;
use std::time::Duration;

use fate_cache::{LocalSettings, RedisNodes, RedisSettings, RedisTls};
use fate_edge::config::{Address, Entry, Level, Note, Problem, Values, line_of};

const SWITCH: &str = "remoteModelInferenceResultCacheSwitch";
const NODES: &str = "redis.cluster.nodes";

/// Where hosts' results are remembered.
#[derive(Debug, Clone)]
pub enum ResultCacheConfig {
    /// In this process.
    Local(LocalSettings),
    /// In a Redis that servers share.
    Redis(RedisSettings),
}

/// The cache's part of a configuration; `None` when it is switched off.
pub(super) fn read(
    entries: &[Entry],
    values: &Values,
    problems: &mut Vec<Problem>,
) -> Option<ResultCacheConfig> {
    if !values.flag(SWITCH) {
        return None;
    }
    if values.text("cache.type").as_deref() != Some("redis") {
        return Some(ResultCacheConfig::Local(local(values)));
    }
    let nodes = nodes(values)
        .map_err(|(key, message)| {
            problems.push(Problem {
                line: line_of(entries, key),
                key: key.to_owned(),
                message,
            });
        })
        .ok()?;
    Some(ResultCacheConfig::Redis(RedisSettings {
        nodes,
        password: values.secret("redis.password"),
        tls: values.flag("redis.tls").then(|| RedisTls {
            ca: values.text("redis.tls.ca").map(PathBuf::from),
        }),
        timeout: values.duration("redis.timeout"),
        expire: seconds(values, "redis.expire"),
    }))
}

fn local(values: &Values) -> LocalSettings {
    LocalSettings {
        max_entries: values.count("local.cache.maxsize"),
        max_bytes: values.count("local.cache.max.bytes"),
        expire: seconds(values, "local.cache.expire"),
    }
}

/// Nothing and less means for ever, as in Java.
fn seconds(values: &Values, key: &str) -> Option<Duration> {
    let seconds = u64::try_from(values.number(key)).ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

fn nodes(values: &Values) -> Result<RedisNodes, (&'static str, String)> {
    if let Some(text) = values.text(NODES) {
        let nodes = text.split(',').map(str::trim).filter(|one| !one.is_empty());
        let nodes: Vec<(String, u16)> = nodes
            .map(|one| {
                let address: Address = one.parse()?;
                Ok((address.host, address.port))
            })
            .collect::<Result<_, String>>()
            .map_err(|cause| (NODES, cause))?;
        if !nodes.is_empty() {
            return Ok(RedisNodes::Cluster(nodes));
        }
    }
    let host = values.text("redis.ip").ok_or((
        "cache.type",
        format!("redis needs redis.ip and redis.port, or {NODES}"),
    ))?;
    match values.port("redis.port") {
        Some(port @ 1..) => Ok(RedisNodes::Single(host, port)),
        _ => Err(("redis.port", "0 is no port that can be called".to_owned())),
    }
}

/// What is worth saying at start.
pub(super) fn notes(entries: &[Entry], values: &Values) -> Vec<Note> {
    let note = |key: &str, text: &str| Note {
        level: Level::Info,
        line: line_of(entries, key),
        text: text.to_owned(),
    };
    let mut notes = Vec::new();
    if !values.flag(SWITCH) {
        return notes;
    }
    if values.flag("response.details") || values.share("min.feature.hit.rate").is_some() {
        let text = "what a host's row brought along is not remembered: with response.details or min.feature.hit.rate \
                    every host is asked, in spite of the cache";
        notes.push(note(SWITCH, text));
    }
    let is_redis = values.text("cache.type").as_deref() == Some("redis");
    let is_default_port = line_of(entries, "redis.port").is_none();
    if is_redis && values.text(NODES).is_none() && is_default_port {
        let text = "redis.port is not set: it is 3306, as in the Java server; Redis itself listens on 6379";
        notes.push(note("cache.type", text));
    }
    notes
}
