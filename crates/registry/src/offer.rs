//! What a process offers, and the leaves that say so.

use std::collections::{BTreeMap, BTreeSet};

use crate::leaf;
use crate::paths;
use crate::service_url::ServiceUrl;
use crate::weights::Weights;

/// `MetaInfo.CURRENT_VERSION` of FATE-Serving 2.1.7, which peers read (contract 03 Q9).
const VERSION: &str = "216";

/// Where this process can be reached, as peers are told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instance {
    /// Address or name; an IPv6 address in brackets. See [`crate::own_host`].
    pub host: String,
    /// The gRPC port (of a proxy: the one for its own party).
    pub port: u16,
}

/// One service that this process offers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offer {
    project: String,
    environment: String,
    service: String,
    protocol: &'static str,
    port: Option<u16>,
}

/// Why something cannot be offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} cannot be registered: it {why}")]
pub struct OfferError {
    /// `service id`, …
    pub what: &'static str,
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl Offer {
    /// A gRPC service on the instance's port. `environment` is `online`, a service id or
    /// `ModelKey::environment()` of a host model.
    ///
    /// # Errors
    /// A part that ZooKeeper or Java peers could not read.
    pub fn grpc(project: &str, environment: &str, service: &str) -> Result<Self, OfferError> {
        Self::checked(project, environment, service, "grpc", None)
    }

    /// An HTTP service on a port of its own, as the proxy's `federation/v1/inference` (contract 03 §1.6).
    ///
    /// # Errors
    /// As [`Offer::grpc`].
    pub fn http(
        project: &str,
        environment: &str,
        service: &str,
        port: u16,
    ) -> Result<Self, OfferError> {
        Self::checked(project, environment, service, "http", Some(port))
    }

    fn checked(
        project: &str,
        environment: &str,
        service: &str,
        protocol: &'static str,
        port: Option<u16>,
    ) -> Result<Self, OfferError> {
        for (what, text) in [
            ("project", project),
            ("environment", environment),
            ("service", service),
        ] {
            if let Some(why) = paths::unfit_segment(text) {
                let text = text.to_owned();
                return Err(OfferError { what, text, why });
            }
        }
        Ok(Self {
            project: project.to_owned(),
            environment: environment.to_owned(),
            service: service.to_owned(),
            protocol,
            port,
        })
    }

    fn url(&self, instance: &Instance, timestamp: u64, weights: &Weights) -> ServiceUrl {
        let mut parameters = BTreeMap::from([
            ("timestamp".to_owned(), timestamp.to_string()),
            ("version".to_owned(), VERSION.to_owned()),
        ]);
        let own = weights.get(&self.environment, &self.service);
        parameters.insert("router_mode".to_owned(), own.router_mode);
        if let Some(weight) = own.weight {
            parameters.insert("weight".to_owned(), weight.to_string());
        }
        ServiceUrl {
            protocol: Some(self.protocol.to_owned()),
            host: Some(instance.host.clone()),
            port: self.port.unwrap_or(instance.port),
            project: Some(self.project.clone()),
            environment: Some(self.environment.clone()),
            path: Some(self.service.clone()),
            parameters,
        }
    }

    fn directory(&self) -> String {
        paths::providers(&self.project, &self.environment, &self.service)
    }
}

/// What is offered now. A service keeps its timestamp for as long as it is offered, so that its leaf has the same name
/// in every session.
#[derive(Debug)]
pub(crate) struct Offers {
    pub(crate) instance: Instance,
    project: String,
    process: Process,
    offered: BTreeMap<Offer, u64>,
}

/// The identity of this process in its component node.
#[derive(Debug)]
struct Process {
    instance_id: String,
    is_announced: bool,
}

/// The nodes that this process wants to own; everything else at its address is not its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Leaf path → data.
    pub(crate) leaves: BTreeMap<String, Vec<u8>>,
    /// Path and data of the component node; it comes after the leaves and goes before them.
    pub(crate) component: Option<(String, Vec<u8>)>,
    /// Projects that may hold leaves of this process.
    pub(crate) projects: BTreeSet<String>,
    /// Every `host:port` that this process owns.
    pub(crate) authorities: BTreeSet<String>,
}

impl Offers {
    pub(crate) fn new(project: &str, instance: Instance) -> Self {
        Self {
            instance,
            project: project.to_owned(),
            process: Process {
                instance_id: uuid::Uuid::new_v4().to_string(),
                is_announced: false,
            },
            offered: BTreeMap::new(),
        }
    }

    /// Replaces what is offered. Services offered for the first time share the moment `now_ms`.
    pub(crate) fn replace(&mut self, offers: BTreeSet<Offer>, now_ms: u64) {
        self.process.is_announced = true;
        let before = std::mem::take(&mut self.offered);
        let since = |offer: &Offer| before.get(offer).copied().unwrap_or(now_ms);
        self.offered = offers
            .into_iter()
            .map(|offer| (offer.clone(), since(&offer)))
            .collect();
    }

    /// Takes everything back, the component node too.
    pub(crate) fn withdraw(&mut self) {
        self.offered.clear();
        self.process.is_announced = false;
    }

    /// The service whose present URL is `url`: `(environment, service)`.
    pub(crate) fn find(&self, url: &ServiceUrl, weights: &Weights) -> Option<(String, String)> {
        let url_of = |offer: &Offer, since: u64| offer.url(&self.instance, since, weights);
        let mut offered = self.offered.iter();
        let (offer, _) = offered.find(|&(offer, &since)| url_of(offer, since) == *url)?;
        Some((offer.environment.clone(), offer.service.clone()))
    }

