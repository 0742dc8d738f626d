//! Admission: how many calls may be in flight. Nothing waits here; a call enters at once or is refused at
//! once. What makes the limit lower under load is [`crate::adaptive`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use tokio::sync::Notify;

/// One limit on calls in flight.
#[derive(Debug)]
pub struct Gate {
    limit: AtomicUsize,
    in_flight: AtomicUsize,
    is_closed: AtomicBool,
    left: Notify,
}

/// Why a call may not enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// As many calls as allowed are in flight.
    Full,
    /// The server is stopping.
    Closed,
}

/// The right to be in flight; dropping it leaves the gate.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
}

impl Gate {
    /// A gate for so many calls.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicUsize::new(limit),
            in_flight: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            left: Notify::new(),
        })
    }

    /// How many calls may be in flight.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Another limit; who is in flight stays.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The right to be in flight, if there is one left.
    pub fn try_enter(self: &Arc<Self>) -> Result<Permit, Refused> {
        if self.in_flight.fetch_add(1, Ordering::SeqCst) >= self.limit.load(Ordering::Relaxed) {
            self.leave();
            return Err(Refused::Full);
        }
        let permit = Permit {
            gate: Arc::clone(self),
        };
        // Looked at after entering: whoever closes the gate afterwards sees this call in flight and waits for it.
        if self.is_closed() {
            return Err(Refused::Closed);
        }
        Ok(permit)
    }

    /// Refuses everyone from now on; who is in flight stays.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Whether the gate has been closed.
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Waits until nothing is in flight; false when `grace` ends before that.
    pub async fn drained(&self, grace: Duration) -> bool {
        let empty = async {
            loop {
                let left = self.left.notified();
                if self.in_flight() == 0 {
                    return;
                }
                left.await;
            }
        };
        tokio::time::timeout(grace, empty).await.is_ok()
    }

    fn leave(&self) {
        if self.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.left.notify_waiters();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

/// What a caller is told who may not enter. `service` is the service's name in the contract.
pub fn refusal(refused: Refused, service: &str) -> Fault {
    match refused {
        Refused::Full => over_load(service),
        Refused::Closed => Fault::new(ReturnCode::SHUTDOWN, "server is shutting down"),
    }
}

/// The contract's text for calls over a limit.
pub fn over_load(service: &str) -> Fault {
    Fault::new(
        ReturnCode::OVERLOAD,
        format!("request was block by over load, service name: {service}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_too_many_is_refused_until_one_leaves() {
        let gate = Gate::new(2);
        let first = gate.try_enter().unwrap();
        let _second = gate.try_enter().unwrap();
        assert_eq!(gate.try_enter().unwrap_err(), Refused::Full);
        assert_eq!(gate.in_flight(), 2);
        drop(first);
        assert!(gate.try_enter().is_ok());
        gate.set_limit(1);
        assert_eq!(gate.try_enter().unwrap_err(), Refused::Full);
    }

    #[test]
    fn a_closed_gate_refuses_and_leaves_no_trace() {
        let gate = Gate::new(2);
        gate.close();
        assert_eq!(gate.try_enter().unwrap_err(), Refused::Closed);
        assert_eq!(gate.in_flight(), 0);
    }

    #[test]
    fn refusals() {
        let full = refusal(Refused::Full, "singleInference");
        assert_eq!(
            (full.code.0, full.message.as_str()),
            (
                124,
                "request was block by over load, service name: singleInference"
            )
        );
        assert_eq!(refusal(Refused::Closed, "x").code.0, 111);
    }
}
