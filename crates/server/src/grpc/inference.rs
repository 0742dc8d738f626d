//! `InferenceService`: the guest's clients.

use std::sync::Arc;

use bytes::Bytes;
use fate_edge::grpc::Asked;
use fate_edge::lane;
use fate_proto::inference::InferenceMessage;
use prost::Message as _;
use tonic::Status;

use super::{stopping, undecodable};
use crate::node::Node;

pub(super) const INFERENCE: &str = "/com.webank.ai.fate.api.serving.InferenceService/inference";
pub(super) const BATCH_INFERENCE: &str =
    "/com.webank.ai.fate.api.serving.InferenceService/batchInference";

/// Bytes of a question that is answered on its connection's lane: about a millisecond.
const SHORT: usize = 64 << 10;

/// One row.
pub(super) async fn single(node: Arc<Node>, asked: Asked) -> Result<Bytes, Status> {
    let client = node.client(&asked.headers, asked.address);
    let body = body(asked.message)?;
    if body.len() <= SHORT {
        return Ok(answer(node.infer(body, client).await));
    }
    let answered = lane::aside(async move { node.infer(body, client).await }).await;
    answered.map(answer).map_err(stopping)
}

/// Many rows.
pub(super) async fn batch(node: Arc<Node>, asked: Asked) -> Result<Bytes, Status> {
    let client = node.client(&asked.headers, asked.address);
    let body = body(asked.message)?;
    if body.len() <= SHORT {
        return Ok(answer(node.infer_batch(body, client).await));
    }
    let answered = lane::aside(async move { node.infer_batch(body, client).await }).await;
    answered.map(answer).map_err(stopping)
}

fn body(message: Bytes) -> Result<Bytes, Status> {
    let decoded = InferenceMessage::decode(message);
    decoded.map(|message| message.body).map_err(undecodable)
}

/// Errors of the application are codes inside the body; the call itself is always OK.
fn answer(body: Vec<u8>) -> Bytes {
    let message = InferenceMessage {
        body: body.into(),
        ..InferenceMessage::default()
    };
    message.encode_to_vec().into()
}
