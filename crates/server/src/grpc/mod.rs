//! The gRPC edge: four services of FATE-Serving, grpc.health.v1 and reflection on one port (contract 01 §1).

mod common_service;
mod data_transfer;
mod inference;
mod model_content;
mod model_service;

use std::sync::Arc;

use fate_edge::grpc::{GrpcServices, Health};
use fate_proto::common_service::common_service_server::CommonServiceServer;
use fate_proto::inference::inference_service_server::InferenceServiceServer;
use fate_proto::model::model_service_server::ModelServiceServer;
use fate_proto::proxy::data_transfer_service_server::DataTransferServiceServer;
use tonic::server::NamedService;

use crate::node::Node;

/// One edge over the shared node; each service is a trait of the generated code on it.
#[derive(Debug, Clone)]
struct Edge {
    node: Arc<Node>,
}

/// The services of this role, not listening yet, and their health, which starts as NOT_SERVING.
pub(crate) async fn services(node: Arc<Node>) -> Result<(GrpcServices, Health), String> {
    let names = vec![
        InferenceServiceServer::<Edge>::NAME,
        DataTransferServiceServer::<Edge>::NAME,
        ModelServiceServer::<Edge>::NAME,
        CommonServiceServer::<Edge>::NAME,
    ];
    let max_bytes = node.config().max_message_bytes;
    let (services, health) = GrpcServices::new(Arc::clone(&node.held_bytes), names).await?;
    let edge = Edge { node };
    let services = services
        .with(InferenceServiceServer::new(edge.clone()).max_decoding_message_size(max_bytes))
        .with(DataTransferServiceServer::new(edge.clone()).max_decoding_message_size(max_bytes))
        .with(ModelServiceServer::new(edge.clone()).max_decoding_message_size(max_bytes))
        .with(CommonServiceServer::new(edge).max_decoding_message_size(max_bytes));
    Ok((services, health))
}

/// For a call whose work ended with the process's runtime.
fn stopping(error: tokio::task::JoinError) -> tonic::Status {
    tonic::Status::unavailable(format!("the server is stopping: {error}"))
}
