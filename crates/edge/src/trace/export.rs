//! Sends finished spans to an OTLP endpoint over gRPC, in batches.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Uri;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::recorder::{Queue, Tally};
use super::span::{Kind, Note, Record};
use crate::channel::lazy_channel_over;
use crate::config::Address;
use crate::dial::Dialer;
use crate::tls::{ClientFiles, ClientTls, Protocol};

/// Spans of one export.
const MAX_BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const GATHERING: Duration = Duration::from_secs(1);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// A batch that is not taken is sent again so often, after pauses that double.
const ATTEMPTS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The port that OTLP collectors listen at.
const OTLP_PORT: u16 = 4317;

/// Where spans are sent: `http://host:port` or `https://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    address: Address,
    is_secured: bool,
}

impl Endpoint {
    /// # Errors
    /// The text is none.
    pub fn read(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not an endpoint; write http://host:port or https://host:port");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let is_secured = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        if !matches!(uri.path(), "" | "/")
            || uri.query().is_some()
            || authority.as_str().contains('@')
        {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(OTLP_PORT);
        let address = format!("{}:{port}", authority.host()).parse();
        Ok(Self {
            address: address.map_err(|_| wrong())?,
            is_secured,
        })
    }

    pub(super) fn channel(&self) -> Result<Channel, String> {
        let dialer = if self.is_secured {
            let tls = ClientTls::open(&ClientFiles::default(), Protocol::Http2);
            tls.and_then(|tls| Dialer::secured(tls, None))
                .map_err(|error| error.to_string())?
        } else {
            Dialer::plain()
        };
        lazy_channel_over(&self.address, dialer)
    }
}

/// Whose spans they are.
#[derive(Debug, Clone)]
pub struct ServiceInstance {
    /// `serving-server` or `serving-proxy`.
    pub service: &'static str,
    /// Tells processes of one service apart: where it listens.
    pub instance: String,
}

/// The name of a process that listens at an address: with the machine's name, where it listens at all of them.
pub fn instance(address: &SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.to_string();
    }
    let host = nix::unistd::gethostname().ok();
    let host = host.and_then(|name| name.into_string().ok());
    format!(
        "{}:{}",
        host.as_deref().unwrap_or("localhost"),
        address.port()
    )
}

/// Exports until every sender of the queue is gone.
pub(super) async fn run(
    channel: Channel,
    identity: ServiceInstance,
    mut queue: Queue,
    tally: Arc<Tally>,
) {
    let mut exporter = Exporter {
        client: TraceServiceClient::new(channel),
        resource: resource(&identity),
        tally,
        is_down: false,
    };
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        tokio::select! {
            biased;
            Some(done) = queue.flushes.recv() => {
                while let Ok(record) = queue.spans.try_recv() {
                    batch.push(record);
                    if batch.len() == MAX_BATCH {
                        exporter.export(&mut batch, 1).await;
                    }
                }
                exporter.export(&mut batch, 1).await;
                // Nobody waits any more, or somebody does.
                let _ = done.send(());
            }
            received = queue.spans.recv_many(&mut batch, MAX_BATCH) => {
                if received == 0 {
                    return;
                }
                gather(&mut queue, &mut batch).await;
                if queue.flushes.is_empty() {
                    exporter.export(&mut batch, ATTEMPTS).await;
                }
            }
        }
    }
}

/// Waits a little for others, unless somebody wants a flush.
async fn gather(queue: &mut Queue, batch: &mut Vec<Record>) {
    let patience = tokio::time::sleep(GATHERING);
    tokio::pin!(patience);
    while batch.len() < MAX_BATCH && queue.flushes.is_empty() {
        let more = MAX_BATCH - batch.len();
        tokio::select! {
            received = queue.spans.recv_many(batch, more) => {
                if received == 0 {
                    return;
                }
            }
            () = &mut patience => return,
        }
    }
}

