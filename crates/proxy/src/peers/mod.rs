//! Connections to peers: one per address, identity and lane, opened on first use, bounded in calls, closed when the address is
//! no longer anybody's route.

mod condition;
mod grpc;
mod http;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fate_edge::admission::{Gate, Permit};
use fate_edge::config::Address;
use fate_edge::dial::Dialer;
use fate_edge::tls::{ClientFiles, ClientTls, Identity, Protocol, TlsError};
use parking_lot::RwLock;
use tokio::time::{Instant, timeout_at};

use crate::own_server::OwnServer;
use crate::route_table::{HttpTarget, Target, TlsSettings};

use condition::Condition;
pub(crate) use grpc::GrpcPeer;
pub(crate) use http::HttpPeer;

/// What tells connections apart. Two identities at one address are two connections (Java takes the first it sees for
/// both until it is restarted).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PeerKey {
    Grpc {
        address: Address,
        tls: Option<TlsSettings>,
    },
    Http(HttpTarget),
    OwnServer,
}

impl PeerKey {
    /// `None` for a target that leads nowhere.
    pub(crate) fn of(target: &Target) -> Option<Self> {
        match target {
            Target::Grpc { address, tls } => Some(Self::Grpc {
                address: address.clone(),
                tls: tls.clone(),
            }),
            Target::Http(target) => Some(Self::Http(target.clone())),
            Target::OwnServer => Some(Self::OwnServer),
            Target::Unusable(_) => None,
        }
    }
}

/// Why a peer has not answered; the texts say what happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAnswered {
    /// There was no connection: it cannot have done anything.
    #[error("{0}")]
    Unsent(String),
    /// Its time was over. Nobody knows what it has done.
    #[error("no answer in time")]
    Late,
    /// The connection broke. Nobody knows what it has done.
    #[error("{0}")]
    Lost(String),
    /// It answered, but gave no answer to the call.
    #[error("{0}")]
    Failed(String),
}

/// Limits on every peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PeerLimits {
    /// Calls in flight.
    pub(crate) max_in_flight: usize,
    /// Largest answer, in bytes.
    pub(crate) max_message_bytes: usize,
    /// Connecting to an HTTP peer.
    pub(crate) http_connect: Duration,
    /// From then on to the whole answer.
    pub(crate) http_answer: Duration,
    /// Lanes of this process: each has a connection of its own to a gRPC peer it calls.
    pub(crate) lanes: usize,
}

/// A peer that can be called.
#[derive(Debug)]
pub(crate) struct Peer {
    /// For logs.
    name: String,
    gate: Arc<Gate>,
    condition: Condition,
    pub(crate) link: Link,
}

/// The way a peer is spoken to.
#[derive(Debug)]
pub(crate) enum Link {
    Grpc(Box<GrpcPeer>),
    Http(Box<HttpPeer>),
    /// In this process.
    OwnServer(Arc<dyn OwnServer>),
}

impl Peer {
    /// The right to call it once; `None` when as many calls as allowed are in flight.
    pub(crate) fn enter(&self) -> Option<Permit> {
        self.gate.try_enter().ok()
    }
}

/// What a server in this process answers, unless it is late.
pub(crate) async fn in_time<T>(
    deadline: Instant,
    answer: impl Future<Output = T>,
) -> Result<T, NotAnswered> {
    if deadline <= Instant::now() {
        return Err(NotAnswered::Late);
    }
    let answer = timeout_at(deadline, answer).await;
    answer.map_err(|_| NotAnswered::Late)
}

/// All open connections.
pub(crate) struct Peers {
    limits: PeerLimits,
    open: RwLock<HashMap<PeerKey, Arc<Peer>>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.open.read().keys()).finish()
    }
}

impl Peers {
    pub(crate) fn new(limits: PeerLimits) -> Self {
        Self {
            limits,
            open: RwLock::default(),
        }
    }

    /// The same with the server in this process.
    pub(crate) fn with_own_server(self, server: Arc<dyn OwnServer>) -> Self {
        let peer = Peer {
            name: PeerKey::OwnServer.to_string(),
            gate: Gate::new(self.limits.max_in_flight),
            condition: Condition::default(),
            link: Link::OwnServer(server),
        };
        self.open.write().insert(PeerKey::OwnServer, Arc::new(peer));
        self
    }

    /// The peer behind an address. Nothing is dialled yet, but the files of its identity are read the first time.
    ///
    /// # Errors
    /// Its TLS cannot be set up, or the address is not one; the text says why.
    pub(crate) async fn peer(&self, key: &PeerKey) -> Result<Arc<Peer>, String> {
        if let Some(peer) = self.open.read().get(key) {
            return Ok(Arc::clone(peer));
        }
        let (limits, owned) = (self.limits, key.clone());
        // Reads files.
        let opened = tokio::task::spawn_blocking(move || open(owned, limits));
        let opened = opened.await.map_err(|error| error.to_string())??;
        // Of two that were opened at the same time the first stays.
        let mut open = self.open.write();
        let peer = open.entry(key.clone()).or_insert_with(|| Arc::new(opened));
        Ok(Arc::clone(peer))
    }

