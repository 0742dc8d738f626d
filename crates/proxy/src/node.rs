//! One serving-proxy: what every port calls. gRPC and HTTP only translate.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_edge::admission::{Gate, Permit, over_load, refusal};
use fate_edge::clock::now_ms;
use fate_edge::config::Changes;
use fate_edge::flow::{FlowControl, Metrics};
use fate_edge::flow_log::{FlowLog, plain};
use fate_edge::http::Readiness;
use fate_edge::intake::ByteBudget;
use fate_edge::log_levels::LogLevels;
use fate_edge::process;
use fate_edge::prometheus::Shed;
use fate_edge::trace::{Span, Tracing};
use fate_registry::Registry;
use serde_json::json;

use crate::call::CallContext;
use crate::config::Config;
use crate::flow_line::{self, FlowLine};
use crate::forward::Forwarder;
use crate::gates::Gates;
use crate::peers::{Peer, PeerKey, Peers};
use crate::route_table::{Route, RouteEditor, RunningTable};
use crate::telemetry::Telemetry;

/// Everything a running proxy consists of, apart from its listeners.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: ArcSwap<Config>,
    pub(crate) table: Arc<RunningTable>,
    pub(crate) editor: Arc<RouteEditor>,
    pub(crate) forwarder: Forwarder,
    pub(crate) registry: Option<Registry>,
    pub(crate) peers: Peers,
    pub(crate) flow: Arc<FlowControl>,
    pub(crate) metrics: Metrics,
    pub(crate) telemetry: Telemetry,
    pub(crate) tracing: Tracing,
    pub(crate) flow_log: FlowLog,
    pub(crate) process: process::Samples,
    pub(crate) gates: Gates,
    /// What unanswered requests hold, of `proxy.max.body.bytes`.
    pub(crate) held_bytes: Arc<ByteBudget>,
    /// The part of them that requests of other parties may hold.
    pub(crate) strangers_bytes: Arc<ByteBudget>,
    pub(crate) log_levels: Option<LogLevels>,
    pub(crate) case_ids: CaseIds,
}

/// A service of the contract: its name in texts and in the flow log, and the resource that is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServiceName {
    pub(crate) service: &'static str,
    pub(crate) resource: &'static str,
}

/// A call that has not left this proxy: another address may still be tried.
#[derive(Debug)]
pub(crate) struct NotSent(pub(crate) Fault);

/// Addresses that are tried for one call.
pub(crate) const MAX_ADDRESSES: usize = 3;

/// What is known of a call when its line is written.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    pub(crate) case_id: String,
    pub(crate) guest: String,
    pub(crate) host: String,
    /// Where the call went.
    pub(crate) router: String,
    /// Time spent waiting for that peer.
    pub(crate) downstream: Duration,
}

impl Node {
    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Puts a checked configuration in force, as far as that is possible without a restart. Calls in flight end as they
    /// began.
    ///
    /// # Errors
    /// Nothing has changed; the text says why.
    pub(crate) fn reload(&self, new: &Config) -> Result<Changes, String> {
        let now = self.config();
        let (config, changes) = now.reloaded(new);
        // The only part that can fail.
        if let Some(levels) = &self.log_levels {
            config.logs.apply_changes(&now.logs, levels)?;
        }
        self.gates.set_limit(config.max_in_flight);
        if let Some(traces) = &config.traces {
            self.tracing.set_ratio(traces.ratio);
        }
        self.config.store(Arc::new(config));
        Ok(changes)
    }

    /// A place for a call, if the service has one left and its flow rule lets it pass.
    pub(crate) fn enter(&self, gate: &Arc<Gate>, name: ServiceName) -> Result<Permit, Fault> {
        match gate.try_enter() {
            Err(refused) => {
                self.flow.blocked(name.resource, 1);
                self.telemetry.shed(refused.into());
                Err(refusal(refused, name.service))
            }
            Ok(_) if !self.flow.pass(name.resource, 1) => {
                self.telemetry.shed(Shed::Rate);
                Err(over_load(name.service))
            }
            Ok(permit) => Ok(permit),
        }
    }

    /// The peer behind a route, and the right to call it once. `unreachable` is what the caller is told of a peer that
    /// cannot be reached.
    ///
    /// # Errors
    /// It cannot be dialled, or as many calls as allowed are on their way to it.
    pub(crate) async fn peer(
        &self,
        route: &Route,
        service: &str,
        unreachable: &Fault,
    ) -> Result<(Arc<Peer>, Permit), NotSent> {
        // The cause may name files of this proxy: it stays in the log.
        let unusable = |cause: &str| {
            tracing::warn!(route = route.shown, cause, "a route cannot be used");
            NotSent(unreachable.clone())
        };
        let key = PeerKey::of(&route.target);
        let key = key.ok_or_else(|| unusable(route.fault().unwrap_or_default()))?;
        let peer = self.peers.peer(&key).await;
        let peer = peer.map_err(|cause| unusable(&cause))?;
        let place = peer.enter();
        let place = place.ok_or_else(|| NotSent(over_load(service)))?;
        Ok((peer, place))
    }

