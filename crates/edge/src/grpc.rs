//! A gRPC listener of any role: its bounds, `grpc.health.v1` and reflection.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Service;

use crate::adaptive::Lateness;
use crate::connections::{self, Arrivals};
use crate::intake::ByteBudget;
use crate::lane;
use crate::metered::Metered;
use crate::served::{self, Services, Unary};
use crate::tls::ServerTls;

pub use crate::served::Asked;

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
    routes: Routes,
    unary: Vec<Arc<Unary>>,
    budget: Arc<ByteBudget>,
    tls: Option<ServerTls>,
    lateness: Option<Arc<Lateness>>,
}

/// What the lanes of a listener have in common.
type Shared = (Arc<Services>, Option<ServerTls>, Option<Arc<Lateness>>);

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
        let routes = Routes::new(health_server.max_decoding_message_size(MAX_NAME_BYTES))
            .add_service(v1.max_decoding_message_size(MAX_NAME_BYTES))
            .add_service(v1alpha.max_decoding_message_size(MAX_NAME_BYTES));
        let services = Self {
            routes,
            unary: Vec::new(),
            budget,
            tls: None,
            lateness: None,
        };
        Ok((services, health))
    }

    /// A method of one message and one answer, both as bytes, before all services: it is answered on its connection's own
    /// task. `answer` must not take long without waiting.
    pub fn with_unary<F>(
        mut self,
        path: &'static str,
        max_bytes: usize,
        answer: impl Fn(Asked) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Bytes, Status>> + Send + 'static,
    {
        self.unary.push(Arc::new(Unary {
            path,
            max_bytes,
            answer: Box::new(move |asked| Box::pin(answer(asked))),
        }));
        self
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
            routes: self.routes.add_service(service),
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

    fn shared(self) -> Shared {
        let services = Services {
            unary: self.unary,
            routes: Metered {
                inner: self.routes.prepare(),
                budget: Arc::clone(&self.budget),
            },
            budget: self.budget,
        };
        (Arc::new(services), self.tls, self.lateness)
    }

    /// Serves until `stop` is cancelled and the calls in flight are answered.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let (services, tls, _) = self.shared();
        serve(services, Arrivals::at(listener), tls, stop).await;
    }

    /// The same on the lanes of these numbers; see [`crate::lane`]. When one of them ends before `stop`, or cannot
    /// be started, `failed` is cancelled, and the others go on.
    pub async fn serve_on_lanes(
        self,
        numbers: Range<usize>,
        listener: TcpListener,
        stop: CancellationToken,
        failed: CancellationToken,
    ) {
        let until = stop.clone();
        let (services, tls, lateness) = self.shared();
        let serve = move |arrivals| {
            let served = serve(Arc::clone(&services), arrivals, tls.clone(), stop.clone());
            let lateness = lateness.clone();
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
            failed.cancel();
        }
    }
}

async fn serve(
    services: Arc<Services>,
    arrivals: Arrivals,
    tls: Option<ServerTls>,
    stop: CancellationToken,
) {
    let mut accepted = Box::pin(connections::begin_http2(arrivals, tls));
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            Some(connection) = accepted.next() => {
                open.spawn(served::serve(connection, Arc::clone(&services), stop.clone()));
            }
            Some(_) = open.join_next() => {}
            () = stop.cancelled() => break,
        }
    }
    drop(accepted);
    while open.join_next().await.is_some() {}
}

fn reflection(names: &[&'static str]) -> tonic_reflection::server::Builder<'static> {
    let described = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(fate_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    let shown = names.iter().chain(&["grpc.health.v1.Health"]);
    shown.fold(described, |all, name| all.with_service_name(*name))
}
