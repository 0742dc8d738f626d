//! What a call brings along besides its message: how long its caller waits, and whose trace it belongs to.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use fate_edge::deadline;
use fate_edge::trace::{self, Span, TraceContext};
use hyper::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::forward::HOPS_HEADER;

/// Headers of tracing systems; they are passed on as they are.
const TRACE_HEADERS: &[&str] = &[
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-request-id",
];
/// A longer one is not passed on: nobody's trace is worth a peer's refusal of the call.
const MAX_TRACE_BYTES: usize = 8192;

/// The caller's side of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallContext {
    /// When the caller stops waiting, if it said so.
    pub(crate) deadline: Option<Instant>,
    /// The span that the call belongs to, as the caller says.
    pub(crate) trace: Option<TraceContext>,
    /// Headers that are passed on.
    pub(crate) passed_on: HeaderMap,
    /// The proxies that a packet has passed, as its sender says.
    pub(crate) hops: Option<HeaderValue>,
    /// Who asks over HTTP.
    pub(crate) source: Option<IpAddr>,
}

impl CallContext {
    /// From the headers of a request, gRPC or HTTP.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Self {
        let mut passed_on = HeaderMap::new();
        for name in TRACE_HEADERS {
            let value = headers.get(*name);
            if let Some(value) = value.filter(|value| value.len() <= MAX_TRACE_BYTES) {
                passed_on.insert(HeaderName::from_static(name), value.clone());
            }
        }
        Self {
            deadline: deadline::of_headers(headers),
            trace: TraceContext::of_headers(headers),
            passed_on,
            hops: headers.get(HOPS_HEADER).cloned(),
            source: None,
        }
    }

    /// A call of the server in this process.
    pub(crate) fn of_own_server(deadline: Instant) -> Self {
        let trace = trace::current();
        let mut passed_on = HeaderMap::new();
        if let Some(context) = &trace {
            context.write(&mut passed_on);
        }
        Self {
            deadline: Some(deadline),
            trace,
            passed_on,
            ..Self::default()
        }
    }

    /// The same call as a part of this span.
    pub(crate) fn in_span(&self, span: &Span) -> Cow<'_, Self> {
        let Some(context) = span.context() else {
            return Cow::Borrowed(self);
        };
        let mut call = self.clone();
        context.write(&mut call.passed_on);
        Cow::Owned(call)
    }

    /// The same call with another list of proxies, which is passed on.
    pub(crate) fn with_hops(&self, hops: HeaderValue) -> Self {
        let mut call = self.clone();
        call.passed_on.insert(HOPS_HEADER, hops);
        call
    }

    /// When a call to a peer has to be answered that may take `limit`.
    pub(crate) fn deadline_within(&self, limit: Duration) -> Instant {
        let own = Instant::now() + limit;
        self.deadline.map_or(own, |deadline| deadline.min(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn traces_are_passed_on_and_nothing_else() {
        let long = "x".repeat(MAX_TRACE_BYTES + 1);
        let call = CallContext::of_headers(&headers(&[
            ("traceparent", "00-1-2-01"),
            ("x-request-id", "r"),
            ("baggage", &long),
            ("authorization", "secret"),
            ("cookie", "c"),
        ]));
        let mut names: Vec<_> = call.passed_on.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["traceparent", "x-request-id"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_nearer_deadline_counts() {
        let limit = Duration::from_secs(3);
        for (text, expected) in [
            ("500m", 500),
            ("2S", 2000),
            ("1H", 3000),
            ("99999999H", 3000),
            ("1000000u", 1000),
            ("0n", 0),
            ("", 3000),
            ("S", 3000),
            ("5x", 3000),
            ("-1S", 3000),
            ("123456789m", 3000),
            ("é", 3000),
        ] {
            let mut given = HeaderMap::new();
            given.insert(
                "grpc-timeout",
                HeaderValue::from_bytes(text.as_bytes()).unwrap(),
            );
            let deadline = CallContext::of_headers(&given).deadline_within(limit);
            assert_eq!((deadline - Instant::now()).as_millis(), expected, "{text}");
        }
    }
}
