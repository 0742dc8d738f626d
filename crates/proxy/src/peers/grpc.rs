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
use tonic::{Request, Status};

use super::NotAnswered;
use crate::call::CallContext;
use crate::grpc::RawCodec;

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
        let mut request = Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(call.passed_on.clone());
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
        let late = || NotAnswered::Failed("no answer in time".to_owned());
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) if is_unsent(&status) => Err(NotAnswered::Unsent(describe(&status))),
            Ok(Err(status)) if is_timeout(&status) => Err(late()),
            Ok(Err(status)) => Err(NotAnswered::Failed(describe(&status))),
            Err(_) => Err(late()),
        }
    }
}

/// `UNAVAILABLE: Connection refused (os error 111)`.
fn describe(status: &Status) -> String {
    let cause = innermost(status).unwrap_or_else(|| status.message().to_owned());
    format!("{}: {cause}", status_name(status.code()))
}
