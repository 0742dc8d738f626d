//! The way to the hosts: directly by party id, through the proxy in this process, through one that the registry knows, or
//! through the configured one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::http::HeaderMap;
use bytes::Bytes;
use fate_edge::channel::{MAX_MESSAGE_BYTES, is_timeout, status_name};
use fate_edge::config::Address;
use fate_edge::dial::Dialer;
use fate_edge::lane;
use fate_edge::trace;
use fate_edge::unary::{Unanswered, UnaryClient};
use fate_federation::{CallError, HostTransport};
use fate_proto::proxy::Packet;
use fate_registry::Registry;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::time::Instant;

const UNARY_CALL: &str = "/com.webank.ai.fate.api.networking.proxy.DataTransferService/unaryCall";

/// Where packets for a party go. One connection per address.
#[derive(Debug)]
pub(crate) struct Routes {
    hosts: BTreeMap<String, Link>,
    own_proxy: Option<Arc<dyn HostTransport>>,
    registry: Option<RegisteredProxies>,
    proxy: Option<Link>,
}

/// Connections to the proxies that the registry knows; one is drawn for every call.
#[derive(Debug)]
struct RegisteredProxies {
    registry: Registry,
    links: Mutex<HashMap<String, Link>>,
}

/// A party has a handful of proxies; addresses that were left are forgotten when there are more.
const MAX_LINKS: usize = 64;

impl RegisteredProxies {
    fn link(&self) -> Option<Link> {
        let provider = self.registry.resolve("proxy", "online", "unaryCall")?;
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
    fn address(&self) -> Option<String> {
        let snapshot = self.registry.snapshot();
        match snapshot
            .service("proxy", "online", "unaryCall")?
            .providers()
        {
            [only] => Some(only.authority()),
            _ => None,
        }
    }
}

#[derive(Debug, Clone)]
struct Link {
    address: Address,
    /// One for each lane and one for the rest of the process: a call changes no thread.
    clients: Arc<[UnaryClient]>,
}

impl Routes {
    /// Parties in `hosts` are reached directly, all others through a proxy of the registry, or `proxy` when it knows
    /// none.
    pub(crate) fn new(
        hosts: &BTreeMap<String, Address>,
        registry: Option<Registry>,
        proxy: Option<&Address>,
    ) -> Result<Self, String> {
        let hosts = hosts
            .iter()
            .map(|(party, address)| Ok((party.clone(), Link::to(address)?)))
            .collect::<Result<_, String>>()?;
        Ok(Self {
            hosts,
            own_proxy: None,
            registry: registry.map(|registry| RegisteredProxies {
                registry,
                links: Mutex::default(),
            }),
            proxy: proxy.map(Link::to).transpose()?,
        })
    }

    /// The same with a proxy in this process, which takes the place of all others.
    pub(crate) fn with_own_proxy(self, own_proxy: Option<Arc<dyn HostTransport>>) -> Self {
        Self { own_proxy, ..self }
    }

    /// The proxy in this process, unless the party is reached directly.
    fn own_proxy(&self, party_id: &str) -> Option<&dyn HostTransport> {
        let own = self.own_proxy.as_deref();
        own.filter(|_| !self.hosts.contains_key(party_id))
    }

    fn link(&self, party_id: &str) -> Result<Link, CallError> {
        let direct = self.hosts.get(party_id).cloned();
        let registered = || self.registry.as_ref()?.link();
        let found = direct.or_else(registered).or_else(|| self.proxy.clone());
        found.ok_or(match self.registry {
            Some(_) => CallError::NoRegisteredProxy,
            None => CallError::NoRoute,
        })
    }
}

impl HostTransport for Routes {
    fn call<'a>(
        &'a self,
        party_id: &'a str,
        packet: Packet,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Packet, CallError>> {
        if let Some(own) = self.own_proxy(party_id) {
            return own.call(party_id, packet, deadline);
        }
        let link = self.link(party_id);
        Box::pin(async move { link?.call(packet, deadline).await })
    }

