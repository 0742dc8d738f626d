//! How packets reach a host: a trait, so that the federation knows nothing of gRPC, proxies or registries.

use fate_proto::proxy::Packet;
use futures::future::BoxFuture;
use tokio::time::Instant;

/// Why a host gave no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Neither a proxy nor an address of the party is known.
    #[error("no route")]
    NoRoute,
    /// Proxies are found through the registry, which knows none.
    #[error("no proxy is registered")]
    NoRegisteredProxy,
    /// The deadline passed.
    #[error("no answer in time")]
    Timeout,
    /// The connection or the peer failed; the text says how.
    #[error("{0}")]
    Unavailable(String),
}

/// The way to other parties.
pub trait HostTransport: Send + Sync + std::fmt::Debug {
    /// Sends a packet to a party and waits for its reply, not longer than `deadline`.
    fn call<'a>(
        &'a self,
        party_id: &'a str,
        packet: Packet,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Packet, CallError>>;

    /// Starts work that several calls wait for: it goes on when the call that began it has ended.
    fn go_on(&self, work: BoxFuture<'static, ()>) {
        tokio::spawn(work);
    }

    /// Is told that a party's reply, or that of a proxy on the way, was a refusal of the call.
    fn refused(&self, _party_id: &str) {}

    /// Where packets for a party go now, `host:port`, for logs; none if nowhere.
    fn address(&self, party_id: &str) -> Option<String>;
}
