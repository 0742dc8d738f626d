//! Finding FATE-Flow in a real ZooKeeper, as FATE-Flow registers there (contract 03 §5.8, §6), and what its tries meet.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use base64::Engine as _;
use fate_proto::common_service::HealthCheckRequest;
use fate_proto::common_service::common_service_client::CommonServiceClient;
use fate_proto::model::{PublishRequest, PublishResponse};
use fate_testkit::ZooKeeper;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Semaphore;
use zookeeper_client::{Acls, Client, CreateMode};

use crate::cluster::{Node, channel, models, publish_request};
use crate::example::{self, GUEST, VERSION};
use crate::registered::Keys;

const PROVIDERS: &str = "/FATE-SERVICES/flow/online/transfer/providers";

/// The transfer endpoint of a FATE-Flow that has the guest's model, under every path.
struct Flow {
    authority: String,
    asked: Arc<Mutex<Vec<String>>>,
    /// One permit for each answer.
    gate: Arc<Semaphore>,
}

#[derive(Clone)]
struct Desk {
    asked: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
    answer: String,
}

impl Flow {
    async fn start(permits: usize) -> Flow {
        let encode = |bytes: Vec<u8>| base64::engine::general_purpose::STANDARD.encode(bytes);
        let data: serde_json::Map<_, _> = example::buffers("guest")
            .into_iter()
            .map(|(key, bytes)| (key, encode(bytes).into()))
            .collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Semaphore::new(permits));
        let desk = Desk {
            asked: Arc::clone(&asked),
            gate: Arc::clone(&gate),
            answer: json!({"retcode": 0, "retmsg": "success", "data": data}).to_string(),
        };
        let routes = Router::new().fallback(answer).with_state(desk);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Flow {
            authority,
            asked,
            gate,
        }
    }

    fn general_url(&self) -> String {
        format!("http://{}/v1/model/transfer", self.authority)
    }

    /// Paths that were asked for since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock())
    }
}

async fn answer(State(desk): State<Desk>, uri: Uri) -> String {
    desk.asked.lock().push(uri.path().to_owned());
    desk.gate.acquire().await.unwrap().forget();
    desk.answer
}

/// Node names of Python's `quote(url, safe='')`: 3.7 and later leave `~` as it is, 3.6 wrote `%7E`.
fn quoted(url: &str, tilde: &str) -> String {
    let escaped = url.replace('%', "%25").replace(':', "%3A");
    escaped.replace('/', "%2F").replace('~', tilde)
}

/// The `providers` node as FATE-Flow's client sees it.
struct Leaves(Client);

impl Leaves {
    async fn of(zookeeper: &ZooKeeper) -> Leaves {
        let client = Client::connect(&zookeeper.address()).await.unwrap();
        let persistent = CreateMode::Persistent.with_acls(Acls::anyone_all());
        client.mkdir(PROVIDERS, &persistent).await.unwrap();
        Leaves(client)
    }

    async fn add(&self, name: &str) {
        let ephemeral = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
        let path = format!("{PROVIDERS}/{name}");
        self.0.create(&path, b"", &ephemeral).await.unwrap();
    }

    async fn clear(&self) {
        for name in self.0.list_children(PROVIDERS).await.unwrap() {
            let path = format!("{PROVIDERS}/{name}");
            self.0.delete(&path, None).await.unwrap();
        }
    }
}

/// As FATE-Flow loads with a registry: without an address (contract 03 §5.2).
fn request() -> PublishRequest {
    PublishRequest {
        load_type: "FATEFLOW".to_owned(),
        ..publish_request("guest")
    }
}

async fn load(node: &Node, request: PublishRequest) -> PublishResponse {
    let mut client = models(node.grpc()).await;
    client.publish_load(request).await.unwrap().into_inner()
}

fn path_of(namespace: &str, version: &str) -> String {
    let namespace = namespace.replace('#', "~");
    format!("/v1/model/transfer/{namespace}/{version}")
}