    fn address(&self, party_id: &str) -> Option<String> {
        if let Some(own) = self.own_proxy(party_id) {
            return own.address(party_id);
        }
        let configured = |link: &Link| link.address.to_string();
        let direct = self.hosts.get(party_id).map(configured);
        let registered = || self.registry.as_ref()?.address();
        direct
            .or_else(registered)
            .or_else(|| self.proxy.as_ref().map(configured))
    }
}

impl Link {
    fn to(address: &Address) -> Result<Self, String> {
        let open = |_| UnaryClient::open(address, Dialer::plain(), MAX_MESSAGE_BYTES);
        Ok(Self {
            address: address.clone(),
            clients: (0..=lane::fitting()).map(open).collect::<Result<_, _>>()?,
        })
    }

    async fn call(&self, packet: Packet, deadline: Instant) -> Result<Packet, CallError> {
        let message = Bytes::from(packet.encode_to_vec());
        drop(packet);
        let mut headers = HeaderMap::new();
        if let Some(context) = trace::current() {
            context.write(&mut headers);
        }
        let client = &self.clients[lane::place() % self.clients.len()];
        let answer = client.call(UNARY_CALL, message, &headers, deadline);
        let reply = answer.await.map_err(|cause| self.unanswered(cause))?;
        Packet::decode(reply).map_err(|cause| {
            let text = format!("the answer is no packet: {cause} ({})", self.address);
            CallError::Unavailable(text)
        })
    }

    /// `UNAVAILABLE: <what the peer or the connection said> (127.0.0.1:8879)`.
    fn unanswered(&self, cause: Unanswered) -> CallError {
        let text = match cause {
            Unanswered::Late => return CallError::Timeout,
            Unanswered::Said(status) if is_timeout(&status) => return CallError::Timeout,
            Unanswered::Said(status) => {
                format!("{}: {}", status_name(status.code()), status.message())
            }
            Unanswered::Unsent(cause) | Unanswered::Lost(cause) => cause,
        };
        CallError::Unavailable(format!("{text} ({})", self.address))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn routes(hosts: &[(&str, String)], proxy: Option<String>) -> Routes {
        let hosts = hosts
            .iter()
            .map(|(party, address)| ((*party).to_owned(), address.parse().unwrap()))
            .collect();
        let proxy: Option<Address> = proxy.map(|address| address.parse().unwrap());
        Routes::new(&hosts, None, proxy.as_ref()).unwrap()
    }

    async fn error(routes: &Routes, party: &str, limit: Duration) -> CallError {
        let deadline = Instant::now() + limit;
        routes
            .call(party, Packet::default(), deadline)
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn a_party_without_a_route_is_told_apart() {
        let routes = routes(&[("10000", "127.0.0.1:1".to_owned())], None);
        let error = error(&routes, "10001", Duration::from_secs(1)).await;
        assert!(matches!(error, CallError::NoRoute), "{error:?}");
        assert_eq!(routes.address("10001"), None);
        assert_eq!(routes.address("10000").as_deref(), Some("127.0.0.1:1"));
    }

    #[tokio::test]
    async fn a_closed_port_is_unavailable_at_once_and_names_the_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let routes = routes(&[], Some(address.clone()));
        let error = error(&routes, "10000", Duration::from_secs(30)).await;
        let CallError::Unavailable(text) = error else {
            panic!("{error:?}")
        };
        assert!(text.starts_with("UNAVAILABLE: "), "{text}");
        assert!(text.ends_with(&format!("({address})")), "{text}");
    }

    #[tokio::test]
    async fn a_peer_that_never_speaks_costs_no_more_than_the_deadline() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let routes = routes(&[], Some(listener.local_addr().unwrap().to_string()));
        let started = Instant::now();
        let error = error(&routes, "10000", Duration::from_millis(200)).await;
        assert!(matches!(error, CallError::Timeout), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
