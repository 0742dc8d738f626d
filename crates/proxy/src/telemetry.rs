//! What this role measures, and how it is written for Prometheus.

use std::time::Duration;

use fate_edge::log_levels::LogLevels;
use fate_edge::prometheus::{
    CodeCounters, Histogram, Kind, Page, PartyMeters, Shed, ShedCounters, write_build_info,
    write_process,
};

use crate::node::{Node, ServiceName, Trail};

/// What passes through a proxy, by the resource that is counted.
const CALLS: [&str; 3] = ["I_inference", "I_batchInference", "I_unaryCall"];

/// Every meter of a proxy.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    calls: [CallMeters; CALLS.len()],
    shed: ShedCounters,
    parties: PartyMeters,
}

#[derive(Debug, Default)]
struct CallMeters {
    codes: CodeCounters,
    total: Histogram,
    /// Waiting for the peer.
    remote: Histogram,
}

impl Telemetry {
    /// A call that came to its end. `code` is this proxy's own: what a peer answers is passed on unread.
    pub(crate) fn finished(&self, name: ServiceName, trail: &Trail, code: i32, cost: Duration) {
        let place = CALLS.iter().position(|call| *call == name.resource);
        let Some(meters) = place.map(|place| &self.calls[place]) else {
            return;
        };
        meters.codes.count(code);
        meters.total.observe(cost);
        if trail.downstream > Duration::ZERO {
            meters.remote.observe(trail.downstream);
            if name.resource == "I_unaryCall" {
                let outcome = if code == 0 { "ok" } else { "unavailable" };
                self.parties.observe(&trail.host, outcome, trail.downstream);
            }
        }
    }

    /// Why a call was refused.
    pub(crate) fn shed(&self, reason: Shed) {
        self.shed.count(reason);
    }

    fn write(&self, page: &mut Page) {
        let by_method = || {
            let methods = CALLS.iter().map(|call| call.trim_start_matches("I_"));
            methods.zip(&self.calls)
        };
        let mut requests = page.family(
            "fate_serving_requests_total",
            Kind::Counter,
            "Calls by this proxy's own return code; 0 is a call that a peer has answered.",
        );
        for (method, meters) in by_method() {
            let labels = [
                ("service", "serving-proxy"),
                ("role", "proxy"),
                ("method", method),
            ];
            meters.codes.write(&mut requests, &labels);
        }
        let mut durations = page.family(
            "fate_serving_request_duration_seconds",
            Kind::Histogram,
            "How long calls took: as a whole, and waiting for the peer.",
        );
        for (method, meters) in by_method() {
            for (stage, histogram) in [("total", &meters.total), ("remote", &meters.remote)] {
                let labels = [("role", "proxy"), ("method", method), ("stage", stage)];
                durations.histogram(&labels, histogram);
            }
        }
        self.parties.write(page);
    }
}

/// Everything there is to scrape.
pub(crate) fn page(node: &Node) -> Page {
    let mut page = Page::default();
    write_build_info(&mut page, "serving-proxy");
    node.telemetry.write(&mut page);
    let mut shed = page.family(
        "fate_serving_shed_total",
        Kind::Counter,
        "Calls that were refused before any work was done for them, by reason.",
    );
    let bytes = node.held_bytes.refused();
    node.telemetry.shed.write(&mut shed, bytes);
    let mut inflight = page.family(
        "fate_serving_inflight",
        Kind::Gauge,
        "Calls in flight, by the gate they came through.",
    );
    for (gate, calls) in node.gates.in_flight_by_gate() {
        inflight.value(&[("gate", gate)], calls as f64);
    }
    page.gauge(
        "fate_serving_held_bytes",
        "Bytes of requests that are not answered yet.",
        node.held_bytes.held() as f64,
    );
    page.gauge(
        "fate_serving_route_table_loaded",
        "Whether a route table is in force.",
        f64::from(u8::from(node.table.current().is_some())),
    );
    if let Some(registry) = &node.registry {
        let is_connected = registry.state().is_connected;
        page.gauge(
            "fate_serving_registry_connected",
            "Whether there is a connection with the registry.",
            f64::from(u8::from(is_connected)),
        );
    }
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
    write_process(&mut page);
    page
}
