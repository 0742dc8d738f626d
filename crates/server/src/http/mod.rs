//! The HTTP edge: inference over JSON, management, health (contract 01 §9.5, 04 A.2).
//!
//! Like the Java server's, it is unauthenticated, management included unless `admin.token` is set: who can reach the port
//! can use it. Keep it inside the party's own network.

mod inference;
mod management;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{any, get, post};
use fate_domain::fault::Fault;
use fate_edge::admission::{self, Refused};
use fate_edge::http::{
    self as edge, Received, json_response, livez, method_not_allowed, metrics_response, not_found,
    unauthorized,
};
use serde_json::json;

use crate::node::Node;
use crate::telemetry;

type Edge = State<Arc<Node>>;

/// Every path of this role.
pub(crate) fn routes(node: Arc<Node>) -> Router {
    let management = Router::new()
        .route("/server/model/unbind", post(management::unbind))
        .route("/server/model/transfer", post(management::transfer))
        .route("/server/model/semantics", post(management::semantics))
        .route(
            "/server/service/weight/update",
            post(management::update_weight),
        )
        .route(
            "/server/alterSysLogLevel/{level}",
            get(management::system_log_level),
        )
        .route(
            "/server/alterPkgLogLevel",
            get(management::package_log_level),
        )
        .route_layer(from_fn_with_state(Arc::clone(&node), administrators_only));
    Router::new()
        .merge(management)
        .route("/federation/{version}/{call}", any(inference::federation))
        .route("/v1/inference", post(inference::single))
        .route("/v1/batchInference", post(inference::batch))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(node)
}

/// With `admin.token`, whoever changes something has to bring it along.
async fn administrators_only(State(node): Edge, request: Request, next: Next) -> Response {
    let config = node.config();
    match &config.admin_token {
        Some(token) if !token.is_in(request.headers()) => {
            let path = request.uri().path();
            tracing::warn!(path, "refused: the request has not got admin.token");
            unauthorized(path)
        }
        _ => next.run(request).await,
    }
}

/// Reads a whole body, or says with a return code why not. `service` names the call when it is refused.
async fn receive(
    node: &Node,
    service: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, Fault> {
    if node.gates.is_closed() {
        return Err(admission::refusal(Refused::Closed, service));
    }
    let limit = node.config().max_message_bytes;
    edge::receive(&node.held_bytes, limit, service, headers, body).await
}

/// Liveness: the process answers.
async fn health() -> Response {
    json_response(StatusCode::OK, br#"{"status":"UP"}"#.to_vec())
}

/// Readiness: the server takes calls.
async fn ready(State(node): Edge) -> Response {
    let is_ready = !node.gates.is_closed();
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let text = json!({
        "ready": is_ready,
        "models": node.models.snapshot().models().count(),
        "inFlight": node.gates.in_flight(),
        "heldBytes": node.held_bytes.held(),
    });
    json_response(status, text.to_string().into_bytes())
}

/// Readiness, with the reasons in words.
async fn readyz(State(node): Edge, headers: HeaderMap) -> Response {
    node.readiness().response(&headers)
}

/// What Prometheus scrapes.
async fn metrics(State(node): Edge) -> Response {
    metrics_response(telemetry::page(&node))
}
