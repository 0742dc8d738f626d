//! Real processes of two parties in a real ZooKeeper: what stands there after every event of their lives (contract 03
//! §1.1 to §1.5, §2.7).

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod made_sets;
mod pair;
mod process;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fate_proto::common_service::UpdateServiceRequest;
use fate_proto::common_service::common_service_client::CommonServiceClient;
use fate_testkit::{ZooKeeper, free_port};
use pair::{Node, Pair};
use process::{run, stderr, stdout};
use serde_json::json;
use tree::{Dump, Tree};
use zookeeper_client::{Acls, Client, CreateMode};

/// Contract 03 §1.2: of `ModelService` and `CommonService`.
const COMMON: [&str; 14] = [
    "publishLoad",
    "publishOnline",
    "publishBind",
    "unload",
    "unbind",
    "fetchModel",
    "modelTransfer",
    "queryModel",
    "queryMetrics",
    "updateFlowRule",
    "listProps",
    "queryJvm",
    "updateService",
    "checkHealth",
];

/// The lines of a dump as contract 03 writes them, times and ids aside.
#[derive(Clone)]
struct Expected(BTreeSet<String>);

impl Expected {
    fn nothing() -> Self {
        Self(BTreeSet::new())
    }

    fn with(mut self, node: &Node, environment: &str, service: &str, weight: &str) -> Self {
        let (_, port) = node.grpc.rsplit_once(':').unwrap();
        self.0.insert(format!(
            "/FATE-SERVICES/serving/{environment}/{service}/providers/grpc%3A%2F%2F127.0.0.1%3A{port}%2Fserving%2F{environment}%2F{service}\
             %3Frouter_mode%3DALL_ALLOWED%26timestamp%3D*%26version%3D216{weight} 127.0.0.1"
        ));
        self
    }

    /// A serving-server without models.
    fn with_server(mut self, node: &Node) -> Self {
        let (_, port) = node.grpc.rsplit_once(':').unwrap();
        self.0.insert(format!(
            "/FATE-COMPONENTS/serving/127.0.0.1:{port} {{\"instance_id\":\"*\",\"version\":216,\"timestamp\":*}}"
        ));
        COMMON
            .iter()
            .fold(self, |all, service| all.with(node, "online", service, ""))
    }

    fn with_service_id(self, node: &Node, id: &str, weight: &str) -> Self {
        self.with(node, id, "inference", weight)
            .with(node, id, "batchInference", "")
    }
}

fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    text
}

fn in_zookeeper(address: &str) -> String {
    format!("zk.url={address}\nregister.ip=127.0.0.1\nregistry.cache.path=.\n")
}

