//! One serving-server of the cluster with a store of its own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fate_domain::model_key::ModelKey;
use fate_features::FeatureSource;
use fate_server::config::Address;
use fate_server::{Config, Embedding, RunningServer, Server};
use tempfile::TempDir;

use super::rows::HostRows;
use super::{Options, address_of};

/// A cluster compares scores, it does not race: a busy machine must not turn a score into a time-out.
const FEDERATION_TIMEOUT: Duration = Duration::from_secs(30);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// What tells one node from another.
#[derive(Debug)]
pub(super) struct Setting {
    options: Options,
    /// Host party id to its server.
    routes: BTreeMap<String, Address>,
    rows: Option<Arc<HostRows>>,
}

/// A running server and the directory that its store lives in.
#[derive(Debug)]
pub(super) struct Node {
    server: RunningServer,
    store: TempDir,
}

impl Setting {
    pub(super) fn guest(options: Options, routes: BTreeMap<String, Address>) -> Setting {
        Setting {
            options,
            routes,
            rows: None,
        }
    }

    pub(super) fn host(options: Options, rows: HostRows) -> Setting {
        Setting {
            options: Options {
                http: false,
                ..options
            },
            routes: BTreeMap::new(),
            rows: Some(Arc::new(rows)),
        }
    }

    fn config(&self, store: &TempDir) -> anyhow::Result<Config> {
        let mut config = Config::from_pairs([("port", "0")])?;
        config.bind = Ipv4Addr::LOCALHOST.into();
        config.http_port = self.options.http.then_some(0);
        config.federation_hosts = self.routes.clone();
        config.single_timeout = FEDERATION_TIMEOUT;
        config.batch_timeout = FEDERATION_TIMEOUT;
        config.batch_max = self.options.batch_max;
        config.guest_batch_max = self.options.batch_max;
        config.drain_timeout = DRAIN_TIMEOUT;
        config.semantics = self.options.semantics;
        config.cache_path = store.path().to_owned();
        Ok(config)
    }
}

impl Node {
    pub(super) async fn start(setting: Setting) -> anyhow::Result<Node> {
        let store = tempfile::Builder::new()
            .prefix("fate-serving-")
            .tempdir()
            .context("no directory for the store")?;
        let config = setting.config(&store)?;
        let source = setting.rows.map(|rows| rows as Arc<dyn FeatureSource>);
        let embedding = Embedding {
            log_levels: None,
            single_source: source.clone(),
            batch_source: source,
            own_proxy: None,
            ..Embedding::default()
        };
        let server = Server::start_with(config, embedding).await?;
        Ok(Node { server, store })
    }

    pub(super) fn grpc_address(&self) -> Address {
        address_of(self.server.grpc_addr)
    }

    pub(super) fn http_address(&self) -> Option<Address> {
        self.server.http_addr.map(address_of)
    }

    /// What a loaded model is, in the words of its verdict.
    pub(super) fn kind(&self, key: &ModelKey) -> Option<String> {
        let models = self.server.models().snapshot();
        Some(models.model(key)?.plan.verdict().kind.clone())
    }

    /// Whether a loaded model's score takes parts of hosts.
    pub(super) fn needs_hosts(&self, key: &ModelKey) -> bool {
        let models = self.server.models().snapshot();
        models
            .model(key)
            .is_some_and(|model| model.plan.needs_hosts())
    }

    pub(super) async fn stop(self) {
        self.server.drain().await;
        // What is left in the system's directory for temporary files does no harm.
        let _ = self.store.close();
    }
}
