//! Traces of calls (W3C trace context), exported by OTLP when the operator says where to.
//!
//! A role makes a span of every request ([`Tracing::received`]) and runs its work inside ([`Span::around`]); what that
//! work asks of others is a [`child`] of the [`current`] span, whose context travels with the call. Without
//! `trace.otlp.endpoint` nothing is recorded and no trace begins; a context that a caller brings is handed on.
//!
//! Promises: a request never waits for the exporter, nor fails for it; what does not fit into its queue is dropped and
//! counted.

mod context;
mod export;
mod recorder;
mod span;

use std::sync::Arc;
use std::time::Duration;

pub use context::TraceContext;
pub use export::{Endpoint, ServiceInstance, instance};
pub use span::{Kind, Note, Span, carried, child, current};

use crate::config::{self, Entry, Fallback, Key, Problem, Values, honoured, line_of};
use crate::prometheus::Page;
use recorder::Recorder;

/// The keys of every role that trace.
pub const KEYS: [Key; 2] = [
    honoured(
        ENDPOINT,
        config::Kind::Url,
        Fallback::Unset,
        "where traces of calls are exported to by OTLP over gRPC, http://host:port or https://host:port; unset: no traces",
    ),
    honoured(
        RATIO,
        config::Kind::Share,
        Fallback::Is("1"),
        "part of the traces, 0 to 1, that begin here and are exported; traces of callers follow their caller's choice",
    ),
];
const ENDPOINT: &str = "trace.otlp.endpoint";
const RATIO: &str = "trace.sample.ratio";

/// The settings behind the keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub endpoint: Endpoint,
    /// Part of the traces that begin here, 0 to 1.
    pub ratio: f64,
}

impl Settings {
    /// `None` without an endpoint.
    pub fn read(entries: &[Entry], values: &Values, problems: &mut Vec<Problem>) -> Option<Self> {
        let text = values.text(ENDPOINT)?;
        match Endpoint::read(&text) {
            Ok(endpoint) => Some(Self {
                endpoint,
                ratio: values.share(RATIO).unwrap_or(1.0),
            }),
            Err(message) => {
                problems.push(Problem {
                    line: line_of(entries, ENDPOINT),
                    key: ENDPOINT.to_owned(),
                    message,
                });
                None
            }
        }
    }

    /// The keys that a running role takes over.
    pub const RELOADABLE: &str = RATIO;

    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// There cannot be connections to the endpoint.
    pub fn open(&self, identity: ServiceInstance) -> Result<Tracing, String> {
        Tracing::open(&self.endpoint, identity, self.ratio)
    }
}

/// What a role does about traces.
#[derive(Debug, Clone, Default)]
pub struct Tracing(Option<Arc<Recorder>>);

impl Tracing {
    /// Exports spans to an endpoint. Traces that begin here are sampled by `ratio`, 0 to 1; in others the caller's flag
    /// counts. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// There cannot be connections to the endpoint.
    pub fn open(
        endpoint: &Endpoint,
        identity: ServiceInstance,
        ratio: f64,
    ) -> Result<Self, String> {
        let channel = endpoint.channel()?;
        let (recorder, queue) = Recorder::new(ratio);
        tokio::spawn(export::run(
            channel,
            identity,
            queue,
            Arc::clone(&recorder.tally),
        ));
        Ok(Self(Some(recorder)))
    }

    /// The span of a request that has come in.
    pub fn received(&self, name: &'static str, caller: Option<TraceContext>) -> Span {
        match (&self.0, caller) {
            (None, caller) => Span::passed_on(caller),
            (Some(recorder), None) => {
                let context = TraceContext::new(|id| recorder.samples(id));
                Span::first(context, Arc::clone(recorder), name)
            }
            (Some(recorder), Some(caller)) => {
                Span::below(caller, Arc::clone(recorder), name, Kind::Server)
            }
        }
    }

    /// Changes the part of traces that are sampled.
    pub fn set_ratio(&self, ratio: f64) {
        if let Some(recorder) = &self.0 {
            recorder.set_ratio(ratio);
        }
    }

    /// Exports what has ended, as far as that is done within `patience`.
    pub async fn flush(&self, patience: Duration) {
        if let Some(recorder) = &self.0 {
            recorder.flush(patience).await;
        }
    }

    /// What became of the spans.
    pub fn write(&self, page: &mut Page) {
        if let Some(recorder) = &self.0 {
            recorder.tally.write(page);
        }
    }
}
