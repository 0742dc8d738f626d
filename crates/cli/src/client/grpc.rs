//! `InferenceService` over gRPC.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use fate_proto::inference::InferenceMessage;
use fate_proto::inference::inference_service_client::InferenceServiceClient;
use fate_server::config::Address;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::{Call, MAX_ANSWER_BYTES, failure, late};

/// One connection to a guest.
#[derive(Debug, Clone)]
pub(crate) struct GrpcClient {
    client: InferenceServiceClient<Channel>,
    address: Address,
    timeout: Duration,
}

/// Connects within `timeout`.
pub(crate) async fn channel(address: &Address, timeout: Duration) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .with_context(|| format!("{address} is no address"))?
        .connect_timeout(timeout)
        .tcp_nodelay(true);
    // The connection's own time-out leaves out the HTTP/2 handshake.
    tokio::time::timeout(timeout, endpoint.connect())
        .await
        .map_err(|_| anyhow::anyhow!(late(timeout)))
        .and_then(|connected| Ok(connected?))
        .with_context(|| format!("cannot connect to {address}"))
}

impl GrpcClient {
    /// `timeout` holds for the connection and for each call.
    pub(crate) async fn connect(
        address: &Address,
        timeout: Duration,
    ) -> anyhow::Result<GrpcClient> {
        let client = InferenceServiceClient::new(channel(address, timeout).await?)
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(GrpcClient {
            client,
            address: address.clone(),
            timeout,
        })
    }

    /// Sends a body and gives the answer's.
    pub(crate) async fn call(&mut self, call: Call, body: Bytes) -> anyhow::Result<Bytes> {
        let mut request = Request::new(InferenceMessage {
            body,
            ..InferenceMessage::default()
        });
        request.set_timeout(self.timeout);
        let answered = async {
            match call {
                Call::Single => self.client.inference(request).await,
                Call::Batch => self.client.batch_inference(request).await,
            }
        };
        match tokio::time::timeout(self.timeout, answered).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().body),
            Ok(Err(status)) => Err(anyhow::anyhow!(self.describe(&status).await)),
            Err(_) => Err(anyhow::anyhow!(late(self.timeout))),
        }
    }

    /// The request's own time-out may end the call an instant before ours does.
    async fn describe(&self, status: &Status) -> String {
        let expired = status.code() == Code::Cancelled && status.message().contains("imeout");
        if expired || status.code() == Code::DeadlineExceeded {
            return late(self.timeout);
        }
        failure(&self.address, status).await
    }
}
