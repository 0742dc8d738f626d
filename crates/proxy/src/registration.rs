//! This proxy in the registry (contract 04 A.11).

use std::collections::BTreeSet;

use fate_registry::{Instance, Login, Offer, Registry, ZooKeeperSettings, own_host};

use crate::config::{Config, RegistrySettings};

/// What the intra port offers, by the names in the registry, which are not always those of the calls.
const GRPC_SERVICES: &[&str] = &[
    "unaryCall",
    "queryMetrics",
    "updateFlowRule",
    "listProps",
    "queryJvm",
    "updateService",
    "checkHealth",
    "queryRouter",
    "addRouter",
    "updateRouter",
    "deleteRouter",
    "saveRouter",
];
const HTTP_SERVICES: &[&str] = &["inference", "batchInference"];

/// The registry of the configuration, if it asks for one. ZooKeeper need not be there yet.
pub(crate) fn open(config: &Config, intra_port: u16) -> Option<Registry> {
    let asked = config.registry.as_ref()?;
    let addresses = match asked.servers.join(",").parse() {
        Ok(addresses) => addresses,
        Err(error) => {
            tracing::error!(%error, "zk.url cannot be used: there is no registry");
            return None;
        }
    };
    let instance = match own_host(asked.register_ip.as_deref()) {
        Ok(host) => Some(Instance {
            host,
            port: intra_port,
        }),
        Err(error) => {
            tracing::error!(%error, "this proxy has no address to register; set register.ip");
            None
        }
    };
    Some(Registry::open(ZooKeeperSettings {
        login: login(asked),
        instance,
        follow: vec!["serving".to_owned()],
        directory: Some(config.state_path.join(".fate")),
        ..ZooKeeperSettings::new(addresses, "proxy")
    }))
}

/// As whom the registry is used.
pub(crate) fn login(asked: &RegistrySettings) -> Option<Login> {
    let acl = asked.acl.clone();
    acl.map(|(user, password)| Login { user, password })
}

/// Registers everything that is offered.
pub(crate) fn announce(registry: &Registry, http_port: Option<u16>) {
    let grpc = GRPC_SERVICES
        .iter()
        .map(|service| Offer::grpc("proxy", "online", service));
    let http = http_port.into_iter().flat_map(|port| {
        let offer = move |service: &&str| Offer::http("federation", "v1", service, port);
        HTTP_SERVICES.iter().map(offer)
    });
    let mut offers = BTreeSet::new();
    for offer in grpc.chain(http) {
        match offer {
            Ok(offer) => {
                offers.insert(offer);
            }
            Err(error) => tracing::error!(%error, "a service cannot be registered"),
        }
    }
    registry.announce(offers);
}
