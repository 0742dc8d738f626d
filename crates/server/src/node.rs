//! One serving-server: what every edge calls. gRPC and HTTP only translate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::party::Role;
use fate_domain::return_code::ReturnCode;
use fate_edge::adaptive::{self, Lateness};
use fate_edge::admission::{Gate, Permit, Refused, over_load, refusal};
use fate_edge::callers::CallerLimit;
use fate_edge::flow::{FlowControl, Metrics};
use fate_edge::flow_log::{self, FlowLog};
use fate_edge::guard::guarded;
use fate_edge::intake::ByteBudget;
use fate_edge::log_levels::LogLevels;
use fate_edge::managed::{ManagedEntry, managed};
use fate_edge::process;
use fate_edge::prometheus::Shed;
use fate_edge::trace::{Span, Tracing};
use fate_federation::{Answer, CallRecord, Guest, Host, Shape, Stage, failed_reply};
use fate_model::Models;
use fate_proto::proxy::{Data, Packet};

use crate::caller::Caller;
use crate::config::Config;
use crate::gates::Gates;
use crate::readiness::Registered;
use crate::registration::Registration;
use crate::reload::{guest_with, host_with};
use crate::telemetry::Telemetry;

/// Everything a running server consists of, apart from its listeners.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) config: ArcSwap<Config>,
    pub(crate) grpc_port: u16,
    pub(crate) models: Models,
    /// Where this server is registered and finds others; none for static routing.
    pub(crate) registration: Option<Arc<Registration>>,
    pub(crate) registered: Registered,
    pub(crate) guest: ArcSwap<Guest>,
    pub(crate) host: ArcSwap<Host>,
    pub(crate) flow: Arc<FlowControl>,
    pub(crate) metrics: Metrics,
    pub(crate) telemetry: Telemetry,
    pub(crate) tracing: Tracing,
    pub(crate) flow_log: FlowLog,
    pub(crate) process: process::Samples,
    pub(crate) gates: Gates,
    pub(crate) lateness: Arc<Lateness>,
    pub(crate) caller_limit: ArcSwapOption<CallerLimit>,
    /// What unanswered requests hold, of `serving.max.body.bytes`.
    pub(crate) held_bytes: Arc<ByteBudget>,
    pub(crate) log_levels: Option<LogLevels>,
}

/// An entry for inference: its names in the contract (01 §1.4).
pub(crate) struct Entry {
    service: &'static str,
    resource: &'static str,
    shape: Shape,
    role: Role,
    /// In [`Entry::ALL`].
    pub(crate) place: usize,
}

impl Entry {
    /// Every entry, each at its place.
    pub(crate) const ALL: [&Self; 4] = [&GUEST_SINGLE, &GUEST_BATCH, &HOST_SINGLE, &HOST_BATCH];

    /// The entry that a resource is counted for.
    fn of_resource(resource: &str) -> &'static Self {
        let entries = Self::ALL.into_iter();
        let mut found = entries.filter(|entry| entry.resource == resource);
        found.next().unwrap_or(&GUEST_SINGLE)
    }

    /// Role and method, as metrics call them.
    pub(crate) fn labels(&self) -> [(&'static str, &'static str); 2] {
        let method = self.resource.trim_start_matches("I_");
        [("role", self.role.as_str()), ("method", method)]
    }

    /// Whether a call has many rows.
    pub(crate) fn is_batch(&self) -> bool {
        matches!(self.shape, Shape::Batch)
    }

    /// Whether a call of this kind comes to the stage.
    pub(crate) fn has(&self, stage: Stage) -> bool {
        match stage {
            Stage::Features => self.role == Role::Host,
            Stage::Remote | Stage::Merge => self.role == Role::Guest,
            Stage::Parse | Stage::Local | Stage::Encode => true,
        }
    }
}

const GUEST_SINGLE: Entry = Entry {
    service: "singleInference",
    resource: "I_singleInference",
    shape: Shape::Single,
    role: Role::Guest,
    place: 0,
};
const GUEST_BATCH: Entry = Entry {
    service: "batchInference",
    resource: "I_batchInference",
    shape: Shape::Batch,
    role: Role::Guest,
    place: 1,
};
const HOST_SINGLE: Entry = Entry {
    service: "hostInferenceProvider",
    resource: "I_federatedInference",
    shape: Shape::Single,
    role: Role::Host,
    place: 2,
};
const HOST_BATCH: Entry = Entry {
    service: "batchInference",
    resource: "I_batch",
    shape: Shape::Batch,
    role: Role::Host,
    place: 3,
};

impl Node {
    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Puts another configuration in force.
    pub(crate) fn replace(&self, config: Config) {
        let guest = guest_with(&self.guest.load(), &config);
        self.guest.store(Arc::new(guest));
        let host = host_with(&self.host.load(), &config);
        self.host.store(Arc::new(host));
        self.config.store(Arc::new(config));
    }

