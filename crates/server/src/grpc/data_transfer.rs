//! `DataTransferService`: packets from guests.

use std::sync::Arc;

use bytes::Bytes;
use fate_edge::grpc::Asked;
use fate_edge::lane;
use fate_proto::proxy::Packet;
use prost::Message as _;
use tonic::Status;

use super::{stopping, undecodable};
use crate::node::Node;
use crate::transport::UNARY_CALL;

pub(super) const PATH: &str = UNARY_CALL;

/// Bytes of ids that are answered on their connection's lane: about a hundred rows.
const SHORT_PACKET: usize = 16 << 10;

pub(super) async fn unary_call(node: Arc<Node>, asked: Asked) -> Result<Bytes, Status> {
    let guest = node.peer(&asked.headers);
    let packet = Packet::decode(asked.message).map_err(undecodable)?;
    let length = packet.body.as_ref().map_or(0, |body| body.value.len());
    if length <= SHORT_PACKET {
        return Ok(answer(&node.unary_call(packet, guest).await));
    }
    let answered = lane::aside(async move { node.unary_call(packet, guest).await }).await;
    let reply = answered.map_err(stopping)?;
    Ok(answer(&reply))
}

fn answer(reply: &Packet) -> Bytes {
    reply.encode_to_vec().into()
}
