//! The gates of this role.

use std::sync::Arc;
use std::time::Duration;

use fate_edge::admission::Gate;

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
        self.inference.is_closed()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.all().iter().map(|gate| gate.in_flight()).sum()
    }

    /// The same by gate.
    pub(crate) fn in_flight_by_gate(&self) -> [(&'static str, usize); 3] {
        [
            ("inference", self.inference.in_flight()),
            ("models", self.models.in_flight()),
            ("common", self.common.in_flight()),
        ]
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