    /// The host in force.
    pub(crate) fn host(&self) -> Arc<Host> {
        self.host.load_full()
    }

    /// Guest, one row. `body` is the JSON of contract 01 §2.2; every outcome is an answer body.
    pub(crate) async fn infer(&self, body: Bytes, caller: Caller) -> Vec<u8> {
        let guest = self.guest.load_full();
        let work = guest.infer(body.clone());
        self.guest_call(&GUEST_SINGLE, &body, caller, work).await
    }

    /// Guest, many rows (contract 01 §2.3).
    pub(crate) async fn infer_batch(&self, body: Bytes, caller: Caller) -> Vec<u8> {
        let guest = self.guest.load_full();
        let work = guest.infer_batch(body.clone());
        self.guest_call(&GUEST_BATCH, &body, caller, work).await
    }

    async fn guest_call(
        &self,
        entry: &Entry,
        input: &Bytes,
        caller: Caller,
        work: impl Future<Output = Answer>,
    ) -> Vec<u8> {
        let started = Instant::now();
        let mut span = self.tracing.received(entry.service, caller.trace.clone());
        let _permit = match self.admit(entry, &caller) {
            Ok(permit) => permit,
            Err(reason) => return self.refuse(entry, reason, &mut span),
        };
        match guarded(entry.service, span.around(work)).await {
            Ok(Answer { body, record }) => {
                self.account(&record, started.elapsed(), (input, &body), &mut span);
                body
            }
            Err(fault) => self.broken(entry, &fault, started, &mut span),
        }
    }

    /// Host entry: a packet from a guest (contract 01 §1.5).
    pub(crate) async fn unary_call(&self, packet: Packet, caller: Caller) -> Packet {
        let started = Instant::now();
        let entry = host_entry(&packet);
        let mut span = self.tracing.received(entry.service, caller.trace.clone());
        let input = packet
            .body
            .as_ref()
            .map(|body| body.value.clone())
            .unwrap_or_default();
        let _permit = match self.admit(entry, &caller) {
            Ok(permit) => permit,
            Err(reason) => return packet_of(self.refuse(entry, reason, &mut span)),
        };
        let host = self.host.load_full();
        let work = span.around(host.unary_call(packet));
        match guarded(entry.service, work).await {
            Ok((reply, record)) => {
                let output = reply.body.as_ref().map(|body| &body.value[..]);
                let bodies = (&input[..], output.unwrap_or_default());
                self.account(&record, started.elapsed(), bodies, &mut span);
                reply
            }
            Err(fault) => packet_of(self.broken(entry, &fault, started, &mut span)),
        }
    }

    /// A management call: bounded by its own gate, limited by its own flow rule.
    pub(crate) async fn manage<T>(
        &self,
        gate: &Arc<Gate>,
        entry: ManagedEntry,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        managed(gate, &self.flow, &self.flow_log, entry, work).await
    }

    /// Counts a finished call and writes its line.
    fn account(
        &self,
        record: &CallRecord,
        cost: Duration,
        (input, output): (&[u8], &[u8]),
        span: &mut Span,
    ) {
        let entry = Entry::of_resource(record.resource);
        self.telemetry.finished(entry, record, cost);
        if record.return_code == ReturnCode::OVERLOAD {
            self.refused_on_its_way(record);
        }
        if record.return_code == ReturnCode::SUCCESS {
            self.flow.succeeded(record.resource, 1);
        } else {
            self.flow.failed(record.resource, 1);
        }
        if let Some(model) = &record.model {
            let (succeeded, failed) = rows_of(record);
            self.flow.succeeded(&model.resource, succeeded);
            self.flow.failed(&model.resource, failed);
        }
        let shown = self.config.load().logs.shown;
        let line = flow_log::Line {
            case_id: &record.case_id,
            return_code: record.return_code.0,
            cost,
            downstream: record.downstream,
            service: record.service,
            router: &self.router_info(record),
            input: shown.input(input),
            output: shown.output(output),
        };
        span.within(|| self.flow_log.write(&line));
        span.note("fate.case_id", &*flow_log::plain(&record.case_id));
        span.note("fate.rows", i64::from(record.rows));
        span.answered(record.return_code.0);
    }

    /// The only refusals with a record are those of a model that has its calls, and of flow rules, which count them.
    fn refused_on_its_way(&self, record: &CallRecord) {
        match &record.model {
            Some(model) if record.is_model_full => {
                self.telemetry.shed(Shed::Model);
                self.flow.blocked(&model.resource, record.rows);
            }
            _ => self.telemetry.shed(Shed::Rate),
        }
    }

