//! What this role measures, and how it is written for Prometheus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fate_domain::party::Role;
use fate_edge::log_levels::LogLevels;
use fate_edge::prometheus::{
    CodeCounters, Counter, Histogram, Kind, Page, PartyMeters, Shed, ShedCounters, SizeHistogram,
    write_build_info, write_process,
};
use fate_edge::trace::{self, Span};
use fate_federation::{CallError, CallRecord, HostTransport, Stage};
use fate_model::Way;
use fate_proto::proxy::Packet;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::node::{Entry, Node};
use crate::source_meters::SourceMeters;

/// Every meter of a server.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    entries: [EntryMeters; Entry::ALL.len()],
    cache_hits: Counter,
    cache_misses: Counter,
    shed: ShedCounters,
    loads: [Histogram; WAYS.len()],
    pub(crate) parties: Arc<PartyMeters>,
    pub(crate) sources: Arc<SourceMeters>,
}

/// How models come, and its label.
const WAYS: [(Way, &str); 3] = [
    (Way::Load, "load"),
    (Way::Copy, "copy"),
    (Way::Restore, "restore"),
];

/// Of one of the four ways into inference.
#[derive(Debug, Default)]
struct EntryMeters {
    codes: CodeCounters,
    /// What successful calls took lately, in nanoseconds.
    usual_ns: AtomicU64,
    total: Histogram,
    stages: [Histogram; Stage::ALL.len()],
    rows: SizeHistogram,
}

impl EntryMeters {
    /// The newest call counts for an eighth. Two at the same time may lose one of them, which does no harm.
    fn learn(&self, cost: Duration) {
        let cost = u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX);
        let usual = self.usual_ns.load(Ordering::Relaxed);
        let next = if usual == 0 {
            cost
        } else {
            usual - usual / 8 + cost / 8
        };
        self.usual_ns.store(next, Ordering::Relaxed);
    }
}

impl Telemetry {
    /// Nothing measured yet; with meters for these sources.
    pub(crate) fn with_sources(sources: Arc<SourceMeters>) -> Self {
        Self {
            sources,
            ..Self::default()
        }
    }

    /// A call that came to its end, in whatever way.
    pub(crate) fn finished(&self, entry: &Entry, record: &CallRecord, cost: Duration) {
        let meters = &self.entries[entry.place];
        meters.codes.count(record.return_code.0);
        meters.total.observe(cost);
        if record.return_code.is_success() {
            meters.learn(cost);
        }
        for (stage, histogram) in Stage::ALL.into_iter().zip(&meters.stages) {
            if let Some(spent) = record.laps.of(stage) {
                histogram.observe(spent);
            }
        }
        if entry.is_batch() && record.model.is_some() {
            meters.rows.observe(record.rows.into());
        }
        self.cache_hits.add(record.cache_hits.into());
        self.cache_misses.add(record.cache_misses.into());
    }

    /// A call that has no record: it was refused before it began, or it panicked.
    pub(crate) fn broken_off(&self, entry: &Entry, code: i32, cost: Duration) {
        let meters = &self.entries[entry.place];
        meters.codes.count(code);
        meters.total.observe(cost);
    }