    /// Whether the peer behind a target does not answer at present.
    pub(crate) fn is_down(&self, target: &Target) -> bool {
        let open = self.open.read();
        // A name is made only when it matters.
        let is_any = open.values().any(|peer| peer.is_down());
        let peer = is_any.then(|| PeerKey::of(target)).flatten();
        peer.and_then(|key| open.get(&key))
            .is_some_and(|peer| peer.is_down())
    }

    /// Closes the connections to all others as soon as their calls are answered.
    pub(crate) fn retain(&self, is_wanted: impl Fn(&PeerKey) -> bool) {
        self.open.write().retain(|key, _| {
            let stays = *key == PeerKey::OwnServer || is_wanted(key);
            if !stays {
                tracing::info!(peer = %key, "no route leads there any longer; its connection is closed");
            }
            stays
        });
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.open.read().len()
    }
}

impl fmt::Display for PeerKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grpc { address, .. } => address.fmt(out),
            Self::Http(target) => target.uri.fmt(out),
            Self::OwnServer => out.write_str("the server in this process"),
        }
    }
}

fn open(key: PeerKey, limits: PeerLimits) -> Result<Peer, String> {
    let (name, gate) = (key.to_string(), Gate::new(limits.max_in_flight));
    let link = match key {
        PeerKey::Grpc { address, tls } => {
            let dialer = match &tls {
                None => Dialer::plain(),
                Some(tls) => secured(tls, Protocol::Http2).map_err(|error| error.to_string())?,
            };
            Link::Grpc(Box::new(GrpcPeer::open(&address, &dialer, limits)?))
        }
        PeerKey::Http(target) => {
            let dialer = if target.uri.scheme_str() == Some("https") {
                secured(&target.tls, Protocol::Http1).map_err(|error| error.to_string())?
            } else {
                Dialer::plain()
            };
            Link::Http(Box::new(HttpPeer::open(target.uri, dialer, limits)))
        }
        PeerKey::OwnServer => return Err("there is no server in this process".to_owned()),
    };
    Ok(Peer {
        name,
        gate,
        condition: Condition::default(),
        link,
    })
}

fn secured(settings: &TlsSettings, protocol: Protocol) -> Result<Dialer, TlsError> {
    let own = settings
        .cert_chain_file
        .clone()
        .zip(settings.private_key_file.clone());
    let files = ClientFiles {
        identity: own.map(|(cert_chain, private_key)| Identity {
            cert_chain,
            private_key,
        }),
        ca: settings.ca_file.clone(),
    };
    Dialer::secured(
        ClientTls::open(&files, protocol)?,
        settings.server_name.as_deref(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers() -> Peers {
        Peers::new(PeerLimits {
            max_in_flight: 2,
            max_message_bytes: 1024,
            http_connect: Duration::from_secs(1),
            http_answer: Duration::from_secs(1),
            lanes: 0,
        })
    }

    fn key(port: u16, tls: Option<TlsSettings>) -> PeerKey {
        PeerKey::Grpc {
            address: Address {
                host: "127.0.0.1".to_owned(),
                port,
            },
            tls,
        }
    }

    #[tokio::test]
    async fn one_connection_per_address_until_no_route_leads_there() {
        let peers = peers();
        let first = peers.peer(&key(1, None)).await.unwrap();
        let again = peers.peer(&key(1, None)).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        peers.peer(&key(2, None)).await.unwrap();
        peers.retain(|kept| *kept == key(2, None));
        assert_eq!(peers.len(), 1);
        let anew = peers.peer(&key(1, None)).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &anew));
    }

    #[tokio::test]
    async fn a_full_peer_takes_no_place_of_another() {
        let peers = peers();
        let (slow, other) = (
            peers.peer(&key(1, None)).await,
            peers.peer(&key(2, None)).await,
        );
        let (slow, other) = (slow.unwrap(), other.unwrap());
        let _held = (slow.enter().unwrap(), slow.enter().unwrap());
        assert!(slow.enter().is_none());
        assert!(other.enter().is_some());
    }

    #[tokio::test]
    async fn an_identity_that_cannot_be_read_opens_nothing() {
        let peers = peers();
        let tls = TlsSettings {
            cert_chain_file: Some("/nonexistent/chain.pem".into()),
            private_key_file: Some("/nonexistent/key.pem".into()),
            ..TlsSettings::default()
        };
        let refused = peers.peer(&key(1, Some(tls))).await.unwrap_err();
        assert!(refused.starts_with("/nonexistent/chain.pem: "), "{refused}");
        assert_eq!(peers.len(), 0);
    }
}
