//! The gRPC edge: four services of FATE-Serving, grpc.health.v1 and reflection on one port (contract 01 §1).

mod common_service;
mod data_transfer;
mod inference;
mod metered;
mod model_content;
mod model_service;

use std::sync::Arc;
use std::time::Duration;

use fate_proto::common_service::common_service_server::CommonServiceServer;
use fate_proto::inference::inference_service_server::InferenceServiceServer;
use fate_proto::model::model_service_server::ModelServiceServer;
use fate_proto::proxy::data_transfer_service_server::DataTransferServiceServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic::transport::server::Router;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::layer::util::{Identity, Stack};

use crate::connections;
use crate::node::Node;
use metered::MeterLayer;

/// Streams of one connection. What all of them hold is bounded by the budget of bytes, see `metered`.
const MAX_CONCURRENT_STREAMS: u32 = 64;
/// Health and reflection take names, not data.
const MAX_NAME_BYTES: usize = 16 << 10;

/// One edge over the shared node; each service is a trait of the generated code on it.
#[derive(Debug, Clone)]
struct Edge {
    node: Arc<Node>,
}

/// Reports the state of the server and of each service to grpc.health.v1.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
}

impl Health {
    pub(crate) async fn set_serving(&self, is_serving: bool) {
        let status = if is_serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in [
            "",
            InferenceServiceServer::<Edge>::NAME,
            DataTransferServiceServer::<Edge>::NAME,
            ModelServiceServer::<Edge>::NAME,
            CommonServiceServer::<Edge>::NAME,
        ] {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

/// A server that has been put together but does not listen yet.
pub(crate) struct GrpcEdge {
    router: Router<Stack<MeterLayer, Identity>>,
}

impl std::fmt::Debug for GrpcEdge {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("GrpcEdge")
    }
}

impl GrpcEdge {
    /// The health state starts as NOT_SERVING.
    pub(crate) async fn new(node: Arc<Node>) -> Result<(Self, Health), String> {
        let (reporter, health_server) = tonic_health::server::health_reporter();
        let health = Health { reporter };
        health.set_serving(false).await;
        let max_bytes = node.config.max_message_bytes;
        let budget = Arc::clone(&node.held_bytes);
        let edge = Edge { node };
        let v1 = reflection()
            .build_v1()
            .map_err(|error| format!("reflection cannot be set up: {error}"))?;
        let v1alpha = reflection()
            .build_v1alpha()
            .map_err(|error| format!("reflection cannot be set up: {error}"))?;
        let router = tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .http2_keepalive_interval(Some(Duration::from_secs(20)))
            .http2_keepalive_timeout(Some(Duration::from_secs(10)))
            .layer(MeterLayer { budget })
            .add_service(health_server.max_decoding_message_size(MAX_NAME_BYTES))
            .add_service(v1.max_decoding_message_size(MAX_NAME_BYTES))
            .add_service(v1alpha.max_decoding_message_size(MAX_NAME_BYTES))
            .add_service(
                InferenceServiceServer::new(edge.clone()).max_decoding_message_size(max_bytes),
            )
            .add_service(
                DataTransferServiceServer::new(edge.clone()).max_decoding_message_size(max_bytes),
            )
            .add_service(ModelServiceServer::new(edge.clone()).max_decoding_message_size(max_bytes))
            .add_service(CommonServiceServer::new(edge).max_decoding_message_size(max_bytes));
        Ok((Self { router }, health))
    }

    /// Serves until `stop` is cancelled and the calls in flight are answered.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let accepted = connections::accept_http2(listener);
        let served = self
            .router
            .serve_with_incoming_shutdown(accepted, stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "the gRPC listener failed");
        }
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(fate_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
