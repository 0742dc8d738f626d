//! A gRPC connection, served on h2 itself.
//!
//! Calls of the methods that are asked all the time ([`Unary`]) run in the connection's own task: a message is cut out of the
//! body, the answer leaves in one write with its status, and no other task is woken for it. All other calls go through
//! tonic's router, each in a task of its own. Promises:
//!
//! * a call ends with its deadline (`grpc-timeout`), with the reset of its stream, and with its connection;
//! * a body keeps pace; its head and its bytes take from the budget until its call is answered, and an answer does while its
//!   peer has no room for it;
//! * a call that panics ends with INTERNAL, and no other call of its connection with it;
//! * hostile input gets tonic's statuses, whichever way its call goes.

mod piped;
mod received;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use futures::stream::{FuturesUnordered, StreamExt as _};
use h2::RecvStream;
use h2::server::{self, SendResponse};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::service::Routes;
use tonic::transport::server::Connected as _;

use self::piped::{give_whole, routed};
pub(crate) use self::received::no_room;
use self::received::receive;
use crate::alarm::until;
use crate::connections::{Connection, Origin};
use crate::deadline;
use crate::gathered::{Gathered, Outlet};
use crate::intake::{ByteBudget, Share};
use crate::metered::Metered;
use crate::unary::ping::until_silent;

/// Streams of one connection: as many as a proxy has calls to one peer, else they would wait in line unseen. What all of
/// them hold is bounded by the budget of bytes.
const MAX_CONCURRENT_STREAMS: u32 = 256;
/// What a peer may send before it is read: of one call, of all.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const MAX_HEADER_BYTES: u32 = 16 << 10;
/// Bytes of one answer that wait in memory for a peer that is slow to take them, outside of the budget.
const MAX_SEND_BYTES: usize = 128 << 10;
/// What a call takes in memory before anything of its body is there, and each of its headers besides its text: a header
/// that the peer has sent before comes as a single byte.
const CALL_BYTES: usize = 1 << 10;
const HEADER_BYTES: usize = 128;
/// Quiet connections are asked whether their peers are still there.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_LIMIT: Duration = Duration::from_secs(10);

/// A call of one message.
#[derive(Debug)]
pub struct Asked {
    pub headers: HeaderMap,
    /// The peer's.
    pub address: Option<IpAddr>,
    pub message: Bytes,
}

type Answer = dyn Fn(Asked) -> BoxFuture<'static, Result<Bytes, Status>> + Send + Sync;

/// A method of one message and one answer, both as bytes.
pub(crate) struct Unary {
    pub(crate) path: &'static str,
    pub(crate) max_bytes: usize,
    pub(crate) answer: Box<Answer>,
}

impl fmt::Debug for Unary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Unary").field(&self.path).finish()
    }
}

/// What is served.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) unary: Vec<Arc<Unary>>,
    pub(crate) routes: Metered<Routes>,
    pub(crate) budget: Arc<ByteBudget>,
}

/// Serves a connection to its end. After `stop` the calls in flight are answered.
pub(crate) async fn serve(
    connection: Connection,
    services: Arc<Services>,
    stop: CancellationToken,
) {
    let origin = connection.connect_info();
    let (stream, outlet) = Gathered::new(connection);
    let shaken = server::Builder::new()
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_send_buffer_size(MAX_SEND_BYTES)
        .handshake(stream);
    let mut http2 = match shaken.await {
        Ok(http2) => http2,
        Err(error) => return tracing::debug!(%error, "a connection does not speak HTTP/2"),
    };
    let mut silent = pin!(until_silent(http2.ping_pong(), PING_EVERY, PONG_LIMIT));
    let mut stopped = pin!(stop.cancelled());
    let mut is_stopping = false;
    let mut served = Served {
        http2,
        outlet,
        calls: FuturesUnordered::new(),
        services,
        origin,
    };
    poll_fn(|context| {
        if !is_stopping && stopped.as_mut().poll(context).is_ready() {
            is_stopping = true;
            served.http2.graceful_shutdown();
        }
        if silent.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        served.poll_over(context)
    })
    .await;
}

struct Served {
    http2: server::Connection<Gathered<Connection>, Bytes>,
    outlet: Outlet<Connection>,
    /// Calls of [`Services::unary`].
    calls: FuturesUnordered<BoxFuture<'static, ()>>,
    services: Arc<Services>,
    origin: Origin,
}

impl Served {
    /// Ready when the connection is over.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // Calls come first: what they answer leaves in this turn.
            while let Poll::Ready(Some(())) = self.calls.poll_next_unpin(context) {}
            match self.http2.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.begin(request, respond),
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "a gRPC connection ended early");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        match self.outlet.poll_out(context) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    fn begin(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let share = self.services.budget.share();
        if !share.take(weight(&request)) {
            // Whoever is gone is not told.
            let _ = respond.send_response(no_room().into_http(), true);
            return;
        }
        let path = request.uri().path();
        let mut known = self.services.unary.iter();
        let origin = self.origin.clone();
        match known.find(|method| method.path == path) {
            Some(method) => {
                let call = unary(Arc::clone(method), share, request, respond, origin);
                self.calls.push(Box::pin(call));
            }
            None => {
                let routes = self.services.routes.clone();
                tokio::spawn(routed(routes, share, request, respond, origin));
            }
        }
    }
}

/// Bytes of a call's head.
fn weight<T>(request: &Request<T>) -> usize {
    let text = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    let texts: usize = request.headers().iter().map(text).sum();
    let path = request.uri().path().len();
    CALL_BYTES + HEADER_BYTES * request.headers().len() + texts + path
}

async fn unary(
    method: Arc<Unary>,
    share: Share,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    origin: Origin,
) {
    let (head, body) = request.into_parts();
    let deadline = deadline::of_headers(&head.headers);
    let mut answer = pin!(async {
        let message = receive(body, &head.headers, method.max_bytes, &share).await?;
        let answer = (method.answer)(Asked {
            headers: head.headers,
            address: origin.ip(),
            message,
        });
        // A panic has been logged by its hook; whatever it held was dropped.
        let answered = AssertUnwindSafe(answer).catch_unwind().await;
        answered.unwrap_or_else(|_| Err(Status::internal("the call panicked")))
    });
    let in_time = async {
        match deadline {
            Some(deadline) => match until(deadline, answer.as_mut()).await {
                Ok(answered) => answered,
                Err(_) => Err(timeout_expired()),
            },
            None => answer.as_mut().await,
        }
    };
    let answered = unless_reset(&mut respond, pin!(in_time)).await;
    share.give_back();
    // Whoever has reset the stream, or is gone, is not told anything.
    let _ = match answered {
        Some(Ok(message)) => give_whole(&mut respond, message, &origin.untaken, &share).await,
        Some(Err(status)) => respond.send_response(status.into_http(), true).map(drop),
        None => Ok(()),
    };
}

/// As tonic says it.
fn timeout_expired() -> Status {
    Status::cancelled("Timeout expired")
}

/// None when the peer takes the call back, or is gone.
async fn unless_reset<T>(
    respond: &mut SendResponse<Bytes>,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => respond.poll_reset(context).map(|_| None),
    })
    .await
}

fn ok_head() -> Response<()> {
    let mut response = Response::new(());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}
