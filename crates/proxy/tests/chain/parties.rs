//! Parties: a serving-server and a serving-proxy each.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_features::{BatchRows, BoxFuture, FeatureRow, FeatureSource};
use fate_golden::Set;
use fate_proto::router::RouterOperatetRequest;
use fate_proto::router::router_table_service_client::RouterTableServiceClient;
use fate_proxy::{Proxy, RunningProxy};
use fate_server::{Embedding, RunningServer, Server};
use fate_testkit::ZooKeeper;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::certificates::{Authority, Files};

/// How the proxies of two parties speak to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    Plain,
    MutualTls,
    Http,
}

pub(crate) struct Party {
    pub(crate) server: RunningServer,
    pub(crate) proxy: RunningProxy,
    pub(crate) folder: TempDir,
}

/// A guest and its hosts, by party id.
pub(crate) struct Parties {
    pub(crate) guest: Party,
    pub(crate) hosts: BTreeMap<String, Party>,
}

impl Parties {
    /// Starts the parties of the sets; nothing is loaded yet.
    pub(crate) async fn start(sets: &[Arc<Set>], between: Between) -> Self {
        let authority = Authority::new();
        let mut hosts = BTreeMap::new();
        let mut routes = serde_json::Map::new();
        let folder = tempfile::tempdir().unwrap();
        let own = authority.issue(folder.path());
        for (party_id, rows) in HostRows::of(sets) {
            let host = start_host(&party_id, rows, between, &authority).await;
            routes.insert(
                party_id.clone(),
                json!({"default": [route(&host.proxy, between, &own)]}),
            );
            hosts.insert(party_id, host);
        }
        let guest = start_guest(folder, routes).await;
        Self { guest, hosts }
    }

    /// Where the party's models are loaded.
    pub(crate) fn of(&self, party_id: &str) -> &Party {
        self.hosts.get(party_id).unwrap_or(&self.guest)
    }

    pub(crate) async fn stop(self) {
        for party in std::iter::once(self.guest).chain(self.hosts.into_values()) {
            party.proxy.drain().await;
            party.server.drain().await;
        }
    }
}

async fn start_host(
    party_id: &str,
    rows: HostRows,
    between: Between,
    authority: &Authority,
) -> Party {
    let folder = tempfile::tempdir().unwrap();
    let rows: Arc<dyn FeatureSource> = Arc::new(rows);
    let server = start_server(&folder, &[], Some(rows)).await;
    let table = json!({party_id: {"serving": [address(server.grpc_addr)]}});
    let mut properties = Vec::new();
    if between == Between::MutualTls {
        let own = authority.issue(folder.path());
        let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
        properties = vec![
            ("proxy.grpc.inter.negotiationType", "TLS".to_owned()),
            ("proxy.grpc.inter.CA.file", text(&own.ca)),
            ("proxy.grpc.inter.server.certChain.file", text(&own.chain)),
            ("proxy.grpc.inter.server.privateKey.file", text(&own.key)),
        ];
    }
    let proxy = start_proxy(&folder, party_id, &table, &properties).await;
    Party {
        server,
        proxy,
        folder,
    }
}

/// Properties besides those that every party of the tests has.
#[derive(Default)]
pub(crate) struct More<'a> {
    pub(crate) server: &'a [(&'a str, &'a str)],
    pub(crate) proxy: &'a [(&'a str, &'a str)],
}

/// A party whose server and proxy know each other from ZooKeeper only.
pub(crate) async fn start_party(
    party_id: &str,
    zookeeper: &ZooKeeper,
    rows: Option<Arc<dyn FeatureSource>>,
    routes: &Value,
    more: &More<'_>,
) -> Party {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().to_str().unwrap().to_owned();
    let servers = zookeeper.address();
    let mut properties = vec![
        ("zk.url", servers.as_str()),
        ("register.ip", "127.0.0.1"),
        ("registry.cache.path", &files),
    ];
    properties.extend_from_slice(more.server);
    let server = start_server(&folder, &properties, rows).await;
    let properties = [
        ("useZkRouter", "true"),
        ("zk.url", servers.as_str()),
        ("register.ip", "127.0.0.1"),
    ];
    let properties: Vec<(&str, String)> = properties
        .iter()
        .chain(more.proxy)
        .map(|(key, value)| (*key, (*value).to_owned()))
        .collect();
    let proxy = start_proxy(&folder, party_id, routes, &properties).await;
    Party {
        server,
        proxy,
        folder,
    }
}

/// The guest's server and proxy need each other's ports: the route to the server is added when the proxy runs.
async fn start_guest(folder: TempDir, mut routes: serde_json::Map<String, Value>) -> Party {
    let proxy = start_proxy(&folder, "9999", &Value::Object(routes.clone()), &[]).await;
    let intra = proxy.intra_addr;
    let server = start_server(&folder, &[("proxy", &intra.to_string())], None).await;
    routes.insert(
        "9999".to_owned(),
        json!({"serving": [address(server.grpc_addr)]}),
    );
    let mut client = RouterTableServiceClient::connect(format!("http://{intra}"))
        .await
        .unwrap();
    let request = RouterOperatetRequest {
        router_info: document(&Value::Object(routes)).to_string(),
    };
    let saved = client.save_router(request).await.unwrap().into_inner();
    assert_eq!((saved.status_code, saved.message.as_str()), (0, "success"));
    Party {
        server,
        proxy,
        folder,
    }
}

