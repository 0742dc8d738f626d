//! HTTP/1 for every role: serving routes, receiving bodies, giving answers.

mod answer;
mod body;
pub mod federation;
mod health;
mod log_level;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::util::MapRequest;

use crate::connections::{self, Places};
use crate::other_port;
use crate::taken::Prompt;

pub use answer::{
    inference_response, json_response, method_not_allowed, metrics_response, not_found,
    spring_error, text_response, unauthorized,
};
pub use body::{Received, receive};
pub use health::{Readiness, livez};
pub use log_level::{change_package_level, change_system_level};

/// Time for a request's head to arrive, and for an idle connection to be used again. The first head of a connection
/// has less, [`connections::FIRST_WORDS_TIMEOUT`].
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// Of a connection: the largest head, and what is read of a body at once. hyper's own limit is six times this, which every
/// stranger may fill.
const BUFFER_BYTES: usize = 64 << 10;

/// Who sent a request; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Caller(pub SocketAddr);

/// Serves until `stop` is cancelled and the calls in flight are answered.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let mut places = Places::new("HTTP");
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_BYTES);
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
    mut connection: TcpStream,
    routes: Router,
    stop: CancellationToken,
) {
    let Ok(caller) = connection.peer_addr().map(Caller) else {
        // It is gone already.
        return;
    };
    tokio::select! {
        // What has come is answered, stop or not.
        biased;
        is_http2 = other_port::is_http2(&connection) => if is_http2 {
            return other_port::tell_http2(&mut connection).await;
        },
        () = tokio::time::sleep(connections::FIRST_WORDS_TIMEOUT) => return,
        () = stop.cancelled() => return,
    }
    let (asked, has_asked) = first_request::<Incoming>(caller);
    let service = TowerToHyperService::new(MapRequest::new(routes, asked));
    let connection = TokioIo::new(Prompt::new(connection));
    let mut served = std::pin::pin!(builder.serve_connection(connection, service));
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

/// A layer that says who asks, and tells the other end when the first request has come.
fn first_request<B>(
    caller: Caller,
) -> (impl Fn(Request<B>) -> Request<B> + Clone, Arc<AtomicBool>) {
    let has_asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&has_asked);
    let asked = move |mut request: Request<B>| {
        request.extensions_mut().insert(caller);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_connection_without_a_request_is_given_up() {
        let limit = connections::FIRST_WORDS_TIMEOUT * 2;
        let (asked, has_asked) = first_request::<()>(Caller(([127, 0, 0, 1], 1).into()));
        let given_up = tokio::time::timeout(limit, silence(Arc::clone(&has_asked))).await;
        assert!(given_up.is_ok());
        asked(Request::new(()));
        let given_up = tokio::time::timeout(limit, silence(has_asked)).await;
        assert!(given_up.is_err());
    }
}