    /// The route, unless its peer is down and `another` knows one whose peer is not.
    pub(crate) fn around_down(
        &self,
        route: Route,
        another: impl Fn(&[Route]) -> Option<Route>,
    ) -> Route {
        let mut passed = vec![route];
        while self.peers.is_down(&passed[passed.len() - 1].target) {
            match another(&passed) {
                Some(next) if passed.len() < MAX_ADDRESSES => passed.push(next),
                // All are down: the choice of before is as good as any.
                _ => return passed.swap_remove(0),
            }
        }
        passed.swap_remove(passed.len() - 1)
    }

    /// Counts a finished call, writes its line, ends its span.
    #[allow(
        clippy::too_many_arguments,
        reason = "all that is known of a call at its end"
    )]
    pub(crate) fn account(
        &self,
        name: ServiceName,
        call: &CallContext,
        trail: &Trail,
        started: Instant,
        outcome: Result<(), &Fault>,
        (input, output): (&[u8], &[u8]),
        span: &mut Span,
    ) {
        match outcome {
            Ok(()) => self.flow.succeeded(name.resource, 1),
            Err(_) => self.flow.failed(name.resource, 1),
        }
        let (cost, return_code) = (started.elapsed(), outcome.err().map_or(0, |one| one.code.0));
        self.telemetry.finished(name, trail, return_code, cost);
        let shown = self.config.load().logs.shown;
        let line = FlowLine {
            source: call.source,
            case_id: &trail.case_id,
            guest: &trail.guest,
            host: &trail.host,
            return_code,
            cost,
            downstream: trail.downstream,
            service: name.service,
            router: &trail.router,
            input: shown.input(input),
            output: shown.output(output),
        };
        span.within(|| {
            self.flow_log
                .write_columns(line.case_id, |out| flow_line::write(&line, out));
        });
        span.note("fate.case_id", &*plain(&trail.case_id));
        span.answered(return_code);
    }

    /// The text of the route table in force.
    pub(crate) fn table_text(&self) -> String {
        let table = self.table.current();
        table.map_or_else(String::new, |table| table.document().compact())
    }

    /// Whether calls should come here.
    pub(crate) fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::default();
        if self.gates.is_closed() {
            readiness.reasons.push("the proxy is stopping".to_owned());
        }
        if self.table.current().is_none() {
            let text = match self.table.fault() {
                Some(fault) => format!("no route table is in force: {fault}"),
                None => "there is no route table".to_owned(),
            };
            // Servers of this party are found through the registry, too.
            if self.registry.is_some() {
                readiness.warnings.push(text);
            } else {
                readiness.reasons.push(text);
            }
        } else if let Some(fault) = self.table.fault() {
            let text = format!("the route table before the last change is in force: {fault}");
            readiness.warnings.push(text);
        }
        if let Some(fault) = self.forwarder.auth().and_then(|auth| auth.fault()) {
            let text = format!("keys of the proxies (auth.file): {fault}");
            readiness.warnings.push(text);
        }
        if self
            .registry
            .as_ref()
            .is_some_and(|one| !one.state().is_connected)
        {
            let text = "no connection with ZooKeeper: last known addresses are used";
            readiness.warnings.push(text.to_owned());
        }
        readiness
    }

    /// Samples counters and process figures; called once a second.
    pub(crate) fn sample(&self, timestamp_ms: i64) {
        self.metrics.record(timestamp_ms, self.flow.take_rates());
        self.process.record(timestamp_ms);
    }

    /// Closes the connections that neither the route table nor the registry leads to any longer.
    pub(crate) fn close_left_peers(&self) {
        let table = self.table.current();
        let routes = table.iter().flat_map(|table| table.all_routes());
        let listed = routes.filter_map(|route| PeerKey::of(&route.target));
        let known = self.registry.as_ref().map(Registry::snapshot);
        let services = known.iter().flat_map(|known| known.services());
        let registered = services.flat_map(|service| service.providers());
        let registered = registered.filter_map(|one| one.authority().parse().ok());
        let registered = registered.map(|address| PeerKey::Grpc { address, tls: None });
        let wanted: std::collections::HashSet<PeerKey> = listed.chain(registered).collect();
        self.peers.retain(|key| wanted.contains(key));
    }
}

/// The body of an answer that is nothing but an error.
pub(crate) fn fault_body(code: i32, message: &str) -> Vec<u8> {
    json!({"retcode": code, "retmsg": message})
        .to_string()
        .into_bytes()
}

/// Case ids of packets: the time in milliseconds, as Java's, but each only once.
#[derive(Debug, Default)]
pub(crate) struct CaseIds {
    last: AtomicI64,
}

impl CaseIds {
    pub(crate) fn next(&self) -> String {
        let now = now_ms();
        let later = |last: i64| Some(now.max(last + 1));
        // The closure always answers Some.
        let last = self
            .last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        now.max(last.unwrap_or_default() + 1).to_string()
    }
}

/// Runs work on files off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Fault::new(ReturnCode::SYSTEM, error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_ids_are_times_that_never_repeat() {
        let ids = CaseIds::default();
        let made: Vec<i64> = (0..1000).map(|_| ids.next().parse().unwrap()).collect();
        assert!(made.is_sorted_by(|one, next| one < next));
        assert!((made[0] - now_ms()).abs() < 60_000);
    }

    #[test]
    fn errors_have_two_members_in_java_s_order() {
        assert_eq!(
            fault_body(128, "serving-proxy can not find router info "),
            br#"{"retcode":128,"retmsg":"serving-proxy can not find router info "}"#
        );
    }
}
