//! A peer that speaks gRPC.

use bytes::Bytes;
use fate_edge::channel::{innermost, is_timeout, is_unsent, lazy_channel_over, status_name};
use fate_edge::config::Address;
use fate_edge::dial::Dialer;
use hyper::http::uri::PathAndQuery;
use tokio::time::{Instant, timeout_at};
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::NotAnswered;
use super::condition::PROBE_LIMIT;
use crate::call::CallContext;
use crate::grpc::RawCodec;

const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// A channel: connects when it is needed, and again after a loss. Pings tell a dead connection from a quiet one.
#[derive(Debug)]
pub(crate) struct GrpcPeer {
    channel: Channel,
    max_message_bytes: usize,
}

impl GrpcPeer {
    /// Must be called inside a tokio runtime.
    pub(super) fn open(
        address: &Address,
        dialer: Dialer,
        max_message_bytes: usize,
    ) -> Result<Self, String> {
        Ok(Self {
            channel: lazy_channel_over(address, dialer)?,
            max_message_bytes,
        })
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
        let metadata = MetadataMap::from_headers(call.passed_on.clone());
        match self.ask(path, message, metadata, deadline).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(status)) if is_unsent(&status) => Err(NotAnswered::Unsent(describe(&status))),
            Some(Err(status)) if is_timeout(&status) => Err(NotAnswered::Late),
            Some(Err(status)) => Err(NotAnswered::Failed(describe(&status))),
            None => Err(NotAnswered::Late),
        }
    }

    /// Whether there is anybody who answers. Peers without `grpc.health.v1`, such as Java ones, say so, and live.
    pub(super) async fn is_alive(&self) -> bool {
        let deadline = Instant::now() + PROBE_LIMIT;
        let answer = self.ask(HEALTH_CHECK, Bytes::new(), MetadataMap::new(), deadline);
        match answer.await {
            Some(Ok(_)) => true,
            Some(Err(status)) => status.code() != Code::Unavailable && !is_timeout(&status),
            None => false,
        }
    }

    /// `None` when the time is over.
    async fn ask(
        &self,
        path: &'static str,
        message: Bytes,
        metadata: MetadataMap,
        deadline: Instant,
    ) -> Option<Result<Bytes, Status>> {
        let mut request = Request::new(message);
        *request.metadata_mut() = metadata;
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        let mut client = Grpc::new(self.channel.clone())
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(usize::MAX);
        let answer = async {
            client
                .ready()
                .await
                .map_err(|error| Status::from_error(Box::new(error)))?;
            let path = PathAndQuery::from_static(path);
            client.unary(request, path, RawCodec).await
        };
        let answer = timeout_at(deadline, answer).await.ok()?;
        Some(answer.map(Response::into_inner))
    }
}

/// `UNAVAILABLE: Connection refused (os error 111)`.
fn describe(status: &Status) -> String {
    let cause = innermost(status).unwrap_or_else(|| status.message().to_owned());
    format!("{}: {cause}", status_name(status.code()))
}
