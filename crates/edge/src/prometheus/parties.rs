//! Calls to other parties, by party.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::meters::{Counter, Histogram};
use super::page::{Kind, Page};

/// Parties with meters of their own; all others share one.
const MAX_PARTIES: usize = 256;
const OTHER: &str = "other";
/// What may become of a call.
const OUTCOMES: [&str; 5] = ["ok", "timeout", "unavailable", "no_route", "abandoned"];

/// Meters of one party.
#[derive(Debug, Default)]
struct Meters {
    outcomes: [Counter; OUTCOMES.len()],
    durations: Histogram,
    refusals: Counter,
}

/// Looked up without a lock.
#[derive(Debug, Default)]
pub struct PartyMeters {
    parties: ArcSwap<BTreeMap<String, Arc<Meters>>>,
}

impl PartyMeters {
    /// Takes a finished call down. `outcome` is `ok`, `timeout`, `unavailable`, `no_route`, or
    /// `abandoned` when its caller lost interest.
    pub fn observe(&self, party_id: &str, outcome: &str, duration: Duration) {
        let meters = self.meters(party_id);
        let place = OUTCOMES.iter().position(|one| *one == outcome);
        if let Some(place) = place {
            meters.outcomes[place].add(1);
        }
        meters.durations.observe(duration);
    }

    /// Takes down that an answer was a refusal: of the party itself, or of a proxy on the way to it.
    pub fn refused(&self, party_id: &str) {
        self.meters(party_id).refusals.add(1);
    }

    fn meters(&self, party_id: &str) -> Arc<Meters> {
        if let Some(known) = self.parties.load().get(party_id) {
            return Arc::clone(known);
        }
        let mut name = party_id;
        self.parties.rcu(|parties| {
            let mut parties = BTreeMap::clone(parties);
            let has_room = parties.len() < MAX_PARTIES;
            name = if has_room || parties.contains_key(party_id) {
                party_id
            } else {
                OTHER
            };
            parties.entry(name.to_owned()).or_default();
            parties
        });
        let parties = self.parties.load();
        parties.get(name).map(Arc::clone).unwrap_or_default()
    }

    /// Writes both families.
    pub fn write(&self, page: &mut Page) {
        let parties = self.parties.load();
        let mut requests = page.family(
            "fate_serving_remote_requests_total",
            Kind::Counter,
            "Calls to other parties by outcome; ok: there was an answer.",
        );
        for (party, meters) in parties.iter() {
            for (outcome, counter) in OUTCOMES.iter().zip(&meters.outcomes) {
                let count = counter.get();
                if count > 0 {
                    requests.value(&[("party", party), ("outcome", outcome)], count as f64);
                }
            }
        }
        let mut refusals = page.family(
            "fate_serving_remote_refusals_total",
            Kind::Counter,
            "Answers of other parties, or of proxies on the way, that were refusals.",
        );
        for (party, meters) in parties.iter() {
            refusals.value(&[("party", party)], meters.refusals.get() as f64);
        }
        let mut durations = page.family(
            "fate_serving_remote_duration_seconds",
            Kind::Histogram,
            "How long calls to other parties took.",
        );
        for (party, meters) in parties.iter() {
            durations.histogram(&[("party", party)], &meters.durations);
        }
    }
}
