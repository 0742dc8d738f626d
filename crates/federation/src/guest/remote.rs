//! Asking the hosts: all at the same time, under one deadline; the first failure ends the request.

use std::time::Duration;

use bytes::Bytes;
use fate_model::Remote;
use fate_proto::proxy::Packet;
use futures::future::try_join_all;
use tokio::time::{Instant, timeout_at};

use super::Guest;
use crate::transport::CallError;

/// A host that gave no reply.
#[derive(Debug)]
pub(super) struct Silent<'a> {
    pub(super) party_id: &'a str,
    pub(super) cause: CallError,
}

impl Silent<'_> {
    /// The cause in the words of a single answer. `limit` is the time all hosts had.
    pub(super) fn text(&self, limit: Duration) -> String {
        match &self.cause {
            CallError::Timeout => {
                format!("Waited {} milliseconds for its answer", limit.as_millis())
            }
            cause => cause.to_string(),
        }
    }
}

/// The body of each host's reply, in the order of the packets.
pub(super) async fn ask<'a>(
    guest: &'a Guest,
    packets: Vec<(&'a Remote, Packet)>,
    limit: Duration,
) -> Result<Vec<(&'a str, Bytes)>, Silent<'a>> {
    let deadline = Instant::now() + limit;
    try_join_all(packets.into_iter().map(|(host, packet)| async move {
        let party_id = host.party_id.as_str();
        let call = guest.transport.call(party_id, packet, deadline);
        match timeout_at(deadline, call).await {
            Ok(Ok(reply)) => Ok((party_id, reply.body.unwrap_or_default().value)),
            Ok(Err(cause)) => Err(Silent { party_id, cause }),
            Err(_) => Err(Silent {
                party_id,
                cause: CallError::Timeout,
            }),
        }
    }))
    .await
}