    /// A place for a call, unless its caller calls too often or would not see the answer.
    fn admit(&self, entry: &Entry, caller: &Caller) -> Result<Permit, Shed> {
        // A place is taken first: a server that stops says so to everybody.
        let permit = self.gates.inference.try_enter();
        let permit = permit.map_err(|refused| self.reason(refused))?;
        if caller.is_over_limit {
            return Err(Shed::Caller);
        }
        if self.telemetry.would_be_late(entry, caller.deadline) {
            return Err(Shed::Deadline);
        }
        Ok(permit)
    }

    fn reason(&self, refused: Refused) -> Shed {
        let is_lowered = self.gates.inference.limit() < self.config.load().max_in_flight;
        match refused {
            Refused::Full if is_lowered => Shed::Adaptive,
            other => other.into(),
        }
    }

    fn refuse(&self, entry: &Entry, reason: Shed, span: &mut Span) -> Vec<u8> {
        self.flow.blocked(entry.resource, 1);
        self.telemetry.shed(reason);
        let fault = match reason {
            Shed::Draining => refusal(Refused::Closed, entry.service),
            _ => over_load(entry.service),
        };
        self.finish_failed(entry, &fault, Duration::ZERO, span)
    }

    fn broken(&self, entry: &Entry, fault: &Fault, started: Instant, span: &mut Span) -> Vec<u8> {
        self.flow.failed(entry.resource, 1);
        self.finish_failed(entry, fault, started.elapsed(), span)
    }

    fn finish_failed(
        &self,
        entry: &Entry,
        fault: &Fault,
        cost: Duration,
        span: &mut Span,
    ) -> Vec<u8> {
        self.telemetry.broken_off(entry, fault.code.0, cost);
        let line = flow_log::Line {
            case_id: "",
            return_code: fault.code.0,
            cost,
            downstream: Duration::ZERO,
            service: entry.service,
            router: "",
            input: None,
            output: None,
        };
        span.within(|| self.flow_log.write(&line));
        span.answered(fault.code.0);
        failed_reply(entry.shape, fault)
    }

    /// Where the hosts of a guest's call were reached; empty for every other call.
    fn router_info(&self, record: &CallRecord) -> String {
        let is_guest = [GUEST_SINGLE.resource, GUEST_BATCH.resource].contains(&record.resource);
        if !is_guest || !self.flow_log.is_on() {
            return String::new();
        }
        let hosts = record
            .model
            .as_ref()
            .filter(|model| model.plan.needs_hosts())
            .map_or(&[][..], |model| &model.remotes);
        let transport = &self.guest.load().transport;
        let mut addresses: Vec<String> = hosts
            .iter()
            .filter_map(|host| transport.address(&host.party_id))
            .collect();
        addresses.dedup();
        addresses.join(",")
    }

    /// Samples counters and process figures; called once a second.
    pub(crate) fn sample(&self, timestamp_ms: i64) {
        let snapshot = self.models.snapshot();
        let loaded: std::collections::HashSet<String> = snapshot
            .models()
            .map(|model| model.resource.clone())
            .collect();
        self.flow.retain_models(|name| loaded.contains(name));
        self.metrics.record(timestamp_ms, self.flow.take_rates());
        self.process.record(timestamp_ms);
        self.telemetry.came(self.models.take_load_times());
        self.adapt();
    }

    /// Fewer calls may be in flight while the threads are late.
    fn adapt(&self) {
        let late = self.lateness.take();
        let config = self.config.load();
        let (gate, cap) = (&self.gates.inference, config.max_in_flight);
        let before = gate.limit();
        let limit = if config.is_adaptive {
            adaptive::next_limit(before, cap, gate.in_flight(), late)
        } else {
            cap
        };
        gate.set_limit(limit);
        if limit < cap && before >= cap {
            tracing::warn!(
                limit,
                ?late,
                "overloaded: threads are late, fewer calls are let in"
            );
        } else if limit == cap && before < cap {
            tracing::info!(limit, "all calls are let in again");
        }
    }
}

fn host_entry(packet: &Packet) -> &'static Entry {
    let command = packet
        .header
        .as_ref()
        .and_then(|header| header.command.as_ref());
    match command {
        Some(command) if command.name == "batch" => &HOST_BATCH,
        _ => &HOST_SINGLE,
    }
}

/// A reply carries the body's value and nothing else (contract 01 §1.5).
fn packet_of(body: Vec<u8>) -> Packet {
    Packet {
        body: Some(Data {
            value: body.into(),
            ..Data::default()
        }),
        ..Packet::default()
    }
}

/// A batch that went through counts its rows, everything else counts once.
fn rows_of(record: &CallRecord) -> (u32, u32) {
    let has_succeeded = record.return_code == ReturnCode::SUCCESS;
    if !has_succeeded {
        (0, 1)
    } else if record.service == GUEST_BATCH.service {
        (
            record.rows.saturating_sub(record.failed_rows),
            record.failed_rows,
        )
    } else {
        (1, 0)
    }
}
