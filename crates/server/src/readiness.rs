//! Whether calls should come to this server, and what speaks against it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fate_domain::party::Role;
use fate_edge::http::Readiness;
use fate_registry::State;

use crate::node::Node;

/// A server that cannot register at its start is not held back for longer: it serves without a registry, too.
const REGISTRATION_GRACE: Duration = Duration::from_secs(30);

/// Whether this server has been registered.
#[derive(Debug)]
pub(crate) struct Registered {
    started: Instant,
    /// Once it has been, an outage of the registry is no reason to take calls away from it.
    has_been: AtomicBool,
}

impl Default for Registered {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            has_been: AtomicBool::new(false),
        }
    }
}

impl Registered {
    fn look(&self, state: &State) -> bool {
        if state.is_connected && state.wanted > 0 && state.registered >= state.wanted {
            self.has_been.store(true, Ordering::Relaxed);
        }
        self.has_been.load(Ordering::Relaxed)
    }

    fn judge(&self, state: &State, waited: Duration, readiness: &mut Readiness) {
        let problems = state.problems.values();
        let problems: Vec<&str> = problems.map(String::as_str).collect();
        if !self.look(state) && waited < REGISTRATION_GRACE {
            let mut text = "not registered in ZooKeeper yet".to_owned();
            if !problems.is_empty() {
                text.push_str(&format!(": {}", problems.join("; ")));
            }
            readiness.reasons.push(text);
            return;
        }
        if !state.is_connected {
            let text = "no connection with ZooKeeper: last known addresses are used";
            readiness.warnings.push(text.to_owned());
        }
        let problems = problems.into_iter().map(str::to_owned);
        readiness.warnings.extend(problems);
    }
}

impl Node {
    /// Models are restored before a port opens: there is nothing to be said of them here.
    pub(crate) fn readiness(&self) -> Readiness {
        let mut readiness = Readiness::default();
        if self.gates.is_closed() {
            readiness.reasons.push("the server is stopping".to_owned());
        }
        if let Some(registration) = &self.registration {
            let state = registration.registry.state();
            let waited = self.registered.started.elapsed();
            self.registered.judge(&state, waited, &mut readiness);
        }
        let published = self.models.snapshot();
        if published.models().next().is_none() {
            readiness.warnings.push("no model is loaded".to_owned());
        }
        let is_host = published.models().any(|model| model.role == Role::Host);
        let host = self.host.load();
        let sources = [
            ("feature.single.adaptor", &host.single),
            ("feature.batch.adaptor", &host.batch),
        ];
        for (key, _) in sources
            .iter()
            .filter(|(_, source)| is_host && source.is_none())
        {
            let text =
                format!("a host's model is loaded, and {key} is not set: its calls end with 116");
            readiness.warnings.push(text);
        }
        readiness
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

    use std::collections::BTreeMap;
    use std::time::SystemTime;

    use fate_registry::Part;

    use super::*;

    fn state(is_connected: bool, registered: usize, problem: Option<&str>) -> State {
        let problems = problem.map(|text| (Part::Session, text.to_owned()));
        State {
            is_connected,
            since: SystemTime::now(),
            wanted: 3,
            registered,
            applied: Default::default(),
            is_complete: is_connected,
            problems: problems.into_iter().collect::<BTreeMap<_, _>>(),
        }
    }

    fn judged(registered: &Registered, state: &State, waited: u64) -> (Vec<String>, Vec<String>) {
        let mut readiness = Readiness::default();
        registered.judge(state, Duration::from_secs(waited), &mut readiness);
        (readiness.reasons, readiness.warnings)
    }

    #[test]
    fn a_new_server_waits_for_its_registration_but_not_for_ever() {
        let registered = Registered::default();
        let away = state(false, 0, Some("connection refused"));
        let (reasons, warnings) = judged(&registered, &away, 0);
        let text = "not registered in ZooKeeper yet: connection refused";
        assert_eq!((reasons, warnings), (vec![text.to_owned()], vec![]));
        let (reasons, warnings) = judged(&registered, &state(true, 2, None), 29);
        assert_eq!((reasons.len(), warnings.len()), (1, 0));
        let (reasons, warnings) = judged(&registered, &away, 30);
        assert_eq!((reasons.len(), warnings.len()), (0, 2));
    }

    #[test]
    fn who_was_registered_once_stays_ready() {
        let registered = Registered::default();
        assert_eq!(
            judged(&registered, &state(true, 3, None), 1),
            (vec![], vec![])
        );
        let (reasons, warnings) = judged(&registered, &state(false, 0, None), 2);
        assert_eq!((reasons.len(), warnings.len()), (0, 1));
    }
}
