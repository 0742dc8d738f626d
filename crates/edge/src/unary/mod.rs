//! Unary gRPC calls to another server: messages go in and come out as bytes, on h2 itself.
//!
//! A call changes tasks twice and is sent in one piece; through tonic's channel it changes tasks five times and leaves in
//! three pieces, each of which wakes the peer. What is told of a failure is finer, too: whether the peer can have heard of
//! the call.

mod connection;
mod lane_clients;
pub mod message;
pub(crate) mod ping;

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_TYPE, HeaderValue, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::Instant;
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::{Code, Status};

use self::connection::Connection;
pub use self::lane_clients::LaneClients;
use self::message::{Assembly, Unusable, chunks};
use crate::alarm::until;
use crate::channel::status_name;
use crate::config::Address;
use crate::dial::Dialer;

const GRPC_TIMEOUT: &str = "grpc-timeout";
const AGENT: &str = concat!("fate-serving/", env!("CARGO_PKG_VERSION"));

/// An address; connected when it is needed.
#[derive(Debug)]
pub struct UnaryClient {
    connection: Connection,
    scheme: Scheme,
    authority: Authority,
    max_message_bytes: usize,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// The peer cannot have heard of the call.
    Unsent(String),
    /// The deadline passed.
    Late,
    /// The peer says so.
    Said(Status),
    /// The connection broke: nobody knows what the peer has done.
    Lost(String),
}

impl UnaryClient {
    /// # Errors
    /// The address is none.
    pub fn open(
        address: &Address,
        dialer: Dialer,
        max_message_bytes: usize,
    ) -> Result<Self, String> {
        let unusable = |cause| format!("{address} is not usable as an address: {cause}");
        let uri: Uri = format!("{}://{address}", dialer.scheme())
            .parse()
            .map_err(|cause| unusable(format!("{cause}")))?;
        let parts = uri.clone().into_parts();
        let named = parts.scheme.zip(parts.authority);
        let (scheme, authority) = named.ok_or_else(|| unusable("it names no host".to_owned()))?;
        Ok(Self {
            connection: Connection::new(uri, dialer),
            scheme,
            authority,
            max_message_bytes,
        })
    }