    /// Whether an answer would come too late for a caller that waits until `deadline`: it takes twice as long as that, as
    /// a rule. What is refused for it makes the rule milder, so that a slow hour is forgotten.
    pub(crate) fn would_be_late(&self, entry: &Entry, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline else {
            return false;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let meters = &self.entries[entry.place];
        let usual = Duration::from_nanos(meters.usual_ns.load(Ordering::Relaxed));
        let is_late = left.is_zero() || left < usual / 2;
        if is_late {
            meters.learn(usual / 2);
        }
        is_late
    }

    /// Why a call was refused.
    pub(crate) fn shed(&self, reason: Shed) {
        self.shed.count(reason);
    }

    /// Models that came, and how long they took.
    pub(crate) fn came(&self, times: Vec<(Way, Duration)>) {
        for (way, took) in times {
            let of_way = WAYS.iter().zip(&self.loads);
            for (_, histogram) in of_way.filter(|((one, _), _)| *one == way) {
                histogram.observe(took);
            }
        }
    }

    fn write(&self, page: &mut Page) {
        let mut requests = page.family(
            "fate_serving_requests_total",
            Kind::Counter,
            "Inference calls by return code.",
        );
        for (entry, meters) in Entry::ALL.iter().zip(&self.entries) {
            let [role, method] = entry.labels();
            let labels = [("service", "serving-server"), role, method];
            meters.codes.write(&mut requests, &labels);
        }
        let mut durations = page.family(
            "fate_serving_request_duration_seconds",
            Kind::Histogram,
            "How long inference calls took, and the stages of those that got so far.",
        );
        for (entry, meters) in Entry::ALL.iter().zip(&self.entries) {
            let [role, method] = entry.labels();
            durations.histogram(&[role, method, ("stage", "total")], &meters.total);
            for (stage, histogram) in Stage::ALL.into_iter().zip(&meters.stages) {
                if entry.has(stage) {
                    durations.histogram(&[role, method, ("stage", stage.name())], histogram);
                }
            }
        }
        let mut rows = page.family(
            "fate_serving_batch_size",
            Kind::Histogram,
            "Rows of batches whose model was found.",
        );
        let entries = Entry::ALL.iter().zip(&self.entries);
        for (entry, meters) in entries.filter(|(entry, _)| entry.is_batch()) {
            rows.sizes(&entry.labels()[..1], &meters.rows);
        }
        page.counter(
            "fate_serving_cache_hits_total",
            "Hosts' parts of rows that were remembered.",
            self.cache_hits.get() as f64,
        );
        page.counter(
            "fate_serving_cache_misses_total",
            "Hosts' parts of rows that were looked for in the cache in vain.",
            self.cache_misses.get() as f64,
        );
        let mut loads = page.family(
            "fate_serving_model_load_duration_seconds",
            Kind::Histogram,
            "How long models took to come into use, by the way they came.",
        );
        for ((_, way), histogram) in WAYS.iter().zip(&self.loads) {
            loads.histogram(&[("way", way)], histogram);
        }
        self.parties.write(page);
        self.sources.write(page);
    }
}

/// Everything there is to scrape.
pub(crate) fn page(node: &Node) -> Page {
    let mut page = Page::default();
    write_build_info(&mut page, "serving-server");
    node.telemetry.came(node.models.take_load_times());
    node.telemetry.write(&mut page);
    let mut shed = page.family(
        "fate_serving_shed_total",
        Kind::Counter,
        "Calls that were refused before any work was done for them, by reason.",
    );
    node.telemetry
        .shed
        .write(&mut shed, node.held_bytes.refused());
    let mut inflight = page.family(
        "fate_serving_inflight",
        Kind::Gauge,
        "Calls in flight, by the gate they came through.",
    );
    for (gate, calls) in node.gates.in_flight_by_gate() {
        inflight.value(&[("gate", gate)], calls as f64);
    }
    page.gauge(
        "fate_serving_inflight_limit",
        "Inference calls that may be in flight now: serving.max.inflight, or fewer while threads are late.",
        node.gates.inference.limit() as f64,
    );
    page.gauge(
        "fate_serving_thread_delay_seconds",
        "By how much even the least late alarm of the last second was late, on the busiest thread.",
        node.lateness.last().as_secs_f64(),
    );
    page.gauge(
        "fate_serving_held_bytes",
        "Bytes of requests that are not answered yet.",
        node.held_bytes.held() as f64,
    );
    write_models(&mut page, node);
    node.tracing.write(&mut page);
    page.counter(
        "fate_serving_flow_log_dropped_total",
        "Lines of flow.log that the disk was too slow for.",
        node.flow_log.dropped() as f64,
    );
    let levels = node.log_levels.as_ref();
    page.counter(
        "fate_serving_log_dropped_total",
        "Lines of the log that nobody took in time.",
        levels.map_or(0, LogLevels::dropped_lines) as f64,
    );
    if let Some(registration) = &node.registration {
        let state = registration.registry.state();
        page.gauge(
            "fate_serving_registry_connected",
            "Whether there is a connection with the registry.",
            f64::from(u8::from(state.is_connected)),
        );
        page.gauge(
            "fate_serving_registry_nodes",
            "Nodes of the registry that this process owns.",
            state.registered as f64,
        );
    }
    write_process(&mut page);
    page
}

fn write_models(page: &mut Page, node: &Node) {
    let published = node.models.snapshot();
    let mut models = page.family(
        "fate_serving_models_loaded",
        Kind::Gauge,
        "Models that can be used, by role.",
    );
    for (name, is_guest) in [("guest", true), ("host", false)] {
        let of_role = published
            .models()
            .filter(|model| (model.role == Role::Guest) == is_guest);
        models.value(&[("role", name)], of_role.count() as f64);
    }
    let mut infos = page.family(
        "fate_serving_model_info",
        Kind::Gauge,
        "A model that can be used; always 1.",
    );
    for model in published.models() {
        let labels = [
            ("role", model.role.as_str()),
            ("namespace", &*model.key.namespace),
            ("table_name", &*model.key.table_name),
            ("semantics", &*model.semantics.to_string()),
        ];
        infos.value(&labels, 1.0);
    }
    page.gauge(
        "fate_serving_services_bound",
        "Service ids that are bound to a model.",
        published.bindings().count() as f64,
    );
}

/// The way to the hosts, with a look at the clock; a span of the guest's call.
#[derive(Debug)]
pub(crate) struct MeasuredTransport {
    pub(crate) inner: Arc<dyn HostTransport>,
    pub(crate) parties: Arc<PartyMeters>,
}

impl HostTransport for MeasuredTransport {
    fn call<'a>(
        &'a self,
        party_id: &'a str,
        packet: Packet,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Packet, CallError>> {
        let call = self.inner.call(party_id, packet, deadline);
        let mut span = trace::child("remote", trace::Kind::Client);
        span.note("fate.party", party_id);
        let call = span.around(call);
        let mut measure = Measure {
            parties: &self.parties,
            party_id,
            started: Instant::now(),
            outcome: "abandoned",
            span,
        };
        Box::pin(async move {
            let outcome = call.await;
            measure.outcome = match &outcome {
                Ok(_) => "ok",
                Err(CallError::Timeout) => "timeout",
                Err(CallError::Unavailable(_)) => "unavailable",
                Err(CallError::NoRoute | CallError::NoRegisteredProxy) => "no_route",
            };
            if let Err(error) = &outcome {
                measure.span.fail(|| error.to_string());
            }
            outcome
        })
    }

