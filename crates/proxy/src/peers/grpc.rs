//! A peer that speaks gRPC.

use bytes::Bytes;
use fate_edge::channel::{is_timeout, status_name};
use fate_edge::config::Address;
use fate_edge::dial::Dialer;
use fate_edge::unary::{LaneClients, Unanswered};
use hyper::http::HeaderMap;
use tokio::time::Instant;
use tonic::Status;

use super::condition::PROBE_LIMIT;
use super::{NotAnswered, PeerLimits};
use crate::call::CallContext;

const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// An address; connected when it is needed.
#[derive(Debug)]
pub(crate) struct GrpcPeer {
    clients: LaneClients,
}

impl GrpcPeer {
    pub(super) fn open(
        address: &Address,
        dialer: &Dialer,
        limits: PeerLimits,
    ) -> Result<Self, String> {
        let PeerLimits {
            max_message_bytes,
            lanes,
            ..
        } = limits;
        let clients = LaneClients::open(address, dialer, max_message_bytes, lanes)?;
        Ok(Self { clients })
    }

    /// Sends a message and waits for its answer, not longer than `deadline`; the peer is told how long that is. Dropping
    /// the future cancels the call at the peer.
    ///
    /// # Errors
    /// There is no answer; the text says why.
    pub(crate) async fn unary(
        &self,
        path: &'static str,
        message: Bytes,
        call: &CallContext,
        deadline: Instant,
    ) -> Result<Bytes, NotAnswered> {
        let client = self.clients.here();
        match client.call(path, message, &call.passed_on, deadline).await {
            Err(Unanswered::Unsent(cause)) => Err(NotAnswered::Unsent(cause)),
            Err(Unanswered::Late) => Err(NotAnswered::Late),
            Err(Unanswered::Said(status)) if is_timeout(&status) => Err(NotAnswered::Late),
            Err(Unanswered::Said(status)) => Err(NotAnswered::Failed(describe(&status))),
            Err(Unanswered::Lost(cause)) => Err(NotAnswered::Lost(cause)),
            Ok(answer) => Ok(answer),
        }
    }

    /// Whether there is anybody who answers. Peers without `grpc.health.v1`, such as Java ones, say so, and live.
    pub(super) async fn is_alive(&self) -> bool {
        let deadline = Instant::now() + PROBE_LIMIT;
        let none = HeaderMap::new();
        let client = self.clients.here();
        let answer = client.call(HEALTH_CHECK, Bytes::new(), &none, deadline);
        matches!(answer.await, Ok(_) | Err(Unanswered::Said(_)))
    }
}

/// `UNAVAILABLE: Connection refused (os error 111)`.
fn describe(status: &Status) -> String {
    format!("{}: {}", status_name(status.code()), status.message())
}

#[cfg(test)]
mod tests;
