//! Management calls: everything that is no inference.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fate_domain::fault::Fault;

use crate::admission::{Gate, over_load, refusal};
use crate::flow::FlowControl;
use crate::flow_log::{FlowLog, Line};
use crate::guard::guarded;

/// An entry for management: `resource` is counted and limited, `method` is the flow log's name.
#[derive(Debug, Clone, Copy)]
pub struct ManagedEntry {
    pub resource: &'static str,
    pub service: &'static str,
    pub method: &'static str,
}

/// Runs a management call: bounded by its gate, limited by its own flow rule, counted and logged.
pub async fn managed<T>(
    gate: &Arc<Gate>,
    flow: &FlowControl,
    log: &FlowLog,
    entry: ManagedEntry,
    work: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let started = Instant::now();
    let outcome = match gate.try_enter() {
        Err(refused) => {
            flow.blocked(entry.resource, 1);
            Err(refusal(refused, entry.service))
        }
        Ok(_) if !flow.pass(entry.resource, 1) => Err(over_load(entry.service)),
        Ok(_permit) => {
            let outcome = guarded(entry.method, work)
                .await
                .and_then(|outcome| outcome);
            match &outcome {
                Ok(_) => flow.succeeded(entry.resource, 1),
                Err(_) => flow.failed(entry.resource, 1),
            }
            outcome
        }
    };
    log.write(&Line {
        case_id: "",
        return_code: outcome.as_ref().err().map_or(0, |fault| fault.code.0),
        cost: started.elapsed(),
        downstream: Duration::ZERO,
        service: &format!("{}.{}", entry.service, entry.method),
        router: "",
        input: None,
        output: None,
    });
    outcome
}