    fn go_on(&self, work: BoxFuture<'static, ()>) {
        self.inner.go_on(Box::pin(trace::carried(work)));
    }

    fn refused(&self, party_id: &str) {
        self.parties.refused(party_id);
    }

    fn address(&self, party_id: &str) -> Option<String> {
        self.inner.address(party_id)
    }
}

/// Counts when it is dropped, so that calls count whose callers gave up.
struct Measure<'a> {
    parties: &'a PartyMeters,
    party_id: &'a str,
    started: Instant,
    outcome: &'static str,
    span: Span,
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        self.span.note("fate.outcome", self.outcome);
        self.parties.observe(self.party_id, self.outcome, took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_would_not_see_the_answer_is_refused_until_things_are_faster() {
        let telemetry = Telemetry::default();
        let entry = Entry::ALL[0];
        let late = |millis: u64| {
            let deadline = Instant::now() + Duration::from_millis(millis);
            telemetry.would_be_late(entry, Some(deadline))
        };
        assert!(!telemetry.would_be_late(entry, None));
        assert!(late(0), "it has passed");
        assert!(!late(1), "nothing is known yet");
        for _ in 0..100 {
            telemetry.entries[0].learn(Duration::from_millis(800));
        }
        assert!(!late(500) && late(300));
        assert!(!telemetry.would_be_late(
            Entry::ALL[1],
            Some(Instant::now() + Duration::from_millis(300))
        ));
        let refused = (0..1000).take_while(|_| late(100)).count();
        assert!((5..100).contains(&refused), "{refused}");
    }
}