    /// The nodes of what is offered, with the weights of now.
    pub(crate) fn wanted(&self, weights: &Weights, now_ms: u64) -> Wanted {
        let node = |(offer, &since): (&Offer, &u64)| {
            let name = leaf::encode(&offer.url(&self.instance, since, weights).to_string());
            let data = self.instance.host.clone().into_bytes();
            (format!("{}/{name}", offer.directory()), data)
        };
        let Instance { host, port } = &self.instance;
        let mut projects = BTreeSet::from([self.project.clone()]);
        projects.extend(self.offered.keys().map(|one| one.project.clone()));
        let mut authorities = BTreeSet::from([format!("{host}:{port}")]);
        let others = self.offered.keys().filter_map(|one| one.port);
        authorities.extend(others.map(|port| format!("{host}:{port}")));
        Wanted {
            leaves: self.offered.iter().map(node).collect(),
            component: self.process.is_announced.then(|| self.component(now_ms)),
            projects,
            authorities,
        }
    }

    /// The JSON of contract 03 §1.5; serving-admin loses its whole list when the timestamp is no long.
    fn component(&self, now_ms: u64) -> (String, Vec<u8>) {
        let id = &self.process.instance_id;
        let data = format!(r#"{{"instance_id":"{id}","version":{VERSION},"timestamp":{now_ms}}}"#);
        let Instance { host, port } = &self.instance;
        (
            paths::component(&self.project, host, *port),
            data.into_bytes(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers() -> Offers {
        let instance = Instance {
            host: "192.0.2.2".to_owned(),
            port: 8000,
        };
        Offers::new("serving", instance)
    }

    fn only_leaf(offers: &Offers, weights: &Weights) -> String {
        let wanted = offers.wanted(weights, 0);
        assert_eq!(wanted.leaves.len(), 1);
        wanted.leaves.keys().next().unwrap().clone()
    }

    /// Literal examples of contract 03 §1.3.
    #[test]
    fn the_contracts_leaves() {
        for (environment, service, since, leaf) in [
            (
                "online",
                "publishLoad",
                1_795_386_655_784,
                "/FATE-SERVICES/serving/online/publishLoad/providers/grpc%3A%2F%2F192.0.2.2%3A8000%2Fserving%2Fonline%2FpublishLoad%3Frouter_mode%3DALL_ALLOWED%26timestamp%3D1795386655784%26version%3D216",
            ),
            (
                "lr-test",
                "inference",
                1_795_386_657_714,
                "/FATE-SERVICES/serving/lr-test/inference/providers/grpc%3A%2F%2F192.0.2.2%3A8000%2Fserving%2Flr-test%2Finference%3Frouter_mode%3DALL_ALLOWED%26timestamp%3D1795386657714%26version%3D216",
            ),
            (
                "服务",
                "inference",
                1,
                "/FATE-SERVICES/serving/服务/inference/providers/grpc%3A%2F%2F192.0.2.2%3A8000%2Fserving%2F%E6%9C%8D%E5%8A%A1%2Finference%3Frouter_mode%3DALL_ALLOWED%26timestamp%3D1%26version%3D216",
            ),
        ] {
            let mut offers = offers();
            let offer = Offer::grpc("serving", environment, service).unwrap();
            offers.replace(BTreeSet::from([offer]), since);
            assert_eq!(only_leaf(&offers, &Weights::default()), leaf);
        }
    }

    #[test]
    fn a_weight_stands_behind_the_version_and_the_timestamp_stays() {
        let mut offers = offers();
        let offer = Offer::grpc("serving", "lr-test", "inference").unwrap();
        offers.replace(BTreeSet::from([offer.clone()]), 1);
        let mut weights = Weights::default();
        weights.set("lr-test", "inference", None, Some(300));
        offers.replace(BTreeSet::from([offer]), 2);
        let leaf = only_leaf(&offers, &weights);
        assert!(
            leaf.ends_with("%26timestamp%3D1%26version%3D216%26weight%3D300"),
            "{leaf}"
        );
    }

    #[test]
    fn the_proxys_http_service_has_a_project_of_its_own() {
        let mut offers = offers();
        let offer = Offer::http("federation", "v1", "inference", 8059).unwrap();
        offers.replace(BTreeSet::from([offer]), 1);
        let leaf = only_leaf(&offers, &Weights::default());
        let start = "/FATE-SERVICES/federation/v1/inference/providers/http%3A%2F%2F192.0.2.2%3A8059%2Ffederation%2Fv1%2Finference%3F";
        assert!(leaf.starts_with(start), "{leaf}");
    }

    #[test]
    fn the_component_is_as_serving_admin_reads_it() {
        let mut offers = offers();
        assert_eq!(offers.wanted(&Weights::default(), 5).component, None);
        offers.replace(BTreeSet::new(), 1);
        let wanted = offers.wanted(&Weights::default(), 1_795_386_656_136);
        let (path, data) = wanted.component.unwrap();
        assert_eq!(path, "/FATE-COMPONENTS/serving/192.0.2.2:8000");
        let text = String::from_utf8(data).unwrap();
        let id = &offers.process.instance_id;
        assert_eq!(id.len(), 36);
        assert_eq!(
            text,
            format!("{{\"instance_id\":\"{id}\",\"version\":216,\"timestamp\":1795386656136}}")
        );
        offers.withdraw();
        assert_eq!(offers.wanted(&Weights::default(), 5).component, None);
    }

    #[test]
    fn what_peers_could_not_read_is_refused() {
        for id in ["a%b", "a b", "..", "a/b", ""] {
            assert!(Offer::grpc("serving", id, "inference").is_err(), "{id:?}");
        }
    }
}
