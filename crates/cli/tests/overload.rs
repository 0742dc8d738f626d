//! Ten times more calls than there is room for, and a dead peer of two (issue 5, must show 4). Takes two minutes:
//!
//! ```sh
//! cargo build --release -p fate-cli
//! FATE_SERVING=$PWD/target/release/fate-serving cargo test -p fate-cli --test overload -- --ignored --nocapture
//! ```

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![allow(clippy::print_stderr, reason = "figures of a measurement")]

mod made_sets;
mod pair;
mod party;
mod process;
mod slow_features;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use party::chain::{Chain, SERVICE};
use party::{Process, Setting, address};
use process::{fate_serving, golden, port};

const SET: &str = "sbt_binary";
/// Calls that the guest handles at the same time, each as long as the host's feature service takes: 80 a second. Few, so that
/// what is short are places and not the machine, which the load itself needs too.
const PLACES: usize = 16;
const SERVICE_TIME: Duration = Duration::from_millis(200);
const CAPACITY: usize = 80;
const OVERLOAD_SECONDS: u64 = 60;

#[test]
#[ignore = "a measurement of two minutes"]
fn ten_times_too_many_calls_and_a_dead_peer_of_two() {
    let set = fate_golden::Set::open(golden(SET)).unwrap();
    let features = slow_features::start(&set, SERVICE_TIME);
    let host = |_: &str, _: &Path| Setting {
        server_properties: format!(
            "feature.single.adaptor=http\nfeature.batch.adaptor=mock\nhttp.adapter.url=http://{features}/\n"
        ),
        has_usual_timeouts: true,
        ..Setting::default()
    };
    let guest = |_: &Path| Setting {
        server_properties: format!("serving.max.inflight={PLACES}\n"),
        has_usual_timeouts: true,
        ..Setting::default()
    };
    let second_home = tempfile::tempdir().unwrap();
    let mut second = None;
    let routes = |host: &party::Party| {
        let (proxy, inter) = second_proxy(second_home.path(), host.server);
        second = Some(proxy);
        vec![address(host.inter), address(inter)]
    };
    let chain = Chain::start(SET, host, guest, routes);
    let second = second.unwrap();
    let row = chain.set.predictions.keys().next().unwrap().clone();
    fate_testkit::wait_for("the first score", party::PATIENCE, || {
        (chain.infer(&row)["retcode"] == 0).then_some(())
    });
    let parties = [&chain.guest, &chain.hosts["10000"]];
    let mut pids: Vec<u32> = parties
        .iter()
        .flat_map(|party| party.processes.iter().map(Process::pid))
        .collect();
    pids.push(second.pid());

    let calm = bench(&chain, CAPACITY / 2, 20).finish();
    eprintln!("calm {calm}");
    let overload = bench(&chain, 10 * CAPACITY, OVERLOAD_SECONDS);
    thread::sleep(Duration::from_secs(15));
    let early = held(&pids);
    // Stopped, not killed: its port still takes connections, and nothing comes back.
    signal(second.pid(), "STOP");
    let limit = Instant::now() + Duration::from_secs(OVERLOAD_SECONDS - 20);
    while Instant::now() < limit {
        eprintln!("held {:?}", held(&pids));
        thread::sleep(Duration::from_secs(5));
    }
    let late = held(&pids);
    let overload = overload.finish();
    eprintln!("overload {overload}\nheld early {early:?}\nheld late {late:?}");
    signal(second.pid(), "CONT");

    let p99 = |figures: &Value| figures["latency_p99_us"].as_f64().unwrap();
    assert!(p99(&overload) <= 2.0 * p99(&calm));
    let counted = |name: &str| overload[name].as_u64().unwrap();
    assert!(counted("refused") > counted("calls") / 2);
    // Those that were on their way to the dead peer when it died, until it was known.
    assert!(counted("failures") <= 6 * PLACES as u64);
    for (early, late) in early.iter().zip(&late) {
        assert!(
            late.kilobytes <= early.kilobytes * 11 / 10 + 4096,
            "{early:?} {late:?}"
        );
        assert!(
            late.descriptors <= early.descriptors + 8,
            "{early:?} {late:?}"
        );
    }
    chain.stop();
    assert_eq!(second.stop(), Some(0));
}

/// Another proxy of the host.
fn second_proxy(home: &Path, server: u16) -> (Process, u16) {
    let table = json!({
        "route_table": {"10000": {"serving": [address(server)]}},
        "permission": {"default_allow": true},
    });
    fs::write(home.join("route_table.json"), table.to_string()).unwrap();
    let properties = "coordinator=10000\nserver.port=-1\nproxy.grpc.intra.port=0\nproxy.grpc.inter.port=0\n\
                      proxy.bind.intra=127.0.0.1\nproxy.bind.inter=127.0.0.1\nroute.table=route_table.json\n\
                      useZkRouter=false\n";
    fs::write(home.join("application.properties"), properties).unwrap();
    let arguments = ["proxy", "--config", "application.properties"];
    let mut proxy = Process::start("second", &arguments, home);
    let inter = port(&proxy.ready("serving-proxy"), "inter_addr=");
    (proxy, inter)
}

/// A running `bench` on the guest's proxy.
struct Bench(std::process::Child);

fn bench(chain: &Chain, rate: usize, seconds: u64) -> Bench {
    let set = golden(SET);
    let guest = format!("127.0.0.1:{}", chain.guest.intra);
    let (rate, seconds) = (rate.to_string(), seconds.to_string());
    let child = fate_serving(&[
        "bench",
        set.to_str().unwrap(),
        "--overload",
        "--output",
        "json",
    ])
    .args(["--grpc", &guest, "--service-id", SERVICE, "--clients", "64"])
    .args(["--rate", &rate, "--seconds", &seconds])
    .stdout(Stdio::piped())
    .spawn()
    .unwrap();
    Bench(child)
}

impl Bench {
    fn finish(self) -> Value {
        let output = self.0.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[derive(Debug)]
struct Held {
    kilobytes: u64,
    descriptors: usize,
}

/// What each process holds.
fn held(pids: &[u32]) -> Vec<Held> {
    let of = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        Held {
            kilobytes,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        }
    };
    pids.iter().map(of).collect()
}
