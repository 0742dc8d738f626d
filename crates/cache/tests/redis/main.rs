//! The cache in a real Redis: what Java nodes would find there, and what happens when it is away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod cluster;
mod outages;
mod single;
mod tls;

use std::time::{Duration, Instant};

use bytes::Bytes;
use fate_cache::{RedisCache, RedisNodes, RedisSettings};
use fate_domain::model_key::ModelKey;
use fate_federation::{ResultCache as _, ResultKey};

const PATIENCE: Duration = Duration::from_secs(20);
/// What a host with a linear model answers.
const DATA: &str = r#"{"hetero_lr_0":{"score":-0.125},"retcode":0}"#;

fn key(id: usize) -> ResultKey {
    let guest = ModelKey::new("2020080416153238910324", "guest#9999#m#model");
    ResultKey::of("10000", &guest, &format!("{{\"id\":\"{id}\"}}"))
}

fn name(id: usize) -> String {
    String::from_utf8(key(id).as_bytes().to_vec()).unwrap()
}

fn settings(nodes: RedisNodes) -> RedisSettings {
    RedisSettings {
        nodes,
        password: None,
        tls: None,
        timeout: Duration::from_secs(5),
        expire: Some(Duration::from_secs(3000)),
    }
}

fn at(port: u16) -> RedisNodes {
    RedisNodes::Single("127.0.0.1".to_owned(), port)
}

/// A cache that answers.
async fn connected(settings: &RedisSettings) -> RedisCache {
    let cache = RedisCache::start(settings).unwrap();
    until("the cache is connected", || cache.is_connected()).await;
    cache
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn get(cache: &RedisCache, ids: impl IntoIterator<Item = usize>) -> Vec<Option<String>> {
    let keys: Vec<ResultKey> = ids.into_iter().map(key).collect();
    let values = cache.get(&keys, PATIENCE).await;
    let text = |value: Bytes| String::from_utf8(value.to_vec()).unwrap();
    values.into_iter().map(|value| value.map(text)).collect()
}

fn put(cache: &RedisCache, ids: impl IntoIterator<Item = usize>) {
    let entry = |id| (key(id), Bytes::from(format!("{{\"n\":{id}}}")));
    cache.put(ids.into_iter().map(entry).collect());
}
