//! Steady load, then ten times more calls than there is room for: what every process holds, and how it grows.
//!
//! Room is made by a feature service that takes 200 ms and a guest with 16 places, 80 calls a second, so that places are
//! short and not the machine, which the load itself needs too.

use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, Plan, Role, SET};
use crate::figures::{Held, Series, held};
use crate::process::{fate_serving, golden};
use crate::{seconds, slow_features};

const PLACES: usize = 16;
const SERVICE_TIME: Duration = Duration::from_millis(200);
const CAPACITY: u64 = 80;
/// Part of a phase in which caches, pools and allocators may still fill.
const WARM_UP: u32 = 4;

#[test]
#[ignore = "scripts/soak runs it"]
fn nothing_grows_with_time() {
    let steady_for = seconds("FATE_SOAK_STEADY", 60);
    let tenfold_for = seconds("FATE_SOAK_TENFOLD", 60);
    let set = fate_golden::Set::open(golden(SET)).unwrap();
    let features = slow_features::start(&set, SERVICE_TIME);
    let plan = |_| Plan {
        nodes: 1,
        guest_properties: format!("serving.max.inflight={PLACES}\n"),
        host_properties: Some(format!(
            "feature.single.adaptor=http\nfeature.batch.adaptor=mock\nhttp.adapter.url=http://{features}/\n"
        )),
    };
    let Some(cluster) = Cluster::start(plan) else {
        return;
    };
    println!(
        "| load | process | RSS KiB, first, last, largest | KiB/min | descriptors | /min | threads | /min |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let steady = phase(&cluster, "steady", CAPACITY / 2, steady_for);
    println!("\nsteady {steady}\n");
    let counted = |figures: &Value, name: &str| figures[name].as_u64().unwrap();
    assert_eq!(counted(&steady, "failures"), 0, "{steady}");
    let overload = phase(&cluster, "tenfold", 10 * CAPACITY, tenfold_for);
    println!("\ntenfold {overload}");
    cluster.stop();
    let p99 = |figures: &Value| figures["latency_p99_us"].as_f64().unwrap();
    assert_eq!(counted(&overload, "failures"), 0, "{overload}");
    assert!(counted(&overload, "refused") > counted(&overload, "calls") / 2);
    assert!(
        p99(&overload) <= 2.0 * p99(&steady),
        "steady {steady}, tenfold {overload}"
    );
}

/// One phase: what `bench` measured. Fails when a process grew.
fn phase(cluster: &Cluster, name: &str, rate: u64, length: Duration) -> Value {
    let bench = bench(cluster, rate, length);
    let mut all: Vec<[Series; 3]> = cluster.members.iter().map(|_| Default::default()).collect();
    let started = Instant::now();
    while started.elapsed() < length {
        for (member, series) in cluster.members.iter().zip(&mut all) {
            let pid = member.pid().unwrap();
            let Held {
                kilobytes,
                descriptors,
                threads,
            } = held(pid).unwrap_or_else(|| panic!("{} has ended", member.name));
            let at = started.elapsed();
            for (one, value) in series.iter_mut().zip([kilobytes, descriptors, threads]) {
                one.push(at, value);
            }
        }
        thread::sleep(Duration::from_millis(500));
    }
    let output = bench.wait_with_output().unwrap();
    let mut grown = Vec::new();
    for (member, series) in cluster.members.iter().zip(&all) {
        let [memory, descriptors, threads] =
            series.each_ref().map(|one| one.since(length / WARM_UP));
        println!(
            "| {name} | {} | {:.0}, {:.0}, {:.0} | {:+.1} | {:.0}, {:.0}, {:.0} | {:+.2} | {:.0}, {:.0}, {:.0} | {:+.2} |",
            member.name,
            memory.first(),
            memory.last(),
            memory.largest(),
            memory.slope_per_minute(),
            descriptors.first(),
            descriptors.last(),
            descriptors.largest(),
            descriptors.slope_per_minute(),
            threads.first(),
            threads.last(),
            threads.largest(),
            threads.slope_per_minute(),
        );
        let rise = |series: &Series| series.last() - series.first();
        if rise(&memory) > (memory.first() / 10.0).max(4096.0)
            || rise(&descriptors) > 8.0
            || rise(&threads) > 2.0
        {
            grown.push(&member.name);
        }
    }
    assert!(grown.is_empty(), "{name}: {grown:?} grew");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn bench(cluster: &Cluster, rate: u64, length: Duration) -> Child {
    let set = golden(SET);
    let proxy = cluster.of(Role::GuestProxy).next().unwrap();
    let guest = format!("127.0.0.1:{}", proxy.intra);
    let (rate, seconds) = (rate.to_string(), length.as_secs().to_string());
    fate_serving(&[
        "bench",
        set.to_str().unwrap(),
        "--overload",
        "--output",
        "json",
    ])
    .args(["--grpc", &guest, "--service-id", SET, "--clients", "64"])
    .args(["--rate", &rate, "--seconds", &seconds])
    .stdout(Stdio::piped())
    .spawn()
    .unwrap()
}
