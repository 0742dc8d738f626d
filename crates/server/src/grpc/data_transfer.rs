//! `DataTransferService`: packets from guests.

use std::sync::Arc;

use fate_edge::lane;
use fate_proto::proxy::Packet;
use fate_proto::proxy::data_transfer_service_server::DataTransferService;
use tonic::{Request, Response, Status};

use super::Edge;

/// Bytes of ids that are answered on their connection's lane: about a hundred rows.
const SHORT_PACKET: usize = 16 << 10;

#[tonic::async_trait]
impl DataTransferService for Edge {
    async fn unary_call(&self, request: Request<Packet>) -> Result<Response<Packet>, Status> {
        let guest = self.node.peer(request.metadata().as_ref());
        let packet = request.into_inner();
        let length = packet.body.as_ref().map_or(0, |body| body.value.len());
        if length <= SHORT_PACKET {
            return Ok(Response::new(self.node.unary_call(packet, guest).await));
        }
        let node = Arc::clone(&self.node);
        let answered = lane::aside(async move { node.unary_call(packet, guest).await }).await;
        answered.map(Response::new).map_err(super::stopping)
    }
}
