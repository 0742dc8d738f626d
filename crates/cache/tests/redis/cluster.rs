use fate_cache::RedisNodes;
use fate_federation::ResultCache as _;
use fate_testkit::RedisCluster;

use crate::{connected, get, key, name, put, settings, until};

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_all_slots_are_written_and_read_together() {
    let Some(cluster) = RedisCluster::start() else {
        return;
    };
    // The others are learned from one.
    let known = vec![("127.0.0.1".to_owned(), cluster.servers[1].port())];
    let cache = connected(&settings(RedisNodes::Cluster(known))).await;
    put(&cache, 0..200);
    let sizes = || {
        let size = |server: &fate_testkit::Redis| server.ask(&["DBSIZE"]).unwrap()[1..].parse();
        let sizes: Result<Vec<usize>, _> = cluster.servers.iter().map(size).collect();
        sizes.unwrap()
    };
    until("all are written", || sizes().iter().sum::<usize>() == 200).await;
    assert!(sizes().iter().all(|size| *size > 20), "{:?}", sizes());
    assert_eq!(cluster.value(&name(7)).as_deref(), Some("{\"n\":7}"));
    let asked = |server: &fate_testkit::Redis| {
        let stats = server.ask(&["INFO", "commandstats"]).unwrap();
        stats.contains("cmdstat_get:")
    };
    let found = get(&cache, 0..250).await;
    for (id, value) in found.into_iter().enumerate() {
        assert_eq!(value, (id < 200).then(|| format!("{{\"n\":{id}}}")), "{id}");
    }
    cache.forget((0..50).map(key).collect());
    until("some are gone", || sizes().iter().sum::<usize>() == 150).await;
    // Only the test itself used GET.
    let singly = cluster
        .servers
        .iter()
        .filter(|server| asked(server))
        .count();
    assert!(singly <= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_lost_a_server_is_left_alone_until_it_is_whole() {
    let Some(mut cluster) = RedisCluster::start() else {
        return;
    };
    let known = cluster
        .servers
        .iter()
        .map(|one| ("127.0.0.1".to_owned(), one.port()));
    let cache = connected(&settings(RedisNodes::Cluster(known.collect()))).await;
    put(&cache, 0..50);
    until("all are written", || cluster.value(&name(49)).is_some()).await;
    cluster.servers[2].stand_still();
    until("the cluster has noticed", || {
        let state = cluster.servers[0].ask(&["CLUSTER", "INFO"]).unwrap();
        state.contains("cluster_state:fail")
    })
    .await;
    let found = get(&cache, 0..50).await;
    assert!(found.iter().any(Option::is_none));
    assert!(!cache.is_connected());
    cluster.servers[2].go_on();
    until("it is connected again", || cache.is_connected()).await;
    let found = get(&cache, 0..50).await;
    assert!(found.iter().all(Option::is_some), "{found:?}");
    cluster.servers.clear();
}
