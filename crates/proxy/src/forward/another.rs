//! A second address, for a call whose first one could not be reached. Only for calls that were never sent: whether a
//! peer has done what it did not answer, nobody knows.

use fate_proto::proxy::Packet;
use rand::seq::IndexedRandom as _;

use super::packet::Parties;
use super::{Arrival, Forwarder, model_route};
use crate::route_table::{PartyRole, Route, Target};

impl Forwarder {
    /// Another address for a packet; `tried` are those that could not be reached. What the registry serves is never sent
    /// by the route table instead, which may lead to another party.
    pub fn another(&self, arrival: Arrival, packet: &Packet, tried: &[Route]) -> Option<Route> {
        let Parties { from, to, .. } = Parties::of(packet).ok()?;
        let environment = match arrival {
            Arrival::Intra => None,
            Arrival::Inter => model_route::environment(packet).ok()?,
        };
        let registered = environment.map_or_else(Vec::new, |environment| {
            self.all_registered(&environment, "unaryCall")
        });
        if registered.is_empty() {
            self.another_listed(from, to, tried)
        } else {
            untried(&registered, tried)
        }
    }

    /// Another server for a service id, in the same way.
    pub fn another_server(
        &self,
        service_id: &str,
        service: &str,
        tried: &[Route],
    ) -> Option<Route> {
        let registered = self.all_registered(service_id, service);
        if registered.is_empty() {
            let (from, to) = self.own_sides();
            self.another_listed(from, to, tried)
        } else {
            untried(&registered, tried)
        }
    }

    fn another_listed(
        &self,
        from: PartyRole<'_>,
        to: PartyRole<'_>,
        tried: &[Route],
    ) -> Option<Route> {
        let table = self.table.current()?;
        if self.enforce.table && !table.allows(from, to) {
            return None;
        }
        let listed = table.routes(to).ok()?.iter().cloned();
        let listed: Vec<Route> = listed.map(|route| self.shortened(route)).collect();
        untried(&listed, tried)
    }

    /// All that have registered the service, but those that are to get no calls.
    fn all_registered(&self, environment: &str, service: &str) -> Vec<Route> {
        let snapshot = self
            .registry
            .as_ref()
            .map(fate_registry::Registry::snapshot);
        let known = snapshot
            .as_ref()
            .and_then(|all| all.service("serving", environment, service));
        let providers = known.iter().flat_map(|known| known.providers());
        let wanted = providers.filter(|provider| provider.weight > 0);
        wanted
            .filter_map(|provider| self.route_to(provider))
            .collect()
    }
}

fn untried(routes: &[Route], tried: &[Route]) -> Option<Route> {
    let is_open =
        |route: &&Route| !matches!(route.target, Target::Unusable(_)) && !tried.contains(route);
    let open: Vec<&Route> = routes.iter().filter(is_open).collect();
    open.choose(&mut rand::rng()).map(|route| (*route).clone())
}
