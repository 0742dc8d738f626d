//! The proxies that the registry knows.

use std::collections::HashMap;

use fate_edge::config::Address;
use fate_registry::{Provider, Registry};
use parking_lot::Mutex;

use super::Link;

const PROJECT: &str = "proxy";
const ENVIRONMENT: &str = "online";
const SERVICE: &str = "unaryCall";

/// A party has a handful of proxies; addresses that were left are forgotten when there are more.
const MAX_LINKS: usize = 64;

/// Connections to the proxies that the registry knows; one is drawn for every call.
#[derive(Debug)]
pub(super) struct RegisteredProxies {
    registry: Registry,
    links: Mutex<HashMap<String, Link>>,
}

impl RegisteredProxies {
    pub(super) fn of(registry: Registry) -> Self {
        Self {
            registry,
            links: Mutex::default(),
        }
    }

    /// The one for a call.
    pub(super) fn link(&self) -> Option<Link> {
        self.link_to(&*self.registry.resolve(PROJECT, ENVIRONMENT, SERVICE)?)
    }

    /// One that is none of these, unless its weight says that it gets no calls.
    pub(super) fn another(&self, tried: &[Link]) -> Option<Link> {
        let snapshot = self.registry.snapshot();
        let known = snapshot.service(PROJECT, ENVIRONMENT, SERVICE)?;
        let is_tried = |one: &Provider| {
            let host = one.host.trim_matches(['[', ']']);
            let is_it = |link: &Link| link.address.port == one.port && link.address.host == host;
            tried.iter().any(is_it)
        };
        let other = known.choose_among(|one| one.weight > 0 && !is_tried(one))?;
        self.link_to(&other)
    }

    fn link_to(&self, provider: &Provider) -> Option<Link> {
        let authority = provider.authority();
        let mut links = self.links.lock();
        if let Some(known) = links.get(&authority) {
            return Some(known.clone());
        }
        let address: Result<Address, String> =
            authority.parse().map_err(|_| "no host:port".to_owned());
        match address.and_then(|address| Link::to(&address)) {
            Ok(link) => {
                if links.len() >= MAX_LINKS {
                    links.clear();
                }
                links.insert(authority, link.clone());
                Some(link)
            }
            Err(cause) => {
                tracing::warn!(
                    authority,
                    cause,
                    "the registered address of a proxy is not usable"
                );
                None
            }
        }
    }

    /// The only address, if there is but one.
    pub(super) fn address(&self) -> Option<String> {
        let snapshot = self.registry.snapshot();
        match snapshot.service(PROJECT, ENVIRONMENT, SERVICE)?.providers() {
            [only] => Some(only.authority()),
            _ => None,
        }
    }
}
