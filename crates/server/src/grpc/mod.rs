//! The gRPC edge: four services of FATE-Serving, grpc.health.v1 and reflection on one port (contract 01 §1).

mod common_service;
mod data_transfer;
mod inference;
mod model_content;
mod model_service;

use std::sync::Arc;

use bytes::Bytes;
use fate_edge::grpc::{Asked, GrpcServices, Health};
use fate_proto::common_service::common_service_server::{self, CommonServiceServer};
use fate_proto::inference::inference_service_server;
use fate_proto::model::model_service_server::{self, ModelServiceServer};
use fate_proto::proxy::data_transfer_service_server;
use tonic::Status;

use crate::node::Node;

/// One edge over the shared node; the services of management are traits of the generated code on it.
#[derive(Debug, Clone)]
struct Edge {
    node: Arc<Node>,
}

/// The services of this role, not listening yet, and their health, which starts as NOT_SERVING.
pub(crate) async fn services(node: Arc<Node>) -> Result<(GrpcServices, Health), String> {
    let names = vec![
        inference_service_server::SERVICE_NAME,
        data_transfer_service_server::SERVICE_NAME,
        model_service_server::SERVICE_NAME,
        common_service_server::SERVICE_NAME,
    ];
    let max_bytes = node.config().max_message_bytes;
    let (services, health) = GrpcServices::new(Arc::clone(&node.held_bytes), names).await?;
    let edge = Edge {
        node: Arc::clone(&node),
    };
    let services = services
        .with(ModelServiceServer::new(edge.clone()).max_decoding_message_size(max_bytes))
        .with(CommonServiceServer::new(edge).max_decoding_message_size(max_bytes))
        .with_unary(
            inference::INFERENCE,
            max_bytes,
            on(Arc::clone(&node), inference::single),
        )
        .with_unary(
            inference::BATCH_INFERENCE,
            max_bytes,
            on(Arc::clone(&node), inference::batch),
        )
        .with_unary(
            data_transfer::PATH,
            max_bytes,
            on(Arc::clone(&node), data_transfer::unary_call),
        );
    Ok((services, health))
}

/// A method of a node.
fn on<F: Future<Output = Result<Bytes, Status>>>(
    node: Arc<Node>,
    method: impl Fn(Arc<Node>, Asked) -> F,
) -> impl Fn(Asked) -> F {
    move |asked| method(Arc::clone(&node), asked)
}

/// As the generated code says it.
fn undecodable(cause: prost::DecodeError) -> Status {
    Status::internal(cause.to_string())
}

/// For a call whose work ended with the process's runtime.
fn stopping(error: tokio::task::JoinError) -> Status {
    Status::unavailable(format!("the server is stopping: {error}"))
}
