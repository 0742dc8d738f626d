//! Client → guest's proxy → guest's server → guest's proxy → hosts' proxies → hosts' servers, each a process of its own
//! or a node of two roles: golden models score as FATE did offline.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod certificates;
mod made_sets;
mod pair;
mod party;
mod process;

use std::fs;
use std::path::Path;

use fate_testkit::ZooKeeper;
use serde_json::{Value, json};

use certificates::Authority;
use pair::post;
use party::chain::{Chain, succeed};
use party::{Party, Setting, address};
use process::{run, stderr};

fn apart() -> Setting {
    Setting::default()
}

fn node() -> Setting {
    Setting {
        is_node: true,
        ..Setting::default()
    }
}

fn plain(host: &Party) -> Vec<Value> {
    vec![address(host.inter)]
}

#[test]
fn six_processes_with_route_tables() {
    let chain = Chain::start("lr_two_hosts", |_, _| apart(), |_| apart(), plain);
    chain.assert_scores();
    chain.stop();
}

#[test]
fn registries_lead_the_way_inside_each_party() {
    let (Some(first), Some(second), Some(third)) =
        (ZooKeeper::start(), ZooKeeper::start(), ZooKeeper::start())
    else {
        return;
    };
    let host = |id: &str, _: &Path| match id {
        "10000" => Setting {
            zookeeper: Some(second.address()),
            ..apart()
        },
        _ => Setting {
            zookeeper: Some(third.address()),
            ..node()
        },
    };
    let guest = |_: &Path| Setting {
        zookeeper: Some(first.address()),
        ..apart()
    };
    let chain = Chain::start("sbt_two_hosts", host, guest, plain);
    chain.assert_scores();
    let listed = succeed(&["registry", "ls", "--zk", &third.address()]);
    let node = &chain.hosts["10001"];
    for port in [node.server, node.intra] {
        assert!(listed.contains(&port.to_string()), "{port}: {listed}");
    }
    chain.stop();
    let left = succeed(&["registry", "ls", "--zk", &first.address()]);
    assert!(!left.contains("grpc://"), "{left}");
}

#[test]
fn nodes_score_with_nodes_and_with_roles_apart() {
    let host = |id: &str, _: &Path| match id {
        "10000" => node(),
        _ => apart(),
    };
    let chain = Chain::start("sbt_two_hosts", host, |_| node(), plain);
    chain.assert_scores();
    let host = &chain.hosts["10000"];
    for (party, own) in [
        (&chain.guest, [chain.guest.server, chain.guest.intra]),
        (host, [host.server, host.intra]),
    ] {
        for port in own {
            assert_eq!(connections_to(port), 0, "{port}: {}", party.logs());
        }
    }
    // The host's other port proves that connections are seen.
    assert!(connections_to(host.inter) > 0);
    // A service id that nobody bound is answered by the server of the node.
    let unbound = r#"{"head":{"serviceId":"nobody"},"body":{"featureData":{}}}"#;
    let proxy = format!("127.0.0.1:{}", chain.guest.http);
    let answer = post(&proxy, "/federation/v1/inference", unbound);
    assert_eq!(answer["retcode"], 104, "{answer}");
    chain.stop();
}

/// Open connections that were accepted at a port.
fn connections_to(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let is_one = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = format!(":{port:04X}");
        fields[1].ends_with(&local) && fields[3] == "01"
    };
    table.lines().skip(1).filter(|line| is_one(line)).count()
}

const KEYS: &str = r#"[{"party_id":"9999","app_key":"of guest","app_secret":"secret of guest"},
    {"party_id":"10000","app_key":"of host","app_secret":"secret of host"}]"#;

/// Lines that turn signatures on, with the keys of this party.
fn signed(party_id: &str, home: &Path) -> String {
    let keys: Value = serde_json::from_str(KEYS).unwrap();
    let file =
        json!({"self_party_id": party_id, "request_expire_seconds": 30, "access_keys": keys});
    fs::write(home.join("auth_config.json"), file.to_string()).unwrap();
    "auth.open=true\nauth.file=auth_config.json\n".to_owned()
}

#[test]
fn mutual_tls_and_signatures_between_a_guest_and_a_node() {
    let authority = Authority::new();
    let host = |id: &str, home: &Path| {
        let own = authority.issue(home);
        let tls = format!(
            "proxy.grpc.inter.negotiationType=TLS\nproxy.grpc.inter.CA.file={}\n\
             proxy.grpc.inter.server.certChain.file={}\nproxy.grpc.inter.server.privateKey.file={}\n",
            own.ca.display(),
            own.chain.display(),
            own.key.display()
        );
        Setting {
            proxy_properties: tls + &signed(id, home),
            ..node()
        }
    };
    let guest = |home: &Path| Setting {
        proxy_properties: signed("9999", home),
        ..apart()
    };
    let folder = tempfile::tempdir().unwrap();
    let own = authority.issue(folder.path());
    let route = |host: &Party| {
        vec![json!({
            "ip": "127.0.0.1", "port": host.inter, "useSSL": true, "negotiationType": "TLS",
            "certChainFile": own.chain, "privateKeyFile": own.key, "caFile": own.ca,
        })]
    };
    let chain = Chain::start("sbt_binary", host, guest, route);
    chain.assert_scores();
    chain.stop();
}

#[test]
fn both_files_of_a_node_are_checked() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf");
    let file = |name: &str| conf.join(name).to_str().unwrap().to_owned();
    let (server, proxy) = (
        file("serving-server.properties"),
        file("application.properties"),
    );
    let output = succeed(&[
        "node",
        "--check-config",
        "--config",
        &server,
        "--proxy-config",
        &proxy,
    ]);
    assert!(output.contains(&format!("{server}: OK")) && output.contains(&format!("{proxy}: OK")));
    let output = run(&["node", "--config", &server, "--proxy-config", &server]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