    /// Sends a message and waits for its answer, not longer than `deadline`; the peer is told how long that is, and
    /// `headers` besides. Dropping the future cancels the call at the peer.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn call(
        &self,
        path: &'static str,
        message: Bytes,
        headers: &HeaderMap,
        deadline: Instant,
    ) -> Result<Bytes, Unanswered> {
        // Nobody waits for it any longer: the peer need not do it.
        if deadline <= Instant::now() {
            return Err(Unanswered::Late);
        }
        let request = || self.request(path, headers, deadline);
        let answered = until(deadline, pin!(self.exchange(request, message))).await;
        answered.unwrap_or(Err(Unanswered::Late))
    }

    fn request(&self, path: &'static str, headers: &HeaderMap, deadline: Instant) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(PathAndQuery::from_static(path));
        // Complete parts always make an address.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        let own = request.headers_mut();
        own.reserve(headers.len() + 4);
        own.extend(
            headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        own.insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
        own.insert(TE, HeaderValue::from_static("trailers"));
        own.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let time = deadline.saturating_duration_since(Instant::now());
        own.insert(GRPC_TIMEOUT, grpc_timeout(time));
        request
    }

    /// What the peer left out goes once more, over another connection.
    async fn exchange(
        &self,
        request: impl Fn() -> Request<()>,
        message: Bytes,
    ) -> Result<Bytes, Unanswered> {
        if let Ok(answered) = self.attempt(request(), message.clone()).await {
            return answered;
        }
        let again = self.attempt(request(), message).await;
        again.unwrap_or_else(|LeftOut(cause)| Err(Unanswered::Unsent(cause)))
    }

    async fn attempt(
        &self,
        request: Request<()>,
        message: Bytes,
    ) -> Result<Result<Bytes, Unanswered>, LeftOut> {
        // The second half keeps the call from being cancelled.
        let (answer, _sent) = match self.send(request, message).await {
            Ok(sent) => sent,
            Err(cause) => return Ok(Err(cause)),
        };
        match answer.await {
            Ok(response) => Ok(receive(response, self.max_message_bytes).await),
            // Streams that a GOAWAY does not count among the peer's last were not looked at; all others go on.
            Err(error) if error.is_go_away() && error.is_remote() => Err(LeftOut(told(&error))),
            Err(error) => Ok(Err(broken(error))),
        }
    }

    async fn send(
        &self,
        request: Request<()>,
        message: Bytes,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Unanswered> {
        let unsent = |cause: &dyn std::fmt::Display| {
            Unanswered::Unsent(format!("{}: {cause}", status_name(Code::Unavailable)))
        };
        let (first, second) = chunks(message).map_err(Unanswered::Said)?;
        let requests = self.connection.ready().await;
        let mut requests = requests.map_err(|cause| unsent(&cause))?;
        let (answer, mut body) = requests
            .send_request(request, false)
            .map_err(|error| unsent(&error))?;
        body.send_data(first, second.is_none()).map_err(broken)?;
        if let Some(second) = second {
            body.send_data(second, true).map_err(broken)?;
        }
        Ok((answer, body))
    }
}

/// The peer ends the connection without having looked at the call.
struct LeftOut(String);

fn told(error: &h2::Error) -> String {
    format!("{}: {error}", status_name(Code::Unavailable))
}

/// HTTP/2 says of a refused stream that nothing was done for it.
fn broken(error: h2::Error) -> Unanswered {
    let text = told(&error);
    match error.reason() {
        Some(Reason::REFUSED_STREAM) if error.is_remote() => Unanswered::Unsent(text),
        _ if error.is_reset() => Unanswered::Said(Status::unavailable(error.to_string())),
        _ => Unanswered::Lost(text),
    }
}

async fn receive(response: Response<RecvStream>, limit: usize) -> Result<Bytes, Unanswered> {
    let (head, mut body) = response.into_parts();
    if head.status != StatusCode::OK {
        let text = format!("the peer answers HTTP {}", head.status);
        return Err(Unanswered::Said(Status::unknown(text)));
    }
    // An error without a message has its status here.
    if let Some(status) = Status::from_header_map(&head.headers) {
        said(status)?;
    }
    let mut assembly = Assembly::new(limit);
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(broken)?;
        // What is left of a stream that is over needs no room.
        let _ = body.flow_control().release_capacity(chunk.len());
        assembly.push(chunk).map_err(unusable)?;
    }
    let trailers = body.trailers().await.map_err(broken)?;
    match trailers.as_ref().and_then(Status::from_header_map) {
        Some(status) => said(status)?,
        None => {
            let text = "the answer has no grpc-status";
            return Err(Unanswered::Said(Status::internal(text)));
        }
    }
    assembly.finish().map_err(unusable)
}

fn unusable(cause: Unusable) -> Unanswered {
    Unanswered::Said(cause.into())
}

fn said(status: Status) -> Result<(), Unanswered> {
    match status.code() {
        Code::Ok => Ok(()),
        _ => Err(Unanswered::Said(status)),
    }
}

/// At most eight digits and a unit.
fn grpc_timeout(time: Duration) -> HeaderValue {
    const LIMIT: u128 = 100_000_000;
    let (number, unit) = match (time.as_micros(), time.as_millis()) {
        (micros, _) if micros < LIMIT => (micros, 'u'),
        (_, millis) if millis < LIMIT => (millis, 'm'),
        _ => (u128::from(time.as_secs()).min(LIMIT - 1), 'S'),
    };
    // Digits and a letter are a header's value.
    HeaderValue::from_str(&format!("{number}{unit}"))
        .unwrap_or_else(|_| HeaderValue::from_static("1S"))
}

#[cfg(test)]
mod tests;
