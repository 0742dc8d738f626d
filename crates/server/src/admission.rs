//! Admission: how many calls may be in flight. Nothing waits here; a call enters at once or is refused at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// One limit on calls in flight.
#[derive(Debug)]
pub(crate) struct Gate {
    limit: usize,
    in_flight: AtomicUsize,
    is_closed: AtomicBool,
    left: Notify,
}

/// Why a call may not enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// As many calls as allowed are in flight.
    Full,
    /// The server is stopping.
    Closed,
}

/// The right to be in flight; dropping it leaves the gate.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
}

impl Gate {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            in_flight: AtomicUsize::new(0),
            is_closed: AtomicBool::new(false),
            left: Notify::new(),
        })
    }

    pub(crate) fn try_enter(self: &Arc<Self>) -> Result<Permit, Refused> {
        if self.in_flight.fetch_add(1, Ordering::SeqCst) >= self.limit {
            self.leave();
            return Err(Refused::Full);
        }
        let permit = Permit {
            gate: Arc::clone(self),
        };
        // Looked at after entering: whoever closes the gate afterwards sees this call in flight and waits for it.
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Refused::Closed);
        }
        Ok(permit)
    }

    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Waits until nothing is in flight; false when `grace` ends before that.
    pub(crate) async fn drained(&self, grace: Duration) -> bool {
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

/// The gates of a server. Loading models never takes a place from inference, nor the other way round.
#[derive(Debug, Clone)]
pub(crate) struct Gates {
    /// Guest and host inference, `serving.max.inflight`.
    pub(crate) inference: Arc<Gate>,
    /// Changes of models; each may hold a connection to FATE-Flow for a minute.
    pub(crate) models: Arc<Gate>,
    /// Questions about the server.
    pub(crate) common: Arc<Gate>,
}

const MODEL_CALLS: usize = 64;
const COMMON_CALLS: usize = 256;

impl Gates {
    pub(crate) fn new(max_in_flight: usize) -> Self {
        Self {
            inference: Gate::new(max_in_flight),
            models: Gate::new(MODEL_CALLS),
            common: Gate::new(COMMON_CALLS),
        }
    }

    pub(crate) fn close(&self) {
        for gate in self.all() {
            gate.close();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inference.is_closed.load(Ordering::SeqCst)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.all().iter().map(|gate| gate.in_flight()).sum()
    }

    /// Waits until no call is in flight; false when `grace` ends before that.
    pub(crate) async fn drained(&self, grace: Duration) -> bool {
        let gates = self.all();
        futures::future::join_all(gates.map(|gate| gate.drained(grace)))
            .await
            .into_iter()
            .all(|drained| drained)
    }

    fn all(&self) -> [&Arc<Gate>; 3] {
        [&self.inference, &self.models, &self.common]
    }
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
    }

    #[test]
    fn a_closed_gate_refuses_and_leaves_no_trace() {
        let gate = Gate::new(2);
        gate.close();
        assert_eq!(gate.try_enter().unwrap_err(), Refused::Closed);
        assert_eq!(gate.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_the_last_call_but_not_forever() {
        let gates = Gates::new(2);
        let permit = gates.inference.try_enter().unwrap();
        gates.close();
        assert!(!gates.drained(Duration::from_secs(1)).await);
        let waiting = tokio::spawn({
            let gates = gates.clone();
            async move { gates.drained(Duration::from_secs(60)).await }
        });
        tokio::task::yield_now().await;
        drop(permit);
        assert!(waiting.await.unwrap());
    }
}
