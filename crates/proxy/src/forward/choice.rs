//! One of several addresses (contract 04 A.5.2, step 6).

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::Rng as _;

use crate::config::RouteType;
use crate::route_table::{PartyRole, Route};

/// Turns are counted for so many destinations apart; those that share a count still get all their addresses, in other
/// turns.
const COUNTERS: usize = 64;

#[derive(Debug)]
pub(super) struct Choice {
    route_type: RouteType,
    turns: [AtomicUsize; COUNTERS],
    hasher: RandomState,
}

impl Choice {
    pub(super) fn new(route_type: RouteType) -> Self {
        Self {
            route_type,
            turns: std::array::from_fn(|_| AtomicUsize::new(0)),
            hasher: RandomState::new(),
        }
    }

    /// One of the addresses that can be used; the first of all when none can. `None` for an empty list.
    pub(super) fn of<'a>(&self, routes: &'a [Route], to: PartyRole<'_>) -> Option<&'a Route> {
        let usable = || routes.iter().filter(|route| route.fault().is_none());
        let position = match (self.route_type, usable().count()) {
            (_, 0 | 1) | (RouteType::Consistent, _) => 0,
            (RouteType::Random, count) => rand::rng().random_range(0..count),
            (RouteType::RoundRobin, count) => self.turn(to) % count,
        };
        usable().nth(position).or_else(|| routes.first())
    }

    fn turn(&self, to: PartyRole<'_>) -> usize {
        let hash = self.hasher.hash_one((to.party_id, to.role));
        let place = usize::try_from(hash % COUNTERS as u64).unwrap_or_default();
        self.turns[place].fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::route_table::Target;

    const TO: PartyRole<'_> = PartyRole {
        party_id: "1",
        role: "r",
    };

    fn route(name: &str, is_usable: bool) -> Route {
        let address = format!("{name}:1").parse().unwrap();
        Route {
            shown: name.to_owned(),
            target: if is_usable {
                Target::Grpc { address, tls: None }
            } else {
                Target::Unusable("because".to_owned())
            },
        }
    }

    fn counts(route_type: RouteType, routes: &[Route]) -> HashMap<String, usize> {
        let choice = Choice::new(route_type);
        let mut counts = HashMap::new();
        for _ in 0..3000 {
            let chosen = choice.of(routes, TO).unwrap();
            *counts.entry(chosen.shown.clone()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn the_kinds_of_choice() {
        let routes = [
            route("a", true),
            route("x", false),
            route("b", true),
            route("c", true),
        ];
        let turns = counts(RouteType::RoundRobin, &routes);
        assert_eq!(
            turns,
            ["a", "b", "c"].map(|name| (name.to_owned(), 1000)).into()
        );
        assert_eq!(
            counts(RouteType::Consistent, &routes),
            [("a".to_owned(), 3000)].into()
        );
        let random = counts(RouteType::Random, &routes);
        // 1000 each is expected, 26 the standard deviation.
        assert!(
            random.len() == 3 && random.values().all(|count| (800..1200).contains(count)),
            "{random:?}"
        );
    }

    #[test]
    fn turns_of_other_destinations_do_not_count() {
        let routes = [route("a", true), route("b", true)];
        let choice = Choice::new(RouteType::RoundRobin);
        let other = (0..100).map(|id| id.to_string());
        let apart = other.filter(|id| {
            let other = PartyRole {
                party_id: id,
                role: "r",
            };
            let place = |to: PartyRole<'_>| {
                choice.hasher.hash_one((to.party_id, to.role)) % COUNTERS as u64
            };
            place(other) != place(TO)
        });
        let apart: Vec<String> = apart.collect();
        let mut chosen = Vec::new();
        for id in &apart[..4] {
            chosen.push(choice.of(&routes, TO).unwrap().shown.clone());
            choice.of(
                &routes,
                PartyRole {
                    party_id: id,
                    role: "r",
                },
            );
        }
        assert_eq!(chosen, ["a", "b", "a", "b"]);
    }

    #[test]
    fn what_cannot_be_used_is_chosen_only_when_there_is_nothing_else() {
        let choice = Choice::new(RouteType::Random);
        let routes = [route("x", false), route("y", false)];
        assert_eq!(choice.of(&routes, TO).unwrap().shown, "x");
        assert_eq!(choice.of(&[], TO), None);
    }
}
