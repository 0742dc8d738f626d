//! Processes die under load, at random: `kill -9` of servers, proxies, ZooKeepers and the Redis, sometimes two at a time.
//! No score may be wrong, no acknowledged binding may be lost, and calls may fail only while something is down.

mod load;
mod report;
mod trouble;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fate_registry::{ZooKeeperSettings, tree};
use fate_testkit::{ZooKeeper, wait_for};

use crate::cluster::{Cluster, Plan, Role, SET, bound, serving};
use crate::seconds;
use load::{Binder, Clients};
use report::Report;
use trouble::{Dice, Fire};

const NODES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
#[ignore = "scripts/chaos runs it"]
fn no_wrong_score_no_lost_binding_and_errors_only_while_something_is_down() {
    let length = seconds("FATE_CHAOS_SECONDS", 60);
    let seed = std::env::var("FATE_CHAOS_SEED").ok();
    let seed = seed.map_or_else(
        || u64::from(std::process::id()),
        |text| text.parse().unwrap(),
    );
    // The cache forgets after a second: some answers come from it, others from hosts.
    let plan = |redis: u16| Plan {
        nodes: NODES,
        guest_properties: format!(
            "remoteModelInferenceResultCacheSwitch=true\ncache.type=redis\nredis.ip=127.0.0.1\nredis.port={redis}\nredis.expire=1\n"
        ),
        host_properties: None,
    };
    let Some(mut cluster) = Cluster::start(plan) else {
        return;
    };
    let clients = Clients::of(&cluster);
    clients.wait_for_scores();

    let began = Instant::now();
    let (is_over, is_load_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let binder = Binder::of(&cluster);
    let (troubles, calls, bindings) = std::thread::scope(|scope| {
        let calls = scope.spawn(|| clients.ask_until(&is_load_over, began));
        let bindings = scope.spawn(|| binder.bind_until(&is_over));
        let troubles = Fire::new(&mut cluster, Dice::new(seed), began).until(length);
        is_over.store(true, Ordering::Relaxed);
        let bindings = bindings.join().unwrap();
        is_load_over.store(true, Ordering::Relaxed);
        (troubles, calls.join().unwrap(), bindings)
    });
    let lost: Vec<String> = bindings
        .iter()
        .filter(|(server, id)| !bound(server).is_some_and(|ids| ids.contains(id)))
        .map(|(server, id)| format!("{id} at {server}"))
        .collect();
    let report = Report {
        seed,
        length,
        troubles,
        calls,
        bindings: bindings.len(),
        lost,
    };
    println!("{report}");
    report.assert_good();
    everything_is_as_before(&cluster, &clients);
    cluster.stop();
}

/// Every row through every proxy, every service at every server, everything registered once.
fn everything_is_as_before(cluster: &Cluster, clients: &Clients) {
    clients.assert_all_rows();
    for server in cluster.of(Role::GuestServer) {
        let ids = bound(&serving(server)).unwrap();
        assert!(ids.iter().any(|id| id == SET), "{}: {ids:?}", server.name);
    }
    let md5 = cluster.set.hosts()[0].key.environment();
    for (zookeeper, environment, service, role) in [
        (&cluster.of_guest, SET, "inference", Role::GuestServer),
        (&cluster.of_host, &md5, "unaryCall", Role::HostServer),
        (&cluster.of_guest, "online", "unaryCall", Role::GuestProxy),
    ] {
        let port = |role: Role, member: &crate::cluster::Member| {
            if role == Role::GuestProxy {
                member.intra
            } else {
                member.grpc
            }
        };
        let expected: BTreeSet<String> = cluster
            .of(role)
            .map(|member| format!("127.0.0.1:{}", port(role, member)))
            .collect();
        let what = format!("{environment}/{service} is registered at {expected:?}");
        wait_for(&what, PATIENCE, || {
            let addresses = registered(zookeeper, environment, service);
            let is_each_once = addresses.len() == expected.len();
            (is_each_once && addresses.into_iter().collect::<BTreeSet<_>>() == expected)
                .then_some(())
        });
    }
}

/// Addresses of the providers of a service of servers or proxies.
fn registered(zookeeper: &ZooKeeper, environment: &str, service: &str) -> Vec<String> {
    let settings = ZooKeeperSettings::new(zookeeper.address().parse().unwrap(), "client");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(tree) = runtime.unwrap().block_on(tree::read(&settings)) else {
        return Vec::new();
    };
    let leaves = tree
        .leaves
        .iter()
        .filter(|leaf| leaf.environment == environment && leaf.service == service);
    let address = |text: &str| {
        let text = text.split_once("://").unwrap().1;
        text.split('/').next().unwrap().to_owned()
    };
    leaves.map(|leaf| address(&leaf.text)).collect()
}
