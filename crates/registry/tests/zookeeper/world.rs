//! What the tests see of the tree, without the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fate_registry::{Instance, Login, Offer, Registry, ZooKeeperSettings};
use zookeeper_client::{Acl, Client};

/// Long enough for a session of 4 s and a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What "back" means after an outage (issue 4).
pub(crate) const RETURN: Duration = Duration::from_secs(15);

pub(crate) const SESSION: Duration = Duration::from_secs(4);

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) data: String,
    pub(crate) owner: i64,
    pub(crate) acl: Vec<Acl>,
}

/// Path → node, of everything below the two roots.
pub(crate) type Dump = BTreeMap<String, Node>;

/// A client of its own.
pub(crate) struct Looker {
    pub(crate) client: Client,
}

impl Looker {
    pub(crate) async fn at(address: &str, login: Option<&str>) -> Self {
        let mut connector = Client::connector().with_session_timeout(Duration::from_secs(10));
        if let Some(login) = login {
            connector = connector.with_auth("digest", login.as_bytes());
        }
        let client = connector.connect(address).await.unwrap();
        Self { client }
    }

    pub(crate) async fn dump(&self) -> Dump {
        let mut dump = Dump::new();
        let mut open = vec!["/FATE-SERVICES".to_owned(), "/FATE-COMPONENTS".to_owned()];
        while let Some(path) = open.pop() {
            // A node may go between two requests.
            let Ok((data, stat)) = self.client.get_data(&path).await else {
                continue;
            };
            let Ok((acl, _)) = self.client.get_acl(&path).await else {
                continue;
            };
            let Ok(children) = self.client.list_children(&path).await else {
                continue;
            };
            open.extend(children.iter().map(|child| format!("{path}/{child}")));
            let node = Node {
                data: String::from_utf8(data).unwrap(),
                owner: stat.ephemeral_owner,
                acl,
            };
            dump.insert(path, node);
        }
        dump
    }

    /// The ephemeral nodes with the times and ids taken out, sorted.
    pub(crate) async fn ephemerals(&self) -> Vec<String> {
        let dump = self.dump().await;
        let nodes = dump.iter().filter(|(_, node)| node.owner != 0);
        nodes
            .map(|(path, node)| format!("{} {}", masked(path), masked(&node.data)))
            .collect()
    }
}

/// Digits after `timestamp%3D` and `"timestamp":`, and the id after `"instance_id":"`, become `*`.
pub(crate) fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let marks = ["timestamp%3D", "\"timestamp\":", "\"instance_id\":\""];
    while let Some((at, mark)) = marks
        .iter()
        .filter_map(|mark| rest.find(mark).map(|at| (at, *mark)))
        .min()
    {
        let (before, after) = rest.split_at(at + mark.len());
        out.push_str(before);
        out.push('*');
        rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit() || c == '-');
    }
    out.push_str(rest);
    out
}

pub(crate) fn settings(addresses: &str, port: u16) -> ZooKeeperSettings {
    ZooKeeperSettings {
        instance: Some(Instance {
            host: "127.0.0.1".to_owned(),
            port,
        }),
        session_timeout: SESSION,
        ..ZooKeeperSettings::new(addresses.parse().unwrap(), "serving")
    }
}

/// A consumer that follows `serving`.
pub(crate) fn follower(addresses: &str) -> ZooKeeperSettings {
    ZooKeeperSettings {
        follow: vec!["serving".to_owned()],
        session_timeout: SESSION,
        ..ZooKeeperSettings::new(addresses.parse().unwrap(), "proxy")
    }
}

pub(crate) fn login(text: &str) -> Option<Login> {
    let (user, password) = text.split_once(':')?;
    Some(Login {
        user: user.to_owned(),
        password: password.to_owned(),
    })
}

pub(crate) const COMMON: [&str; 14] = [
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

/// What a node offers with one host model and one bound service id.
pub(crate) fn offers() -> BTreeSet<Offer> {
    let common = COMMON.map(|service| ("online", service));
    let models = [
        ("0c9b0a11a225bf04139e5465dabcb0ee", "unaryCall"),
        ("lr-test", "inference"),
        ("lr-test", "batchInference"),
    ];
    let all = common.into_iter().chain(models);
    all.map(|(environment, service)| Offer::grpc("serving", environment, service).unwrap())
        .collect()
}

/// Waits without blocking the runtime until `ask` gives an answer.
#[track_caller]
pub(crate) fn until<T, F: AsyncFnMut() -> Option<T>>(
    what: &str,
    patience: Duration,
    mut ask: F,
) -> impl Future<Output = T> {
    let deadline = Instant::now() + patience;
    let what = what.to_owned();
    async move {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) async fn is_settled(registry: &Registry, revision: fate_registry::Revision) {
    let is_settled = registry.settled(revision, PATIENCE).await;
    assert!(is_settled, "{:?}", registry.state());
}

/// Waits until every offer of `port` stands there exactly once beside the component, all held by one session; tells how
/// long that took.
pub(crate) async fn registered_once(looker: &Looker, port: u16, patience: Duration) -> Duration {
    let began = Instant::now();
    let what = format!("everything of port {port} is registered once");
    until(&what, patience, async || {
        is_once(&looker.dump().await, port).then_some(())
    })
    .await;
    began.elapsed()
}

pub(crate) fn is_once(dump: &Dump, port: u16) -> bool {
    let authority = format!("127.0.0.1%3A{port}%2F");
    let leaves: Vec<(&String, i64)> = dump
        .iter()
        .filter(|(path, _)| path.contains(&authority))
        .map(|(path, node)| (path, node.owner))
        .collect();
    let directories: BTreeSet<&str> = leaves
        .iter()
        .map(|(path, _)| path.rsplit_once('/').unwrap().0)
        .collect();
    let component = dump.get(&format!("/FATE-COMPONENTS/serving/127.0.0.1:{port}"));
    let owners: BTreeSet<i64> = leaves
        .iter()
        .map(|&(_, owner)| owner)
        .chain(component.map(|node| node.owner))
        .collect();
    let wanted = offers().len();
    component.is_some()
        && leaves.len() == wanted
        && directories.len() == wanted
        && owners.len() == 1
}
