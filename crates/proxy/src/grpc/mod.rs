//! The gRPC ports (contract 04 A.1): `inter` for other parties' proxies, which has `DataTransferService` only, and
//! `intra` for this party's own servers, which has everything.

mod common_service;
mod raw_service;
mod router_table;

use std::sync::Arc;

use fate_edge::grpc::{GrpcServices, Health};
use fate_proto::common_service::common_service_server::CommonServiceServer;
use fate_proto::router::router_table_service_server::RouterTableServiceServer;
use tonic::server::NamedService;
use tonic::{Request, Status};

use crate::forward::Arrival;
use crate::node::Node;

pub(crate) use raw_service::UNARY_CALL;
use raw_service::{DataTransfer, Inference};

/// The services of both roles that are ordinary ones; each is a trait of the generated code on it.
#[derive(Debug, Clone)]
struct Edge {
    node: Arc<Node>,
}

impl Edge {
    /// Lets in who may change something: everybody, or with `admin.token.grpc` those who bring the token along.
    fn administrators_only<T>(&self, request: &Request<T>) -> Result<(), Status> {
        match &self.node.config().grpc_admin_token {
            Some(token) if !token.is_in(request.metadata().as_ref()) => {
                tracing::warn!(
                    "a change over the intra port is refused: it has not got admin.token"
                );
                let text = "the request needs admin.token, as authorization: Bearer";
                Err(Status::unauthenticated(text))
            }
            _ => Ok(()),
        }
    }
}

/// What other parties reach.
pub(crate) async fn inter(node: &Arc<Node>) -> Result<(GrpcServices, Health), String> {
    let names = vec![DataTransfer::NAME];
    let budget = Arc::clone(&node.strangers_bytes);
    let (services, health) = GrpcServices::new(budget, names).await?;
    let services = services.with(DataTransfer::new(Arc::clone(node), Arrival::Inter));
    Ok((services, health))
}

/// What this party's servers reach.
pub(crate) async fn intra(node: &Arc<Node>) -> Result<(GrpcServices, Health), String> {
    let names = vec![
        DataTransfer::NAME,
        Inference::NAME,
        CommonServiceServer::<Edge>::NAME,
        RouterTableServiceServer::<Edge>::NAME,
    ];
    let max_bytes = node.config().max_message_bytes;
    let (services, health) = GrpcServices::new(Arc::clone(&node.held_bytes), names).await?;
    let edge = Edge {
        node: Arc::clone(node),
    };
    let services = services
        .with(DataTransfer::new(Arc::clone(node), Arrival::Intra))
        .with(Inference::new(Arc::clone(node)))
        .with(CommonServiceServer::new(edge.clone()).max_decoding_message_size(max_bytes))
        .with(RouterTableServiceServer::new(edge).max_decoding_message_size(max_bytes));
    Ok((services, health))
}
