use std::time::Duration;

use bytes::Bytes;
use fate_cache::{RedisCache, RedisSettings};
use fate_federation::ResultCache as _;
use fate_testkit::Redis;

use crate::{DATA, at, connected, get, key, name, put, settings, until};

#[tokio::test(flavor = "multi_thread")]
async fn values_are_plain_strings_that_java_nodes_read_and_write() {
    let Some(redis) = Redis::start() else { return };
    let cache = connected(&settings(at(redis.port()))).await;
    assert_eq!(get(&cache, [1]).await, [None]);
    cache.put(vec![(key(1), Bytes::from(DATA))]);
    until("it is written", || {
        redis.ask(&["GET", &name(1)]).as_deref() == Some(DATA)
    })
    .await;
    let left: u64 = redis.ask(&["TTL", &name(1)]).unwrap()[1..].parse().unwrap();
    assert!((2900..=3000).contains(&left), "{left}");
    assert_eq!(redis.ask(&["TYPE", &name(1)]).as_deref(), Some("+string"));

    // Java writes SET and EXPIRE.
    redis.ask(&["SET", &name(2), "{\"java\":1}"]);
    redis.ask(&["EXPIRE", &name(2), "3000"]);
    let found = get(&cache, [1, 2, 3]).await;
    assert_eq!(
        found,
        [Some(DATA.to_owned()), Some("{\"java\":1}".to_owned()), None]
    );
    // Something else under a key is nothing that is remembered.
    redis.ask(&["DEL", &name(2)]);
    redis.ask(&["LPUSH", &name(2), "x"]);
    assert_eq!(get(&cache, [2, 1]).await, [None, Some(DATA.to_owned())]);
    // What is forgotten is gone, whatever it was.
    cache.forget(vec![key(2), key(1), key(3)]);
    until("nothing is left", || {
        redis.ask(&["DBSIZE"]).as_deref() == Some(":0")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_question() {
    let Some(redis) = Redis::start() else { return };
    let cache = connected(&settings(at(redis.port()))).await;
    put(&cache, 0..300);
    until("all are written", || {
        redis.ask(&["DBSIZE"]).as_deref() == Some(":300")
    })
    .await;
    redis.ask(&["CONFIG", "RESETSTAT"]);
    let found = get(&cache, 0..400).await;
    for (id, value) in found.into_iter().enumerate() {
        assert_eq!(value, (id < 300).then(|| format!("{{\"n\":{id}}}")), "{id}");
    }
    let asked = redis.ask(&["INFO", "commandstats"]).unwrap();
    assert!(asked.contains("cmdstat_mget:calls=1,"), "{asked}");
    assert!(!asked.contains("cmdstat_get:"), "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_end_after_their_time_or_never() {
    let Some(redis) = Redis::start() else { return };
    let one_second = RedisSettings {
        expire: Some(Duration::from_secs(1)),
        ..settings(at(redis.port()))
    };
    let cache = connected(&one_second).await;
    put(&cache, [1]);
    until("it is written", || {
        redis.ask(&["EXISTS", &name(1)]).as_deref() == Some(":1")
    })
    .await;
    until("it has ended", || {
        redis.ask(&["EXISTS", &name(1)]).as_deref() == Some(":0")
    })
    .await;
    assert_eq!(get(&cache, [1]).await, [None]);
    let never = RedisSettings {
        expire: None,
        ..one_second
    };
    let cache = connected(&never).await;
    put(&cache, [2]);
    until("it is written", || {
        redis.ask(&["TTL", &name(2)]).as_deref() == Some(":-1")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_needed_and_never_shown() {
    let Some(redis) = Redis::start_with_password("S3cret-9f") else {
        return;
    };
    let known = RedisSettings {
        password: Some("S3cret-9f".to_owned()),
        ..settings(at(redis.port()))
    };
    assert!(!format!("{known:?}").contains("S3cret"), "{known:?}");
    let cache = connected(&known).await;
    put(&cache, [1]);
    until("it is written", || {
        redis.ask(&["EXISTS", &name(1)]).as_deref() == Some(":1")
    })
    .await;
    assert_eq!(get(&cache, [1]).await, [Some("{\"n\":1}".to_owned())]);
    assert!(!format!("{cache:?}").contains("S3cret"));

    for password in [None, Some("wrong".to_owned())] {
        let unknown = RedisSettings {
            password,
            ..known.clone()
        };
        let cache = RedisCache::start(&unknown).unwrap();
        until("it was refused", || {
            let log = redis.ask(&["INFO", "stats"]).unwrap();
            !log.contains("total_error_replies:0\r")
        })
        .await;
        assert!(!cache.is_connected());
        assert_eq!(get(&cache, [1]).await, [None]);
        redis.ask(&["CONFIG", "RESETSTAT"]);
    }
}