struct Exporter {
    client: TraceServiceClient<Channel>,
    resource: Resource,
    tally: Arc<Tally>,
    /// So that the log says it once.
    is_down: bool,
}

impl Exporter {
    /// Sends a batch and empties it, whatever comes of it.
    async fn export(&mut self, batch: &mut Vec<Record>, attempts: u32) {
        if batch.is_empty() {
            return;
        }
        let spans = batch.len() as u64;
        let request = self.request(batch);
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=attempts {
            let sent = self.send(request.clone()).await;
            let status = match sent {
                Ok(rejected) => {
                    let rejected = rejected.min(spans);
                    self.tally.exported.add(spans - rejected);
                    self.tally.lost.add(rejected);
                    if std::mem::take(&mut self.is_down) {
                        tracing::info!("the endpoint of traces takes spans again");
                    }
                    return;
                }
                Err(status) => status,
            };
            if !std::mem::replace(&mut self.is_down, true) {
                tracing::warn!(code = ?status.code(), cause = status.message(), "the endpoint of traces does not take spans; calls go on without");
            }
            if attempt == attempts || !may_repeat(&status) {
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.tally.lost.add(spans);
    }

    /// How many of the spans are rejected.
    async fn send(&mut self, message: ExportTraceServiceRequest) -> Result<u64, Status> {
        let mut request = Request::new(message);
        request.set_timeout(EXPORT_TIMEOUT);
        let answer = tokio::time::timeout(EXPORT_TIMEOUT, self.client.export(request)).await;
        let late = |_| Status::deadline_exceeded("no answer in time");
        let partial = answer.map_err(late)??.into_inner().partial_success;
        let rejected = partial.map_or(0, |partial| partial.rejected_spans);
        Ok(u64::try_from(rejected).unwrap_or(0))
    }

    fn request(&self, batch: &mut Vec<Record>) -> ExportTraceServiceRequest {
        let spans = otlp::ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "fate-serving".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            spans: batch.drain(..).map(span).collect(),
            ..otlp::ScopeSpans::default()
        };
        ExportTraceServiceRequest {
            resource_spans: vec![otlp::ResourceSpans {
                resource: Some(self.resource.clone()),
                scope_spans: vec![spans],
                ..otlp::ResourceSpans::default()
            }],
        }
    }
}

/// What the protocol says of codes.
fn may_repeat(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::DataLoss
            | Code::ResourceExhausted
    )
}

fn resource(identity: &ServiceInstance) -> Resource {
    let text = |name: &'static str, text: &str| attribute((name, Note::from(text)));
    Resource {
        attributes: vec![
            text("service.name", identity.service),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &identity.instance),
        ],
        ..Resource::default()
    }
}

fn span(record: Record) -> otlp::Span {
    let kind = match record.kind {
        Kind::Server => otlp::span::SpanKind::Server,
        Kind::Client => otlp::span::SpanKind::Client,
    };
    let state = record.context.state.as_ref();
    let state = state.and_then(|state| state.to_str().ok());
    otlp::Span {
        trace_id: record.context.trace_id.to_vec(),
        span_id: record.context.span_id.to_vec(),
        trace_state: state.unwrap_or_default().to_owned(),
        parent_span_id: record.parent.map_or_else(Vec::new, Vec::from),
        flags: record.context.flags.into(),
        name: record.name.to_owned(),
        kind: kind.into(),
        start_time_unix_nano: nanos(record.began),
        end_time_unix_nano: nanos(record.ended),
        attributes: record.notes.into_iter().map(attribute).collect(),
        status: record.failure.map(|message| otlp::Status {
            message,
            code: otlp::status::StatusCode::Error.into(),
        }),
        ..otlp::Span::default()
    }
}

fn attribute((name, note): (&'static str, Note)) -> KeyValue {
    let value = match note {
        Note::Text(text) => any_value::Value::StringValue(text),
        Note::Number(number) => any_value::Value::IntValue(number),
    };
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