/// Waits until what the node knows by following the tree is this, as its health check words it.
async fn flow_is(node: &Node, word: &str) {
    let mut common = CommonServiceClient::new(channel(node.grpc()).await);
    let reached = async {
        loop {
            let answer = common
                .check_health_service(HealthCheckRequest::default())
                .await;
            let answer = String::from_utf8(answer.unwrap().into_inner().data.to_vec()).unwrap();
            let mut words = answer.split('"');
            if words.any(|text| text.starts_with("fateflow ") && text.contains(word)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let is_reached = tokio::time::timeout(Duration::from_secs(30), reached).await;
    assert!(is_reached.is_ok(), "FATE-Flow never {word}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fate_flow_is_found_where_it_registers() {
    let Some(mut zookeeper) = ZooKeeper::start() else {
        return;
    };
    let keys = Keys::of(zookeeper.address());
    let node = keys.start(&[]).await;
    let (flow, other) = (Flow::start(100).await, Flow::start(100).await);

    let lost = load(&node, request()).await;
    assert_eq!(lost.status_code, 123);
    assert!(
        lost.message.contains("no FATE-Flow is registered"),
        "{}",
        lost.message
    );
    assert!(
        lost.message.contains("model.transfer.url is not set"),
        "{}",
        lost.message
    );

    // Java would ask this one, and publish another model under the requested name.
    let leaves = Leaves::of(&zookeeper).await;
    let others = format!("http://{}{}", other.authority, path_of(GUEST, "2019"));
    leaves.add(&quoted(&others, "~")).await;
    let lost = load(&node, request()).await;
    assert_eq!(lost.status_code, 123);
    assert!(
        lost.message.contains("none of 1 registered"),
        "{}",
        lost.message
    );

    let own_path = path_of(GUEST, VERSION);
    let own = format!("http://{}{own_path}", flow.authority);
    for tilde in ["~", "%7E"] {
        leaves.add(&quoted(&own, tilde)).await;
        let found = load(&node, request()).await;
        assert_eq!(found.status_code, 0, "{}", found.message);
        assert_eq!(flow.asked(), std::slice::from_ref(&own_path), "{tilde}");
        leaves.clear().await;
        leaves.add(&quoted(&others, "~")).await;
    }

    // It comes before the operator's own address.
    let nowhere = [("model.transfer.url", "http://127.0.0.1:1/v1/model/transfer")];
    let configured = Keys::of(zookeeper.address()).start(&nowhere).await;
    leaves.add(&quoted(&own, "~")).await;
    let found = load(&configured, request()).await;
    assert_eq!(found.status_code, 0, "{}", found.message);
    assert_eq!(flow.asked(), std::slice::from_ref(&own_path));
    leaves.clear().await;

    // FATE-Flow 1.4 has one address for all models.
    flow_is(&node, "not found").await;
    leaves.add(&quoted(&flow.general_url(), "~")).await;
    let found = load(&node, request()).await;
    assert_eq!(found.status_code, 0, "{}", found.message);
    assert_eq!(flow.asked(), ["/v1/model/transfer"]);
    let published = node.server.models().snapshot();
    let loaded = published.models().next().unwrap();
    assert_eq!(loaded.resource_address.as_ref(), Some(&flow.authority));

    // An address in the request comes first, and the registry is not asked.
    let named = PublishRequest {
        file_path: format!("http://{}/v1/model/transfer", other.authority),
        ..request()
    };
    assert_eq!(load(&node, named).await.status_code, 0);
    assert_eq!((flow.asked().len(), other.asked().len()), (0, 1));

    // While ZooKeeper is away the last known address serves.
    flow_is(&node, "is found").await;
    zookeeper.kill();
    let found = load(&node, request()).await;
    assert_eq!(found.status_code, 0, "{}", found.message);
    assert!(!found.message.contains("stored copy"), "{}", found.message);
    assert_eq!(flow.asked().len(), 1);
    assert_eq!(other.asked().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_decides_which_registered_addresses_are_asked() {
    let Some(zookeeper) = ZooKeeper::start() else {
        return;
    };
    let (flow, stranger) = (Flow::start(100).await, Flow::start(100).await);
    let keys = Keys::of(zookeeper.address());
    let allowed = flow.general_url();
    let node = keys.start(&[("model.transfer.allow", &allowed)]).await;
    let leaves = Leaves::of(&zookeeper).await;
    // Closer to what is wanted, but not allowed.
    let strangers = format!("http://{}{}", stranger.authority, path_of(GUEST, VERSION));
    leaves.add(&quoted(&strangers, "~")).await;
    let refused = load(&node, request()).await;
    assert_eq!(refused.status_code, 123);
    assert!(
        refused
            .message
            .contains("not allowed by model.transfer.allow"),
        "{}",
        refused.message
    );
    // Rubbish beside it changes nothing.
    for name in [
        "%",
        "%zz",
        "x",
        "+",
        "http%3A%2F%2F",
        "%FF%FE",
        "transfer",
        "%2Ftransfer",
    ] {
        leaves.add(name).await;
    }
    leaves.add(&"a".repeat(100_000)).await;
    leaves.add(&quoted(&stranger.general_url(), "~")).await;
    leaves.add(&quoted(&flow.general_url(), "~")).await;
    for _ in 0..20 {
        let found = load(&node, request()).await;
        assert_eq!(found.status_code, 0, "{}", found.message);
    }
    assert_eq!((flow.asked().len(), stranger.asked().len()), (20, 0));

    // Without the registry `model.transfer.url` is what is left.
    let url = flow.general_url();
    let alone = Node::start(&[("model.transfer.url", &url)]).await;
    assert_eq!(load(&alone, request()).await.status_code, 0);
}

/// Contract 03 §5.1: the first call goes on when FATE-Flow has given it up, and the next ones arrive meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_tries_of_one_load_are_one_transfer() {
    let flow = Flow::start(0).await;
    let node = Node::start(&[]).await;
    let request = PublishRequest {
        file_path: flow.general_url(),
        ..request()
    };
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let (address, request) = (node.grpc(), request.clone());
            tokio::spawn(async move {
                let mut client = models(address).await;
                client.publish_load(request).await.unwrap().into_inner()
            })
        })
        .collect();
    // A caller that goes away does not end the load of the others.
    let mut hasty = models(node.grpc()).await;
    let given_up = hasty.publish_load(request.clone());
    let given_up = tokio::time::timeout(Duration::from_millis(300), given_up).await;
    assert!(given_up.is_err());
    flow.gate.add_permits(1);
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!(answer.status_code, 0, "{}", answer.message);
    }
    assert_eq!(flow.asked().len(), 1);
}
