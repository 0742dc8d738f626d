//! The tree after each event equals contract 03 byte for byte, times and ids aside.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use fate_registry::{Offer, Registry, Update};
use fate_testkit::ZooKeeper;
use zookeeper_client::EventType;

use crate::world::{self, COMMON, Looker, PATIENCE, follower, is_settled, offers, settings, until};

/// A leaf as contract 03 §1.3 writes it.
fn leaf(environment: &str, service: &str, weight: &str) -> String {
    format!(
        "/FATE-SERVICES/serving/{environment}/{service}/providers/grpc%3A%2F%2F127.0.0.1%3A8000%2Fserving%2F{environment}%2F{service}\
         %3Frouter_mode%3DALL_ALLOWED%26timestamp%3D*%26version%3D216{weight} 127.0.0.1"
    )
}

const COMPONENT: &str = "/FATE-COMPONENTS/serving/127.0.0.1:8000 {\"instance_id\":\"*\",\"version\":216,\"timestamp\":*}";

fn expected(models: &[(&str, &str, &str)]) -> Vec<String> {
    let mut lines: Vec<String> = COMMON.iter().map(|name| leaf("online", name, "")).collect();
    lines.extend(
        models
            .iter()
            .map(|(environment, service, weight)| leaf(environment, service, weight)),
    );
    lines.push(COMPONENT.to_owned());
    lines.sort();
    lines
}

const MD5: &str = "0c9b0a11a225bf04139e5465dabcb0ee";

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_is_the_contracts() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let looker = Looker::at(&server.address(), None).await;
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(&server.address(), 8000);
    settings.directory = Some(directory.path().to_owned());
    let registry = Registry::open(settings.clone());

    let common = COMMON.map(|name| Offer::grpc("serving", "online", name).unwrap());
    is_settled(&registry, registry.announce(BTreeSet::from(common))).await;
    assert_eq!(looker.ephemerals().await, expected(&[]));

    is_settled(&registry, registry.announce(offers())).await;
    let loaded = [
        (MD5, "unaryCall", ""),
        ("lr-test", "batchInference", ""),
        ("lr-test", "inference", ""),
    ];
    assert_eq!(looker.ephemerals().await, expected(&loaded));
    as_fate_flow_reads_it(&looker).await;

    let before = looker.dump().await;
    let (path, _) = before
        .iter()
        .find(|(path, _)| path.contains("lr-test%2Finference"))
        .unwrap();
    let url = fate_registry::leaf::decode(path.rsplit_once('/').unwrap().1).unwrap();
    assert_eq!(
        registry.update_service(&url, None, None),
        Ok(Update::NoChange)
    );
    let Ok(Update::Replaced(revision)) =
        registry.update_service(&url, Some("ALL_ALLOWED"), Some(300))
    else {
        panic!("{url} was not found");
    };
    is_settled(&registry, revision).await;
    let weighted = [
        loaded[0],
        loaded[1],
        ("lr-test", "inference", "%26weight%3D300"),
    ];
    assert_eq!(looker.ephemerals().await, expected(&weighted));
    let changed = looker.dump().await;
    let renamed = format!("{path}%26weight%3D300");
    assert!(
        changed.contains_key(&renamed),
        "the timestamp stays: {path}"
    );
    // The URL of before is nobody's any more.
    let stale = registry.update_service(&url, None, Some(5));
    assert_eq!(stale, Ok(Update::NoNode));

    is_settled(
        &registry,
        registry.announce(BTreeSet::from(
            COMMON.map(|name| Offer::grpc("serving", "online", name).unwrap()),
        )),
    )
    .await;
    assert_eq!(looker.ephemerals().await, expected(&[]));

    registry.close(PATIENCE).await;
    assert_eq!(looker.ephemerals().await, Vec::<String>::new());
    let left = looker.dump().await;
    assert!(left.contains_key("/FATE-SERVICES/serving/lr-test/inference/providers"));
    assert!(
        left.values().all(|node| node.data == "127.0.0.1"),
        "{left:?}"
    );

    // The weight outlives the process and applies when the service is registered again.
    let again = Registry::open(settings);
    is_settled(&again, again.announce(offers())).await;
    let kept = looker.ephemerals().await;
    assert!(
        kept.iter()
            .any(|line| line.contains("lr-test%2Finference") && line.contains("%26weight%3D300 ")),
        "{kept:?}"
    );
    again.close(PATIENCE).await;
}