async fn set_weight(node: &Node, dump: &Dump, service: &str, weight: i32) {
    let quoted = service.replace('/', "%2F").replace('?', "%3F");
    let name = dump.keys().find_map(|path| {
        let (_, name) = path.rsplit_once('/')?;
        name.contains(&quoted).then_some(name)
    });
    let name = name.unwrap_or_else(|| panic!("{service}: {dump:#?}"));
    let url = ["%3A", "%2F", "%3F", "%3D", "%26"]
        .iter()
        .zip([":", "/", "?", "=", "&"])
        .fold(name.to_owned(), |url, (escape, text)| {
            url.replace(escape, text)
        });
    let address = format!("http://{}", node.grpc);
    let mut client = CommonServiceClient::connect(address).await.unwrap();
    let request = UpdateServiceRequest {
        url,
        weight,
        ..UpdateServiceRequest::default()
    };
    let answer = client.update_service(request).await.unwrap().into_inner();
    assert_eq!(
        (answer.status_code, answer.message.as_str()),
        (0, "success")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_is_the_contracts_after_every_event() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let tree = Tree::at(&zookeeper.address()).await;
    let mut pair = Pair::start_with("lr_plain", &in_zookeeper(&zookeeper.address()));
    let (guest, host) = (&pair.guest, &pair.host);
    let started = Expected::nothing().with_server(guest).with_server(host);
    tree.ephemerals_are("both are started", &started.0).await;

    let cache = pair.flow_cache();
    let load = pair.job("load.json", json!({}));
    for (party, node) in [("host:10000", host), ("guest:9999", guest)] {
        succeed(&[
            "load",
            "-c",
            &load,
            "--models",
            &cache,
            "--party",
            party,
            "--servings",
            &node.grpc,
        ]);
    }
    // A guest's model registers nothing.
    let md5 = pair.set.hosts()[0].key.environment();
    let loaded = started.clone().with(host, &md5, "unaryCall", "");
    tree.ephemerals_are("the host's model is loaded", &loaded.0)
        .await;

    let bind = pair.job(
        "bind.json",
        json!({"service_id": "lr-test", "servings": [guest.grpc]}),
    );
    succeed(&["bind", "-c", &bind]);
    let bound = loaded.clone().with_service_id(guest, "lr-test", "");
    tree.ephemerals_are("a service id is bound", &bound.0).await;
    pair.assert_scores("lr-test", 5);

    set_weight(guest, &tree.dump().await, "serving/lr-test/inference?", 300).await;
    let weighted = loaded
        .clone()
        .with_service_id(guest, "lr-test", "%26weight%3D300");
    tree.ephemerals_are("a weight is changed", &weighted.0)
        .await;

    // What is answered is done: nobody is led here any more.
    succeed(&["unbind", "-c", &bind]);
    assert!(leaves_of(&tree.dump().await, "/lr-test/").is_empty());
    tree.ephemerals_are("the service id is unbound", &loaded.0)
        .await;
    succeed(&[
        "unload",
        "-c",
        &load,
        "--servings",
        &format!("{},{}", guest.grpc, host.grpc),
    ]);
    tree.ephemerals_are("the models are unloaded", &started.0)
        .await;

    // The weight is kept for the next time.
    succeed(&[
        "load",
        "-c",
        &load,
        "--models",
        &cache,
        "--party",
        "guest:9999",
        "--servings",
        &guest.grpc,
    ]);
    succeed(&["bind", "-c", &bind]);
    let again = started
        .clone()
        .with_service_id(guest, "lr-test", "%26weight%3D300");
    tree.ephemerals_are("the service id is bound again", &again.0)
        .await;

    let of_host = Expected::nothing().with_server(host);
    stop(&mut pair.guest);
    tree.ephemerals_are("the guest is stopped", &of_host.0)
        .await;
    stop(&mut pair.host);
    tree.ephemerals_are("both are stopped", &BTreeSet::new())
        .await;
    let left: BTreeMap<_, _> = tree.dump().await;
    assert!(left.contains_key("/FATE-SERVICES/serving/lr-test/inference/providers"));
    assert!(left.contains_key(&format!("/FATE-SERVICES/serving/{md5}/unaryCall/providers")));
    assert!(
        left.values().all(|(data, _)| data == "127.0.0.1"),
        "{left:#?}"
    );
}

fn stop(node: &mut Node) {
    node.process.signal("TERM");
    node.process.wait_for("serving-server stopped");
}

fn leaves_of(dump: &Dump, part: &str) -> Vec<String> {
    let leaves = dump
        .iter()
        .filter(|(path, (_, owner))| *owner != 0 && path.contains(part));
    leaves.map(|(path, _)| path.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_that_is_back_at_once_is_registered_once() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let tree = Tree::at(&zookeeper.address()).await;
    let directory = tempfile::tempdir().unwrap();
    // Long enough that the dead session outlives the test.
    let properties = format!(
        "port={}\nzk.session.timeout=10000\n{}",
        free_port(),
        in_zookeeper(&zookeeper.address())
    );
    let start = || Node::start(directory.path(), &properties);
    let first = start();
    let expected = Expected::nothing().with_server(&first);
    tree.ephemerals_are("it is started", &expected.0).await;
    let owners = |dump: &Dump| -> BTreeSet<i64> {
        dump.values()
            .map(|(_, owner)| *owner)
            .filter(|&owner| owner != 0)
            .collect()
    };
    let before = owners(&tree.dump().await);
    first.process.signal("KILL");
    drop(first);
    assert_eq!(
        owners(&tree.dump().await),
        before,
        "the dead session's nodes are still there"
    );

    let second = start();
    let began = Instant::now();
    loop {
        let dump = tree.dump().await;
        let now = owners(&dump);
        let is_one = now.len() == 1 && now != before;
        if is_one && leaves_of(&dump, "").len() == expected.0.len() {
            break;
        }
        // Before the dead session could end by itself; a second on a machine that has nothing else to do.
        let waited = began.elapsed();
        assert!(
            waited < Duration::from_secs(5),
            "{now:?}, before {before:?}: {dump:#?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("registered once {:?} after it takes calls", began.elapsed());
    tree.ephemerals_are("it is back", &expected.0).await;
    drop(second);
}

/// The operator is told, and nobody else has to suffer for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_wrong_password_says_so_and_serves() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let owner = Client::connector()
        .with_auth("digest", b"fate:right")
        .connect(&zookeeper.address())
        .await
        .unwrap();
    let closed = CreateMode::Persistent.with_acls(Acls::creator_all());
    owner.create("/FATE-SERVICES", b"", &closed).await.unwrap();

    let properties = format!(
        "{}acl.enable=true\nacl.username=fate\nacl.password=falsch\n",
        in_zookeeper(&zookeeper.address())
    );
    let mut pair = Pair::start_with("lr_plain", &properties);
    let told = pair.guest.process.wait_for("cannot be registered");
    assert!(
        told.contains("not authorized") && told.contains("acl.password"),
        "{told}"
    );
    assert!(!told.contains("falsch"), "{told}");

    let cache = pair.flow_cache();
    let load = pair.job("load.json", json!({}));
    let both = format!("{},{}", pair.guest.grpc, pair.host.grpc);
    let bind = pair.job("bind.json", json!({"service_id": "lr-test"}));
    succeed(&["load", "-c", &load, "--models", &cache, "--servings", &both]);
    succeed(&["bind", "-c", &bind, "--servings", &pair.guest.grpc]);
    pair.assert_scores("lr-test", 5);

    // It has gone on trying.
    let open = Acls::anyone_all();
    owner.set_acl("/FATE-SERVICES", &open, None).await.unwrap();
    // What it makes is closed with the password that it has.
    let reader = Client::connector()
        .with_auth("digest", b"fate:falsch")
        .connect(&zookeeper.address())
        .await
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let names = reader.list_children("/FATE-COMPONENTS/serving").await;
        if names.is_ok_and(|names| names.len() == 2) {
            return;
        }
        assert!(Instant::now() < deadline, "not registered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
