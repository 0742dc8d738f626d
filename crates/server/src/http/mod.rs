//! The HTTP edge: inference over JSON, management, health (contract 01 §9.5, 04 A.2).
//!
//! Like the Java server's, it is unauthenticated, management included: who can reach the port can use it. Keep it
//! inside the party's own network.

mod body;
mod inference;
mod management;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::{any, get, post};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::util::MapRequest;

use crate::connections::{self, Places};
use crate::node::Node;

/// Time for a request's head to arrive, and for an idle connection to be used again. The first head of a connection
/// has less, [`connections::FIRST_WORDS_TIMEOUT`].
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);

type Edge = State<Arc<Node>>;

fn routes(node: Arc<Node>) -> Router {
    Router::new()
        .route("/federation/{version}/{call}", any(inference::federation))
        .route("/v1/inference", post(inference::single))
        .route("/v1/batchInference", post(inference::batch))
        .route("/server/model/unbind", post(management::unbind))
        .route("/server/model/transfer", post(management::transfer))
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
        .route("/health", get(health))
        .route("/ready", get(ready))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(node)
}

/// Serves until `stop` is cancelled and the calls in flight are answered.
pub(crate) async fn serve(listener: TcpListener, node: Arc<Node>, stop: CancellationToken) {
    let routes = routes(node);
    let mut places = Places::new("HTTP");
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    let open = TaskTracker::new();
    loop {
        let connection = tokio::select! {
            connection = connections::next(&listener) => connection,
            () = stop.cancelled() => break,
        };
        if let Some(place) = places.take() {
            let (builder, routes, stop) = (builder.clone(), routes.clone(), stop.clone());
            open.spawn(async move {
                serve_connection(builder, connection, routes, stop).await;
                drop(place);
            });
        }
    }
    drop(listener);
    open.close();
    open.wait().await;
}

async fn serve_connection(
    builder: auto::Builder<TokioExecutor>,
    connection: TcpStream,
    routes: Router,
    stop: CancellationToken,
) {
    let (asked, has_asked) = first_request::<Incoming>();
    let service = TowerToHyperService::new(MapRequest::new(routes, asked));
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(connection), service));
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = silence(has_asked) => return,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

/// A layer that tells the other end when the first request has come.
fn first_request<B>() -> (impl Fn(Request<B>) -> Request<B> + Clone, Arc<AtomicBool>) {
    let has_asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&has_asked);
    let asked = move |request| {
        seen.store(true, Ordering::Relaxed);
        request
    };
    (asked, has_asked)
}

/// Ends when the first request has not come in time, and else never.
async fn silence(has_asked: Arc<AtomicBool>) {
    tokio::time::sleep(connections::FIRST_WORDS_TIMEOUT).await;
    if has_asked.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
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

async fn not_found(uri: Uri) -> Response {
    spring_error(StatusCode::NOT_FOUND, uri.path(), "")
}

async fn method_not_allowed(uri: Uri) -> Response {
    spring_error(StatusCode::METHOD_NOT_ALLOWED, uri.path(), "")
}

/// Spring Boot's error document, which clients of the Java server know.
fn spring_error(status: StatusCode, path: &str, message: &str) -> Response {
    let error = json!({
        "timestamp": now_ms(),
        "status": status.as_u16(),
        "error": status.canonical_reason().unwrap_or_default(),
        "message": message,
        "path": path,
    });
    json_response(status, error.to_string().into_bytes())
}

fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    respond(status, "application/json;charset=UTF-8", body)
}

fn text_response(text: &'static str) -> Response {
    respond(StatusCode::OK, "text/plain;charset=UTF-8", text.into())
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_connection_without_a_request_is_given_up() {
        let limit = connections::FIRST_WORDS_TIMEOUT * 2;
        let (asked, has_asked) = first_request::<()>();
        let given_up = tokio::time::timeout(limit, silence(Arc::clone(&has_asked))).await;
        assert!(given_up.is_ok());
        asked(Request::new(()));
        let given_up = tokio::time::timeout(limit, silence(has_asked)).await;
        assert!(given_up.is_err());
    }
}
