//! The gates of this role: one per service, so that none takes the places of another (contract 04 A.9).

use std::sync::Arc;
use std::time::Duration;

use fate_edge::admission::Gate;

/// Calls about the proxy itself at the same time.
const MANAGEMENT_CALLS: usize = 64;
/// Each opens connections of its own.
const HEALTH_CHECKS: usize = 4;

#[derive(Debug)]
pub(crate) struct Gates {
    pub(crate) inference: Arc<Gate>,
    pub(crate) batch: Arc<Gate>,
    /// Packets of this party's servers.
    pub(crate) unary: Arc<Gate>,
    /// Packets of other parties: they must not take the places of this party's own.
    pub(crate) from_others: Arc<Gate>,
    /// Questions about the proxy, changes of routes.
    pub(crate) management: Arc<Gate>,
    /// Of those, the ones that try all routes.
    pub(crate) health_checks: Arc<Gate>,
    /// Packets of the server in this process. Never closed: the server drains after the ports, and needs it until then.
    pub(crate) own_server: Arc<Gate>,
}

impl Gates {
    /// `max_in_flight` calls of each service.
    pub(crate) fn new(max_in_flight: usize) -> Self {
        Self {
            inference: Gate::new(max_in_flight),
            batch: Gate::new(max_in_flight),
            unary: Gate::new(max_in_flight),
            from_others: Gate::new(max_in_flight),
            management: Gate::new(MANAGEMENT_CALLS),
            health_checks: Gate::new(HEALTH_CHECKS),
            own_server: Gate::new(max_in_flight),
        }
    }

    /// Another limit for each service.
    pub(crate) fn set_limit(&self, max_in_flight: usize) {
        let services = [&self.inference, &self.batch, &self.unary, &self.own_server];
        for gate in services {
            gate.set_limit(max_in_flight);
        }
    }

    pub(crate) fn close(&self) {
        for gate in self.all() {
            gate.close();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.unary.is_closed()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.all().iter().map(|gate| gate.in_flight()).sum()
    }

    /// The same by gate.
    pub(crate) fn in_flight_by_gate(&self) -> [(&'static str, usize); 5] {
        [
            ("inference", self.inference.in_flight()),
            ("batch", self.batch.in_flight()),
            ("unary", self.unary.in_flight()),
            ("unary_from_others", self.from_others.in_flight()),
            ("management", self.management.in_flight()),
        ]
    }

    /// Waits until no call is in flight; false when `grace` ends before that.
    pub(crate) async fn drained(&self, grace: Duration) -> bool {
        let drained = self.all().map(|gate| gate.drained(grace));
        futures::future::join_all(drained)
            .await
            .into_iter()
            .all(|drained| drained)
    }

    /// Those of the ports.
    fn all(&self) -> [&Arc<Gate>; 5] {
        [
            &self.inference,
            &self.batch,
            &self.unary,
            &self.from_others,
            &self.management,
        ]
    }
}
