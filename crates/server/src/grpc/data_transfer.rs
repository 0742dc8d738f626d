//! `DataTransferService`: packets from guests.

use fate_proto::proxy::Packet;
use fate_proto::proxy::data_transfer_service_server::DataTransferService;
use tonic::{Request, Response, Status};

use super::Edge;

#[tonic::async_trait]
impl DataTransferService for Edge {
    async fn unary_call(&self, request: Request<Packet>) -> Result<Response<Packet>, Status> {
        let guest = self.node.peer(request.metadata().as_ref());
        let reply = self.node.unary_call(request.into_inner(), guest).await;
        Ok(Response::new(reply))
    }
}
