//! What of a caller matters for whether its call is let in.

use std::net::IpAddr;

use axum::http::HeaderMap;
use fate_edge::deadline;
use fate_edge::trace::TraceContext;
use tokio::time::Instant;

use crate::node::Node;

/// Of one that nothing is known of, such as the proxy in this process, everything is let in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    /// When it stops waiting.
    pub(crate) deadline: Option<Instant>,
    /// Whether it has used up `limit.caller.qps`.
    pub(crate) is_over_limit: bool,
    /// The span that its call belongs to.
    pub(crate) trace: Option<TraceContext>,
}

impl Node {
    /// A client of inference.
    pub(crate) fn client(&self, headers: &HeaderMap, address: Option<IpAddr>) -> Caller {
        let limit = self.caller_limit.load();
        Caller {
            is_over_limit: limit
                .as_ref()
                .is_some_and(|limit| !limit.pass(headers, address)),
            ..self.peer(headers)
        }
    }

    /// A guest, or a proxy on its behalf.
    pub(crate) fn peer(&self, headers: &HeaderMap) -> Caller {
        Caller {
            deadline: deadline::of_headers(headers),
            is_over_limit: false,
            trace: TraceContext::of_headers(headers),
        }
    }
}
