//! The way to the hosts: directly by party id, through the proxy in this process, through one that the registry knows, or
//! through the configured one.
//!
//! What was never sent to one proxy goes to another; whoever may have got it is the last that is asked.

mod registered;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use bytes::Bytes;
use fate_edge::channel::{MAX_MESSAGE_BYTES, is_timeout, status_name};
use fate_edge::config::Address;
use fate_edge::dial::Dialer;
use fate_edge::lane;
use fate_edge::trace;
use fate_edge::unary::{LaneClients, Unanswered};
use fate_federation::{CallError, HostTransport};
use fate_proto::proxy::Packet;
use fate_registry::Registry;
use futures::future::BoxFuture;
use prost::Message as _;
use tokio::time::Instant;

use registered::RegisteredProxies;

pub(crate) const UNARY_CALL: &str =
    "/com.webank.ai.fate.api.networking.proxy.DataTransferService/unaryCall";

/// Where packets for a party go. One connection per address.
#[derive(Debug)]
pub(crate) struct Routes {
    hosts: BTreeMap<String, Link>,
    own_proxy: Option<Arc<dyn HostTransport>>,
    registry: Option<RegisteredProxies>,
    proxy: Option<Link>,
}

#[derive(Debug, Clone)]
struct Link {
    address: Address,
    clients: Arc<LaneClients>,
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
            registry: registry.map(RegisteredProxies::of),
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

    /// The way for a packet that could not be sent on any of these.
    fn another(&self, party_id: &str, tried: &[Link]) -> Option<Link> {
        if self.hosts.contains_key(party_id) {
            return None;
        }
        let registered = || self.registry.as_ref()?.another(tried);
        let is_untried = |proxy: &&Link| tried.iter().all(|link| link.address != proxy.address);
        registered().or_else(|| self.proxy.as_ref().filter(is_untried).cloned())
    }

    async fn send(
        &self,
        party_id: &str,
        packet: Packet,
        deadline: Instant,
    ) -> Result<Packet, CallError> {
        let mut link = self.link(party_id)?;
        let message = Bytes::from(packet.encode_to_vec());
        drop(packet);
        let mut tried = Vec::new();
        loop {
            let cause = match link.call(message.clone(), deadline).await {
                Ok(reply) => return link.packet(reply),
                Err(cause) => cause,
            };
            let is_unsent = matches!(cause, Unanswered::Unsent(_));
            let error = link.unanswered(cause);
            if !is_unsent {
                return Err(error);
            }
            tracing::warn!(party_id, %error, "a packet was not sent");
            tried.push(link);
            link = self.another(party_id, &tried).ok_or(error)?;
        }
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
        Box::pin(self.send(party_id, packet, deadline))
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
        let lanes = lane::fitting();
        let clients = LaneClients::open(address, &Dialer::plain(), MAX_MESSAGE_BYTES, lanes)?;
        Ok(Self {
            address: address.clone(),
            clients: Arc::new(clients),
        })
    }

    async fn call(&self, message: Bytes, deadline: Instant) -> Result<Bytes, Unanswered> {
        let mut headers = HeaderMap::new();
        if let Some(context) = trace::current() {
            context.write(&mut headers);
        }
        let client = self.clients.here();
        client.call(UNARY_CALL, message, &headers, deadline).await
    }

    fn packet(&self, reply: Bytes) -> Result<Packet, CallError> {
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
mod tests;
