//! What this server tells the registry: its own services, and of models exactly what it can serve now (contract 03 §1.2,
//! §1.4, without the left-overs Q3–Q5).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_model::{Models, Published};
use fate_registry::{Instance, Offer, Registry, Revision, ZooKeeperSettings};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::RegistryConfig;

const PROJECT: &str = "serving";
const ONLINE: &str = "online";

/// Of `ModelService` and `CommonService`, in the registry's spelling, which is not always the rpc's.
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

/// How long a call waits for ZooKeeper to take leaves away.
const WITHDRAWAL: Duration = Duration::from_secs(2);

/// Then consumers need a moment to hear of it.
const PROPAGATION: Duration = Duration::from_millis(200);

/// A load waits so long for FATE-Flow's addresses; then the last known ones count.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(2);

/// The session with the registry, and what is told there.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) registry: Registry,
    models: Models,
    /// Environments that are about to go, or on their way; one entry for every call that takes them away.
    leaving: Mutex<Vec<String>>,
}

/// Starts the session of a server that listens on `address`. Never waits for ZooKeeper; nothing is registered before
/// [`Registration::keep_announcing`].
pub(crate) async fn open(
    config: &RegistryConfig,
    address: SocketAddr,
    models: Models,
) -> Arc<Registration> {
    // A server that listens on one address can be reached there only.
    let narrow = Some(address.ip()).filter(|ip| !ip.is_unspecified());
    let listening = narrow.map(|ip| ip.to_string());
    let configured = config.host.clone().or(listening);
    // A name server may be slow.
    let found = tokio::task::spawn_blocking(move || fate_registry::own_host(configured.as_deref()));
    let host = match found.await {
        Ok(Ok(host)) => Some(host),
        Ok(Err(error)) => {
            tracing::error!("this server is not registered: {error}");
            None
        }
        Err(error) => {
            tracing::error!(%error, "this server is not registered: looking for its address was broken off");
            None
        }
    };
    let settings = ZooKeeperSettings {
        login: config.login.clone(),
        instance: host.map(|host| Instance {
            host,
            port: address.port(),
        }),
        follow: vec!["proxy".to_owned(), "flow".to_owned()],
        directory: Some(config.directory.clone()),
        session_timeout: config.session_timeout,
        ..ZooKeeperSettings::new(config.addresses.clone(), PROJECT)
    };
    Arc::new(Registration {
        registry: Registry::open(settings),
        models,
        leaving: Mutex::new(Vec::new()),
    })
}

impl Registration {
    /// Where FATE-Flow gives models, as it has registered itself; read now where that is possible.
    pub(crate) async fn transfer_addresses(&self) -> Vec<String> {
        self.registry
            .texts("flow", ONLINE, "transfer", TRANSFER_PATIENCE)
            .await
    }

    fn announce(&self) -> Revision {
        // Under the lock, so that of two calls the later one tells the later state.
        let leaving = self.leaving.lock();
        let offers = offers(&self.models.snapshot(), &leaving);
        self.registry.announce(offers)
    }

    /// Tells what can be served, now and after every change of models.
    pub(crate) async fn keep_announcing(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.models.subscribe();
        loop {
            self.announce();
            match stop.run_until_cancelled(changes.changed()).await {
                Some(Ok(())) => {}
                _ => return,
            }
        }
    }

    /// Takes away what leads to a model, before the model goes. What is still there when the answer is dropped is
    /// announced again.
    pub(crate) async fn leave_model(&self, key: &ModelKey) -> Leaving<'_> {
        let published = self.models.snapshot();
        let mut environments = published.service_ids(key);
        environments.extend(published.model(key).map(|model| model.key.environment()));
        drop(published);
        self.leave(environments).await
    }

    /// The same for service ids of a model, unless one of them is not bound to it.
    pub(crate) async fn leave_services(&self, key: &ModelKey, ids: &[String]) -> Leaving<'_> {
        let bound = self.models.snapshot().service_ids(key);
        let are_bound = ids.iter().all(|id| bound.contains(id));
        self.leave(if are_bound { ids.to_vec() } else { Vec::new() })
            .await
    }

    async fn leave(&self, environments: Vec<String>) -> Leaving<'_> {
        self.leaving.lock().extend(environments.iter().cloned());
        let leaving = Leaving {
            registration: self,
            environments,
        };
        if !leaving.environments.is_empty() && self.registry.state().is_connected {
            let withdrawn = self.announce();
            if self.registry.settled(withdrawn, WITHDRAWAL).await {
                tokio::time::sleep(PROPAGATION).await;
            } else {
                tracing::warn!(environments = ?leaving.environments, "the registry still leads to what is taken away");
            }
        }
        leaving
    }

    /// Takes everything back, the component first, and gives consumers a moment to hear of it.
    pub(crate) async fn close(&self) {
        let was_connected = self.registry.state().is_connected;
        self.registry.close(WITHDRAWAL).await;
        if was_connected {
            tokio::time::sleep(PROPAGATION).await;
        }
    }
}

/// Environments that are not announced for as long as this lives.
#[derive(Debug)]
pub(crate) struct Leaving<'a> {
    registration: &'a Registration,
    environments: Vec<String>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.environments.is_empty() {
            return;
        }
        let mut leaving = self.registration.leaving.lock();
        for environment in &self.environments {
            if let Some(position) = leaving.iter().position(|one| one == environment) {
                leaving.swap_remove(position);
            }
        }
        drop(leaving);
        self.registration.announce();
    }
}

fn offers(published: &Published, leaving: &[String]) -> BTreeSet<Offer> {
    let is_staying = |environment: &String| !leaving.contains(environment);
    let hosts = published.models().filter(|model| model.role != Role::Guest);
    let hosts = hosts.map(|model| (model.key.environment(), &["unaryCall"][..]));
    let ids = published.bindings().map(|(id, _)| id.to_owned());
    let ids = ids.map(|id| (id, &["inference", "batchInference"][..]));
    let models = hosts
        .chain(ids)
        .filter(|(environment, _)| is_staying(environment));
    let all = models.chain([(ONLINE.to_owned(), &COMMON[..])]);
    all.flat_map(|(environment, services)| {
        let offer = move |service: &&str| offer(&environment, service);
        services.iter().filter_map(offer).collect::<Vec<_>>()
    })
    .collect()
}

/// Service ids are checked when they are bound; a Java store may hold worse ones.
fn offer(environment: &str, service: &str) -> Option<Offer> {
    Offer::grpc(PROJECT, environment, service)
        .inspect_err(|error| tracing::warn!("{error}"))
        .ok()
}