/// Contract 03 §5.5: children of one node, unquoted, the authority of each. By Python's own functions, with kazoo where
/// it is installed.
async fn as_fate_flow_reads_it(looker: &Looker) {
    let path = "/FATE-SERVICES/serving/online/publishLoad/providers";
    let children = looker.client.list_children(path).await.unwrap();
    let script = "import sys\nfrom urllib.parse import unquote, urlparse\nfor name in sys.stdin.read().split():\n    print(urlparse(unquote(name)).netloc)\n";
    let python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let found = match python {
        Ok(mut child) => {
            child
                .stdin
                .take()
                .unwrap()
                .write_all(children.join("\n").as_bytes())
                .unwrap();
            let output = child.wait_with_output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        }
        Err(_) => unquoted_authority(&children[0]),
    };
    assert_eq!(found, "127.0.0.1:8000");
    assert_eq!(unquoted_authority(&children[0]), "127.0.0.1:8000");
}

fn unquoted_authority(name: &str) -> String {
    let text = name
        .replace("%3A", ":")
        .replace("%2F", "/")
        .replace("%3F", "?");
    let rest = text.split_once("://").unwrap().1;
    rest.split(['/', '?']).next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn kazoo_finds_what_fate_flow_asks_for() {
    let has_kazoo = Command::new("python3")
        .args(["-c", "import kazoo"])
        .stderr(Stdio::null())
        .status();
    if !has_kazoo.is_ok_and(|done| done.success()) {
        writeln!(
            std::io::stderr(),
            "left out: python3 has no kazoo; the_tree_is_the_contracts decodes without it"
        )
        .unwrap();
        return;
    }
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let mut settings = settings(&server.address(), 8000);
    settings.login = world::login("fate:fate");
    let registry = Registry::open(settings);
    is_settled(&registry, registry.announce(offers())).await;
    let script = "import sys\nfrom urllib.parse import unquote, urlparse\nfrom kazoo.client import KazooClient\nfrom kazoo.security import make_digest_acl\n\
        acl = make_digest_acl('fate', 'fate', all=True)\nzk = KazooClient(hosts=sys.argv[1], default_acl=[acl], auth_data=[('digest', 'fate:fate')])\nzk.start()\n\
        for name in zk.get_children('/FATE-SERVICES/serving/online/publishLoad/providers'):\n    print(urlparse(unquote(name)).netloc)\n\
        assert zk.get_acls('/FATE-SERVICES')[0] == [acl]\nzk.stop()\n";
    let output = Command::new("python3")
        .args(["-c", script, &server.address()])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "127.0.0.1:8000",
        "{complaint}"
    );
    registry.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_see_changes_and_weights() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let consumer = Registry::open(follower(&server.address()));
    // The project is not there yet; it is followed once it is.
    until("an empty tree is read", PATIENCE, async || {
        consumer.state().is_complete.then_some(())
    })
    .await;
    assert!(
        consumer
            .resolve("serving", "lr-test", "inference")
            .is_none()
    );

    let one = Registry::open(settings(&server.address(), 8000));
    let two = Registry::open(settings(&server.address(), 8001));
    let (first, second) = (one.announce(offers()), two.announce(offers()));
    is_settled(&one, first).await;
    is_settled(&two, second).await;
    let providers = |count: usize| {
        let consumer = consumer.clone();
        async move {
            until(&format!("{count} providers"), PATIENCE, async || {
                let snapshot = consumer.snapshot();
                let service = snapshot.service("serving", "lr-test", "inference")?;
                (service.providers().len() == count).then(|| service.providers().to_vec())
            })
            .await
        }
    };
    let found = providers(2).await;
    let heavy = found.iter().find(|one| one.port == 8000).unwrap();
    let Ok(Update::Replaced(_)) = one.update_service(&heavy.url, None, Some(0)) else {
        panic!("{}", heavy.url);
    };
    until("weight 0 is never chosen", PATIENCE, async || {
        let chosen = |_| {
            consumer
                .resolve("serving", "lr-test", "inference")
                .unwrap()
                .port
        };
        (0..200).map(chosen).all(|port| port == 8001).then_some(())
    })
    .await;

    // A leaf with another session's help: it is put back.
    let looker = Looker::at(&server.address(), None).await;
    let dump = looker.dump().await;
    let (path, _) = dump
        .iter()
        .find(|(path, _)| path.contains("8001%2Fserving%2Flr-test%2Finference"))
        .unwrap();
    let (_, watcher) = looker.client.check_and_watch_stat(path).await.unwrap();
    looker.client.delete(path, None).await.unwrap();
    assert_eq!(watcher.changed().await.event_type, EventType::NodeDeleted);
    until(
        "a deleted leaf is made anew",
        Duration::from_secs(40),
        async || looker.client.check_stat(path).await.unwrap().map(drop),
    )
    .await;

    two.close(PATIENCE).await;
    providers(1).await;
    one.close(PATIENCE).await;
    until("the last provider's end is seen", PATIENCE, async || {
        consumer
            .resolve("serving", "lr-test", "inference")
            .is_none()
            .then_some(())
    })
    .await;
    consumer.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_tree_is_read_with_its_owners() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let registry = Registry::open(settings(&server.address(), 8000));
    is_settled(&registry, registry.announce(offers())).await;
    let tree = fate_registry::tree::read(&settings(&server.address(), 1))
        .await
        .unwrap();
    assert_eq!(tree.leaves.len(), offers().len());
    assert_eq!(tree.components.len(), 1);
    let owner = tree.components[0].owner;
    assert!(owner != 0 && tree.leaves.iter().all(|leaf| leaf.owner == owner));
    assert!(tree.leaves.iter().any(|leaf| leaf.environment == MD5
        && leaf.service == "unaryCall"
        && leaf.text.starts_with("grpc://127.0.0.1:8000/serving/")));
    let texts = registry
        .texts("serving", "online", "publishLoad", PATIENCE)
        .await;
    assert_eq!(texts.len(), 1);
    assert!(
        registry
            .texts("serving", "online", "nothing", PATIENCE)
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_address_is_registered_and_found() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let mut settings = settings(&server.address(), 8000);
    let host = fate_registry::own_host(Some("2001:db8::7")).unwrap();
    settings.instance = Some(fate_registry::Instance { host, port: 8000 });
    let registry = Registry::open(settings);
    is_settled(&registry, registry.announce(offers())).await;
    let looker = Looker::at(&server.address(), None).await;
    let nodes = looker.dump().await;
    assert!(nodes.contains_key("/FATE-COMPONENTS/serving/[2001:db8::7]:8000"));
    let leaf = "/FATE-SERVICES/serving/lr-test/inference/providers/grpc%3A%2F%2F%5B2001%3Adb8%3A%3A7%5D%3A8000%2Fserving%2Flr-test%2Finference%3F";
    assert!(nodes.keys().any(|path| path.starts_with(leaf)), "{nodes:?}");
    let consumer = Registry::open(follower(&server.address()));
    let found = until("the provider", PATIENCE, async || {
        consumer.resolve("serving", "lr-test", "inference")
    })
    .await;
    assert_eq!(found.authority(), "[2001:db8::7]:8000");
}
