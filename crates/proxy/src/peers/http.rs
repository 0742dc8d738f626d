//! A peer behind a `url` route: packets as JSON over HTTP (contract 04 A.5.3).

use std::fmt;

use bytes::Bytes;
use fate_edge::dial::Dialer;
use fate_proto::proxy::Packet;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout_at;

use super::condition::PROBE_LIMIT;
use super::{NotAnswered, PeerLimits};
use crate::call::CallContext;
use crate::packet_json;

/// An HTTP client of one address. No redirects: a packet goes where the table says.
pub(crate) struct HttpPeer {
    uri: Uri,
    client: Client<Dialer, Full<Bytes>>,
    limits: PeerLimits,
}

impl fmt::Debug for HttpPeer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("HttpPeer").field(&self.uri).finish()
    }
}

impl HttpPeer {
    pub(super) fn open(uri: Uri, dialer: Dialer, limits: PeerLimits) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(limits.max_in_flight)
            .build(dialer.within(limits.http_connect));
        Self {
            uri,
            client,
            limits,
        }
    }

    /// Posts a packet and waits for the one that answers it. The status is not looked at, as in Java: what counts is
    /// whether there is a packet.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn post(
        &self,
        packet: &Packet,
        call: &CallContext,
    ) -> Result<Packet, NotAnswered> {
        let deadline = call.deadline_within(self.limits.http_connect + self.limits.http_answer);
        let answer = timeout_at(deadline, self.exchange(packet, call)).await;
        answer.unwrap_or(Err(NotAnswered::Late))
    }

    /// Whether there is anybody who answers, whatever it is.
    pub(super) async fn is_alive(&self) -> bool {
        let mut request = Request::new(Full::default());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = self.uri.clone();
        let answer = tokio::time::timeout(PROBE_LIMIT, self.client.request(request)).await;
        matches!(answer, Ok(Ok(_)))
    }

    async fn exchange(&self, packet: &Packet, call: &CallContext) -> Result<Packet, NotAnswered> {
        let mut request = Request::new(Full::from(packet_json::write_packet(packet)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = call.passed_on.clone();
        let json = HeaderValue::from_static("application/json;charset=UTF-8");
        request.headers_mut().insert(CONTENT_TYPE, json.clone());
        request.headers_mut().insert(ACCEPT, json);
        let answer = self.client.request(request).await.map_err(not_answered)?;
        let status = answer.status();
        let failed = |cause: String| NotAnswered::Failed(format!("status {status}: {cause}"));
        let body = Limited::new(answer.into_body(), self.limits.max_message_bytes);
        let body = body.collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        let text = std::str::from_utf8(&body).map_err(|error| failed(error.to_string()))?;
        packet_json::read_packet(text).map_err(|error| failed(error.to_string()))
    }
}

fn not_answered(error: Error) -> NotAnswered {
    if error.is_connect() {
        NotAnswered::Unsent(causes(&error))
    } else {
        NotAnswered::Lost(causes(&error))
    }
}

/// hyper's errors say what happened only in their causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}
