use std::time::{Duration, Instant};

use fate_cache::RedisSettings;
use fate_federation::ResultCache as _;
use fate_testkit::{Redis, free_port};

use crate::{at, connected, get, name, put, settings, until};

#[tokio::test(flavor = "multi_thread")]
async fn killed_it_remembers_nothing_and_back_it_remembers_again() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let cache = connected(&settings(at(redis.port()))).await;
    put(&cache, [1]);
    until("it is written", || {
        redis.ask(&["EXISTS", &name(1)]).as_deref() == Some(":1")
    })
    .await;
    redis.kill();
    for _ in 0..100 {
        assert_eq!(get(&cache, [1]).await, [None]);
        put(&cache, [2]);
    }
    assert!(!cache.is_connected());
    redis.restart();
    until("it is connected again", || cache.is_connected()).await;
    put(&cache, [3]);
    until("it is written", || {
        redis.ask(&["EXISTS", &name(3)]).as_deref() == Some(":1")
    })
    .await;
    assert_eq!(
        get(&cache, [1, 3]).await,
        [None, Some("{\"n\":3}".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stands_still_costs_a_time_out_and_then_nothing() {
    let Some(redis) = Redis::start() else { return };
    let slow = RedisSettings {
        timeout: Duration::from_millis(200),
        ..settings(at(redis.port()))
    };
    let cache = connected(&slow).await;
    redis.stand_still();
    let started = Instant::now();
    assert_eq!(get(&cache, [1]).await, [None]);
    let first = started.elapsed();
    assert!(first >= Duration::from_millis(200), "{first:?}");
    assert!(!cache.is_connected());
    // None of these waits, or they would take 200 s.
    for _ in 0..1000 {
        assert_eq!(get(&cache, [1]).await, [None]);
    }
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    redis.go_on();
    until("it is connected again", || cache.is_connected()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_s_patience_counts_when_it_is_shorter() {
    let Some(redis) = Redis::start() else { return };
    let cache = connected(&settings(at(redis.port()))).await;
    redis.stand_still();
    let started = Instant::now();
    let keys = [crate::key(1)];
    let found = cache.get(&keys, Duration::from_millis(50));
    assert_eq!(found.await, [None]);
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    redis.go_on();
}

#[tokio::test]
async fn it_need_not_be_there_at_all() {
    let cache = fate_cache::RedisCache::start(&settings(at(free_port()))).unwrap();
    assert_eq!(get(&cache, [1, 2]).await, [None, None]);
    put(&cache, [1]);
    assert!(!cache.is_connected());
}