pub(crate) async fn start_server(
    folder: &TempDir,
    properties: &[(&str, &str)],
    rows: Option<Arc<dyn FeatureSource>>,
) -> RunningServer {
    let path = folder.path().to_str().unwrap();
    let mut pairs = vec![
        ("port", "0"),
        ("server.port", "-1"),
        ("model.cache.path", path),
        ("model.import.path", path),
        // A busy machine must not turn a score into a time-out.
        ("single.inference.rpc.timeout", "30000"),
        ("batch.inference.rpc.timeout", "30000"),
    ];
    pairs.extend_from_slice(properties);
    let mut config = fate_server::Config::from_pairs(pairs).unwrap();
    config.bind = Ipv4Addr::LOCALHOST.into();
    let embedding = Embedding {
        single_source: rows.clone(),
        batch_source: rows,
        ..Embedding::default()
    };
    Server::start_with(config, embedding).await.unwrap()
}

/// A proxy whose table is `routes` and lets everybody reach everybody.
pub(crate) async fn start_proxy(
    folder: &TempDir,
    party_id: &str,
    routes: &Value,
    properties: &[(&str, String)],
) -> RunningProxy {
    let table = folder.path().join("route_table.json");
    std::fs::write(&table, document(routes).to_string()).unwrap();
    let (table, state) = (table.to_str().unwrap(), folder.path().to_str().unwrap());
    let mut pairs = vec![
        ("coordinator", party_id),
        ("server.port", "0"),
        ("proxy.grpc.intra.port", "0"),
        ("proxy.grpc.inter.port", "0"),
        ("proxy.bind.http", "127.0.0.1"),
        ("proxy.bind.intra", "127.0.0.1"),
        ("proxy.bind.inter", "127.0.0.1"),
        ("route.table", table),
        ("proxy.state.path", state),
        ("useZkRouter", "false"),
        ("proxy.grpc.inference.timeout", "30000"),
        ("proxy.grpc.batch.inference.timeout", "30000"),
        ("proxy.grpc.unaryCall.timeout", "30000"),
        ("httpclient.config.sockect.timeout", "30000"),
    ];
    let properties = properties.iter().map(|(key, value)| (*key, value.as_str()));
    pairs.extend(properties);
    let config = fate_proxy::Config::from_pairs(pairs).unwrap();
    // As the command does.
    let embedding = fate_proxy::Embedding {
        lanes: Some(2),
        ..fate_proxy::Embedding::default()
    };
    Proxy::start_with(config, embedding).await.unwrap()
}

pub(crate) fn document(routes: &Value) -> Value {
    json!({"route_table": routes, "permission": {"default_allow": true}})
}

pub(crate) fn address(at: SocketAddr) -> Value {
    json!({"ip": at.ip().to_string(), "port": at.port()})
}

/// The way to another party's proxy.
fn route(to: &RunningProxy, between: Between, own: &Files) -> Value {
    match between {
        Between::Plain => address(to.inter_addr),
        Between::MutualTls => {
            let mut route = address(to.inter_addr);
            route["useSSL"] = true.into();
            route["negotiationType"] = "TLS".into();
            route["certChainFile"] = own.chain.to_str().unwrap().into();
            route["privateKeyFile"] = own.key.to_str().unwrap().into();
            route["caFile"] = own.ca.to_str().unwrap().into();
            route
        }
        Between::Http => json!({"url": format!("http://{}/unary", to.http_addr.unwrap())}),
    }
}

/// A host's tables of several sets. Ids are `{"set":…,"id":…}`.
#[derive(Debug, Default)]
pub(crate) struct HostRows {
    /// By set and id.
    rows: BTreeMap<(String, String), String>,
}

impl HostRows {
    pub(crate) fn of(sets: &[Arc<Set>]) -> BTreeMap<String, Self> {
        let mut hosts: BTreeMap<String, Self> = BTreeMap::new();
        for set in sets {
            for host in set.hosts() {
                let rows = &mut hosts.entry(host.party_id.clone()).or_default().rows;
                for row in &host.table.rows {
                    let key = (set.name.clone(), row.id.clone());
                    rows.insert(key, row.json(&host.table.columns, false));
                }
            }
        }
        hosts
    }

    fn find(&self, ids: &str) -> Result<FeatureRow, Fault> {
        let ids: Value = serde_json::from_str(ids).unwrap();
        let text = |name: &str| ids[name].as_str().unwrap().to_owned();
        let row = self.rows.get(&(text("set"), text("id")));
        let none = || Fault::new(ReturnCode::HOST_FEATURE_NOT_EXIST, "no such row");
        row.map(|row| FeatureRow::Json(row.clone()))
            .ok_or_else(none)
    }
}

impl FeatureSource for HostRows {
    fn name(&self) -> &str {
        "golden"
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(std::future::ready(self.find(ids)))
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        let rows = ids.iter().map(|ids| self.find(ids)).collect();
        Box::pin(std::future::ready(Ok(rows)))
    }
}
