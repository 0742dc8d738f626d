//! The HTTP port: inference over JSON, packets over JSON, log levels, health (contract 04 A.2).
//!
//! Like the Java proxy's, it is unauthenticated; log levels can be changed from this machine only (F.1, S5).

mod inference;
mod unary;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{any, get};
use fate_domain::fault::Fault;
use fate_edge::admission::{Refused, refusal};
use fate_edge::http::{
    self as edge, Caller, Received, change_package_level, change_system_level, json_response,
    livez, method_not_allowed, metrics_response, not_found, text_response,
};
use fate_edge::intake::ByteBudget;
use serde_json::json;
use tokio::time::timeout;

use crate::node::Node;
use crate::telemetry;

type Edge = State<Arc<Node>>;

/// Every path, below `server.servlet.context-path`.
pub(crate) fn routes(node: Arc<Node>) -> Router {
    let paths = Router::new()
        .route("/federation/{version}/{call}", any(inference::federation))
        .route("/unary", any(unary::unary))
        .route("/proxy/alterSysLogLevel/{level}", get(system_log_level))
        .route("/proxy/alterPkgLogLevel", get(package_log_level))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics));
    let config = node.config();
    let below = match config.context_path.as_str() {
        "" => paths,
        prefix => Router::new().nest(prefix, paths),
    };
    below
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(node)
}

/// Why there is no body.
enum NotReceived {
    /// It did not come in `proxy.async.timeout`.
    Late,
    /// It is refused.
    Refused(Fault),
}

/// Reads a whole body into the budget. `service` names the call when it is refused.
async fn receive(
    node: &Node,
    budget: &Arc<ByteBudget>,
    service: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, NotReceived> {
    if node.gates.is_closed() {
        return Err(NotReceived::Refused(refusal(Refused::Closed, service)));
    }
    let limit = node.config().max_message_bytes;
    let received = edge::receive(budget, limit, service, headers, body);
    match timeout(node.config().timeouts.http, received).await {
        Ok(received) => received.map_err(NotReceived::Refused),
        Err(_) => Err(NotReceived::Late),
    }
}

/// Java does not ask which media type a body has, but refuses what is none.
fn has_wrong_media_type(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let name = value.as_bytes().split(|byte| *byte == b';').next();
    let name = name.unwrap_or_default().trim_ascii();
    let mut parts = name.splitn(2, |byte| *byte == b'/');
    let is_token = |part: Option<&[u8]>| {
        let is_part = |byte: &u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(byte);
        part.is_some_and(|part| !part.is_empty() && part.iter().all(is_part))
    };
    let is_named = is_token(parts.next()) && is_token(parts.next());
    !(value.is_empty() || name == b"*" || is_named)
}

/// `GET /proxy/alterSysLogLevel/{level}`
async fn system_log_level(
    State(node): Edge,
    Extension(caller): Extension<Caller>,
    Path(level): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refuse_strangers(&node, caller, &headers) {
        return refused;
    }
    change_system_level(node.log_levels.as_ref(), &level)
}

/// `GET /proxy/alterPkgLogLevel?level=&pkgName=`
async fn package_log_level(
    State(node): Edge,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refuse_strangers(&node, caller, &headers) {
        return refused;
    }
    change_package_level(node.log_levels.as_ref(), &uri)
}

/// Applications share this port, and none of them should make the proxy log their neighbours' calls.
fn refuse_strangers(node: &Node, Caller(address): Caller, headers: &HeaderMap) -> Option<Response> {
    let is_stranger = match &node.config().admin_token {
        Some(token) => !token.is_in(headers),
        None => !address.ip().to_canonical().is_loopback(),
    };
    is_stranger.then(|| {
        tracing::warn!(from = %address.ip(), "log levels can be changed from this machine only, or with admin.token where it is set");
        text_response("failed")
    })
}

/// Liveness: the process answers.
async fn health() -> Response {
    json_response(StatusCode::OK, br#"{"status":"UP"}"#.to_vec())
}

/// Readiness: the proxy takes calls.
async fn ready(State(node): Edge) -> Response {
    let is_ready = !node.gates.is_closed();
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let text = json!({
        "ready": is_ready,
        "routeTable": node.table.current().is_some(),
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
