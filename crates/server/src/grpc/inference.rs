//! `InferenceService`: the guest's clients.

use std::sync::Arc;

use fate_edge::connections::Origin;
use fate_edge::lane;
use fate_proto::inference::InferenceMessage;
use fate_proto::inference::inference_service_server::InferenceService;
use tonic::{Request, Response, Status};

use super::Edge;
use crate::caller::Caller;

/// Bytes of a batch that is answered on its connection's lane: about a millisecond.
const SHORT_BATCH: usize = 64 << 10;

#[tonic::async_trait]
impl InferenceService for Edge {
    async fn inference(
        &self,
        request: Request<InferenceMessage>,
    ) -> Result<Response<InferenceMessage>, Status> {
        let client = self.client(&request);
        let body = self.node.infer(request.into_inner().body, client).await;
        Ok(Response::new(answer(body)))
    }

    async fn batch_inference(
        &self,
        request: Request<InferenceMessage>,
    ) -> Result<Response<InferenceMessage>, Status> {
        let client = self.client(&request);
        let body = request.into_inner().body;
        if body.len() <= SHORT_BATCH {
            return Ok(Response::new(answer(
                self.node.infer_batch(body, client).await,
            )));
        }
        let node = Arc::clone(&self.node);
        let answered = lane::aside(async move { node.infer_batch(body, client).await }).await;
        answered
            .map(|body| Response::new(answer(body)))
            .map_err(super::stopping)
    }
}

impl Edge {
    fn client<T>(&self, request: &Request<T>) -> Caller {
        let address = Origin::address(request.extensions());
        self.node.client(request.metadata().as_ref(), address)
    }
}

/// Errors of the application are codes inside the body; the call itself is always OK.
fn answer(body: Vec<u8>) -> InferenceMessage {
    InferenceMessage {
        body: body.into(),
        ..InferenceMessage::default()
    }
}
