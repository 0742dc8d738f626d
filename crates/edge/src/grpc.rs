//! A gRPC listener of any role: its bounds, `grpc.health.v1` and reflection.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::Router;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Service;
use tower::layer::util::{Identity, Stack};

use crate::adaptive::Lateness;
use crate::connections::{self, Arrivals};
use crate::intake::ByteBudget;
use crate::lane;
use crate::metered::MeterLayer;
use crate::tls::ServerTls;

/// Streams of one connection: as many as a proxy has calls to one peer, else they would wait in line unseen. What all of
/// them hold is bounded by the budget of bytes, see `metered`.
const MAX_CONCURRENT_STREAMS: u32 = 256;
/// Health and reflection take names, not data.
const MAX_NAME_BYTES: usize = 16 << 10;

/// Reports the state of the server and of each service to grpc.health.v1.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    services: Vec<&'static str>,
}

impl Health {
    /// SERVING or NOT_SERVING, for the server as a whole and for each service.
    pub async fn set_serving(&self, is_serving: bool) {
        let status = if is_serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in std::iter::once(&"").chain(&self.services) {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

/// Services that have been put together but do not listen yet.
pub struct GrpcServices {
    router: Router<Stack<MeterLayer, Identity>>,
    tls: Option<ServerTls>,
    lateness: Option<Arc<Lateness>>,
}

impl std::fmt::Debug for GrpcServices {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("GrpcServices")
    }
}

impl GrpcServices {
    /// Health and reflection; `names` are the services that will be added. The health state starts as NOT_SERVING.
    pub async fn new(
        budget: Arc<ByteBudget>,
        names: Vec<&'static str>,
    ) -> Result<(Self, Health), String> {
        let (reporter, health_server) = tonic_health::server::health_reporter();
        let v1 = reflection(&names)
            .build_v1()
            .map_err(|error| format!("reflection cannot be set up: {error}"))?;
        let v1alpha = reflection(&names)
            .build_v1alpha()
            .map_err(|error| format!("reflection cannot be set up: {error}"))?;
        let health = Health {
            reporter,
            services: names,
        };
        health.set_serving(false).await;
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
            .add_service(v1alpha.max_decoding_message_size(MAX_NAME_BYTES));
        let services = Self {
            router,
            tls: None,
            lateness: None,
        };
        Ok((services, health))
    }

    /// One more service.
    pub fn with<S>(self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Self {
            router: self.router.add_service(service),
            ..self
        }
    }

    /// Only secured connections.
    pub fn secured(self, tls: ServerTls) -> Self {
        Self {
            tls: Some(tls),
            ..self
        }
    }

    /// With somebody who wants to know how late the lanes are.
    pub fn watched(self, lateness: Arc<Lateness>) -> Self {
        Self {
            lateness: Some(lateness),
            ..self
        }
    }

    /// Serves until `stop` is cancelled and the calls in flight are answered.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        serve(self.router, Arrivals::at(listener), self.tls, stop).await;
    }

    /// The same on the lanes of these numbers; see [`crate::lane`]. When one of them ends before `stop`, `failed` is
    /// cancelled, and the others go on.
    pub async fn serve_on_lanes(
        self,
        numbers: Range<usize>,
        listener: TcpListener,
        stop: CancellationToken,
        failed: CancellationToken,
    ) {
        let until = stop.clone();
        let serve = move |arrivals| {
            let (router, tls) = (self.router.clone(), self.tls.clone());
            let served = serve(router, arrivals, tls, stop.clone());
            let lateness = self.lateness.clone();
            async move {
                match lateness {
                    Some(lateness) => tokio::select! {
                        () = served => {}
                        () = lateness.watch() => {}
                    },
                    None => served.await,
                }
            }
        };
        let ended = |lane| {
            tracing::error!(lane, "the thread of a lane has ended");
            failed.cancel();
        };
        if let Err(error) = lane::run(numbers, listener, until, serve, ended).await {
            tracing::error!(%error, "the gRPC listener failed");
        }
    }
}

async fn serve(
    router: Router<Stack<MeterLayer, Identity>>,
    arrivals: Arrivals,
    tls: Option<ServerTls>,
    stop: CancellationToken,
) {
    let accepted = connections::begin_http2(arrivals, tls);
    let served = router
        .serve_with_incoming_shutdown(accepted, stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the gRPC listener failed");
    }
}

fn reflection(names: &[&'static str]) -> tonic_reflection::server::Builder<'static> {
    let described = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(fate_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    let shown = names.iter().chain(&["grpc.health.v1.Health"]);
    shown.fold(described, |all, name| all.with_service_name(*name))
}
