//! A server in a real ZooKeeper: what it registers when, and whom it finds.

use std::collections::BTreeSet;
use std::time::Duration;

use fate_domain::model_key::ModelKey;
use fate_proto::common_service::UpdateServiceRequest;
use fate_proto::common_service::common_service_client::CommonServiceClient;
use fate_proto::model::{UnbindRequest, UnloadRequest};
use fate_registry::tree::Tree;
use fate_registry::{Instance, Offer, Registry, ZooKeeperSettings, tree};
use fate_testkit::ZooKeeper;

use crate::cluster::{HOST_DATA, Node, channel, models};
use crate::example::{GUEST, HOST, VERSION};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn tree_of(zookeeper: &ZooKeeper) -> Tree {
    let settings = ZooKeeperSettings::new(zookeeper.address().parse().unwrap(), "client");
    tree::read(&settings).await.unwrap()
}

/// `environment/service` of everything that is registered, without what every server has.
fn of_models(tree: &Tree) -> BTreeSet<String> {
    let leaves = tree
        .leaves
        .iter()
        .filter(|leaf| leaf.environment != "online");
    leaves
        .map(|leaf| format!("{}/{}", leaf.environment, leaf.service))
        .collect()
}

/// Waits until the models' services are these.
async fn models_are(zookeeper: &ZooKeeper, expected: &[String]) {
    let expected: BTreeSet<String> = expected.iter().cloned().collect();
    let reached = async {
        while of_models(&tree_of(zookeeper).await) != expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let is_reached = tokio::time::timeout(PATIENCE, reached).await.is_ok();
    assert!(
        is_reached,
        "{:?}, not {expected:?}",
        of_models(&tree_of(zookeeper).await)
    );
}

pub(crate) struct Keys {
    address: String,
    files: tempfile::TempDir,
}

impl Keys {
    pub(crate) fn of(address: String) -> Self {
        let files = tempfile::tempdir().unwrap();
        Self { address, files }
    }

    pub(crate) async fn start(&self, pairs: &[(&str, &str)]) -> Node {
        let files = self.files.path().to_str().unwrap();
        let mut all = vec![
            ("zk.url", self.address.as_str()),
            ("register.ip", "127.0.0.1"),
            ("zk.session.timeout", "4000"),
            ("registry.cache.path", files),
        ];
        all.extend_from_slice(pairs);
        Node::start(&all).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_registers_exactly_what_it_serves() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let node = Keys::of(zookeeper.address()).start(&[]).await;
    let port = node.grpc().port();
    let registered = async {
        while tree_of(&zookeeper).await.components.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, registered).await.unwrap();
    let tree = tree_of(&zookeeper).await;
    assert_eq!(tree.components[0].name, format!("127.0.0.1:{port}"));
    assert_eq!(tree.leaves.len(), 14);
    let url = format!(
        "grpc://127.0.0.1:{port}/serving/online/publishLoad?router_mode=ALL_ALLOWED&timestamp="
    );
    assert!(
        tree.leaves.iter().any(|leaf| leaf.text.starts_with(&url)),
        "{tree:?}"
    );

    let md5 = ModelKey::new(VERSION, HOST).environment();
    let call = format!("{md5}/unaryCall");
    assert_eq!(node.load_example("host").await.status_code, 0);
    models_are(&zookeeper, std::slice::from_ref(&call)).await;
    assert_eq!(node.load_example("guest").await.status_code, 0);
    assert_eq!(node.bind_example("lr-test").await.status_code, 0);
    let bound = ["inference", "batchInference"].map(|service| format!("lr-test/{service}"));
    models_are(
        &zookeeper,
        &[call.clone(), bound[0].clone(), bound[1].clone()],
    )
    .await;

    change_a_weight(&node, &zookeeper).await;

    // When unbind and unload are answered, nobody is led here any more.
    let mut client = models(node.grpc()).await;
    let unbind = |ids: &[&str]| UnbindRequest {
        table_name: VERSION.to_owned(),
        namespace: GUEST.to_owned(),
        service_ids: ids.iter().map(|&id| id.to_owned()).collect(),
    };
    let refused = client
        .unbind(unbind(&["lr-test", "other"]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(refused.status_code, 104);
    assert_eq!(of_models(&tree_of(&zookeeper).await).len(), 3);
    let done = client
        .unbind(unbind(&["lr-test"]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(done.status_code, 0, "{}", done.message);
    assert_eq!(
        of_models(&tree_of(&zookeeper).await),
        BTreeSet::from([call])
    );
    let unload = UnloadRequest {
        table_name: VERSION.to_owned(),
        namespace: HOST.to_owned(),
    };
    let done = client.unload(unload).await.unwrap().into_inner();
    assert_eq!(done.status_code, 0, "{}", done.message);
    assert_eq!(of_models(&tree_of(&zookeeper).await), BTreeSet::new());

    let Node {
        server,
        folder: _folder,
    } = node;
    server.drain().await;
    assert_eq!(tree_of(&zookeeper).await, Tree::default());
}

/// Contract 03 §2.6, through the server's own service.
async fn change_a_weight(node: &Node, zookeeper: &ZooKeeper) {
    let tree = tree_of(zookeeper).await;
    let leaf = tree
        .leaves
        .iter()
        .find(|leaf| leaf.environment == "lr-test" && leaf.service == "inference")
        .unwrap();
    let mut client = CommonServiceClient::new(channel(node.grpc()).await);
    let mut update = async |weight: i32| {
        let request = UpdateServiceRequest {
            url: leaf.text.clone(),
            weight,
            ..UpdateServiceRequest::default()
        };
        let answer = client.update_service(request).await.unwrap().into_inner();
        (answer.status_code, answer.message)
    };
    assert_eq!(update(-1).await, (0, "no change".to_owned()));
    assert_eq!(update(300).await, (0, "success".to_owned()));
    // The URL is another one now.
    assert_eq!(update(5).await, (126, "no node".to_owned()));
    assert_eq!(update(-7).await.0, 110);
    let replaced = async {
        let expected = format!("{}&weight=300", leaf.text);
        loop {
            let tree = tree_of(zookeeper).await;
            let mut own = tree
                .leaves
                .iter()
                .filter(|one| one.environment == "lr-test" && one.service == "inference");
            if own.next().is_some_and(|one| one.text == expected) && own.next().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, replaced).await.unwrap();
}

const REQUEST: &str =
    r#"{"serviceId":"lr-test","featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"1"}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_finds_its_proxy_in_the_registry() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let keys = Keys::of(zookeeper.address());
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("host_data.csv");
    std::fs::write(&file, HOST_DATA).unwrap();
    let host = Node::start(&[
        ("feature.single.adaptor", "file-pick"),
        ("host.data.file", file.to_str().unwrap()),
    ])
    .await;
    assert_eq!(host.load_example("host").await.status_code, 0);
    let guest = keys.start(&[]).await;
    assert_eq!(guest.load_example("guest").await.status_code, 0);
    assert_eq!(guest.bind_example("lr-test").await.status_code, 0);

    let lost = guest.infer(REQUEST).await;
    assert_eq!(lost["retcode"], 106, "{lost}");
    assert_eq!(lost["retmsg"], "serving-proxy address is not found in zk");

    // A host answers as a proxy in front of it would.
    let mut settings = ZooKeeperSettings::new(zookeeper.address().parse().unwrap(), "proxy");
    settings.instance = Some(Instance {
        host: "127.0.0.1".to_owned(),
        port: host.grpc().port(),
    });
    let proxy = Registry::open(settings);
    proxy.announce(BTreeSet::from([Offer::grpc(
        "proxy",
        "online",
        "unaryCall",
    )
    .unwrap()]));
    let scored = async {
        loop {
            let answer = guest.infer(REQUEST).await;
            if answer["retcode"] == 0 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, scored).await.unwrap();
    let score = answer["data"]["score"].as_f64().unwrap();
    assert!((score - 0.491_232_185_175_474_1).abs() < 1e-12, "{answer}");
    drop(proxy);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_without_its_registry_and_registers_when_it_comes() {
    let Some(mut zookeeper) = ZooKeeper::start() else {
        return;
    };
    zookeeper.kill();
    let keys = Keys::of(zookeeper.address());
    let began = std::time::Instant::now();
    let node = keys.start(&[]).await;
    assert_eq!(node.load_example("host").await.status_code, 0);
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    zookeeper.restart();
    let md5 = ModelKey::new(VERSION, HOST).environment();
    models_are(&zookeeper, &[format!("{md5}/unaryCall")]).await;
}
