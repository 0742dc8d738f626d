//! Asking the hosts: all at the same time, under one deadline; the first failure ends the request.

use std::time::Duration;

use bytes::Bytes;
use fate_model::Remote;
use fate_proto::proxy::Packet;
use futures::future::try_join_all;
use tokio::time::{Instant, timeout_at};

use super::Guest;
use super::coalesce::{self, SingleCall};
use crate::result_cache::{HostAnswer, RemoteResults, ResultKey};
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

/// How a host's part comes to be known.
#[derive(Debug)]
pub(super) enum Source<'a> {
    /// It is remembered.
    Memory(Bytes),
    /// The host is asked.
    Host(Packet),
    /// The host is asked, unless somebody else is asking the same; a success is remembered.
    Shared(Packet, &'a RemoteResults, ResultKey),
}

/// Each host's answer, in the order of the sources.
pub(super) async fn parts<'a>(
    guest: &'a Guest,
    call: SingleCall<'a>,
    sources: Vec<(&'a Remote, Source<'a>)>,
    deadline: Instant,
) -> Result<Vec<(&'a str, HostAnswer)>, Silent<'a>> {
    let call = &call;
    let answers = sources.into_iter().map(|(host, source)| async move {
        let ask = |packet| coalesce::ask(guest, call, host, packet, deadline);
        let answer = match source {
            Source::Memory(data) => HostAnswer::Remembered(data),
            Source::Host(packet) => HostAnswer::Reply(ask(packet).await?),
            Source::Shared(packet, results, key) => {
                let asked = results.ask_once(key, ask(packet));
                within(host, deadline, asked).await??
            }
        };
        Ok((host.party_id.as_str(), answer))
    });
    // In their own memory: what they are put into is moved about, and they are some kilobytes.
    try_join_all(answers.map(Box::pin)).await
}

/// The body of the reply of each host that is asked, in the order of the packets.
pub(super) async fn replies<'a>(
    guest: &'a Guest,
    packets: Vec<(&'a Remote, Option<Packet>)>,
    deadline: Instant,
) -> Result<Vec<Option<Bytes>>, Silent<'a>> {
    try_join_all(packets.into_iter().map(|(host, packet)| async move {
        match packet {
            Some(packet) => ask(guest, host, packet, deadline).await.map(Some),
            None => Ok(None),
        }
    }))
    .await
}

/// The body of a host's reply to a packet; the transport keeps the deadline.
pub(super) async fn ask<'a>(
    guest: &Guest,
    host: &'a Remote,
    packet: Packet,
    deadline: Instant,
) -> Result<Bytes, Silent<'a>> {
    let party_id = host.party_id.as_str();
    match guest.transport.call(party_id, packet, deadline).await {
        Ok(reply) => Ok(reply.body.unwrap_or_default().value),
        Err(cause) => Err(Silent { party_id, cause }),
    }
}

pub(super) async fn within<T>(
    host: &Remote,
    deadline: Instant,
    work: impl Future<Output = T>,
) -> Result<T, Silent<'_>> {
    let late = |_| Silent {
        party_id: &host.party_id,
        cause: CallError::Timeout,
    };
    timeout_at(deadline, work).await.map_err(late)
}
