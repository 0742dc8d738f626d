//! The way of an application's request to a server of this party (contract 04 A.2.1, A.5.2 step 1).

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;

use super::{Forwarder, no_route, not_allowed};
use crate::route_table::{PartyRole, Route, RouteTable, Target};

/// The role in which this proxy asks.
const OWN_ROLE: &str = "proxy";

impl Forwarder {
    /// The server for a service id; `service` is `inference` or `batchInference`.
    ///
    /// # Errors
    /// The codes of the Java proxy. Where the registry is used, the text says that the service id is not bound: Java
    /// goes on to the route table's `default`, which leads to another party, and ends in a 105 without a cause, after the
    /// other party got this party's features.
    pub fn inference(&self, service_id: &str, service: &str) -> Result<Route, Fault> {
        if let Some(at_home) = &self.at_home
            && at_home.server().is_bound(service_id)
        {
            return Ok(at_home.route());
        }
        if let Some(route) = self.registered(service_id, service) {
            return Ok(route);
        }
        match self.listed_server() {
            Err(NoServer::Permission(fault)) => Err(fault),
            Err(NoServer::Other(fault)) if self.registry.is_some() => {
                Err(Fault::new(fault.code, self.not_bound(service_id)))
            }
            Err(NoServer::Other(fault)) => Err(fault),
            Ok(route) => Ok(route),
        }
    }

    /// This proxy, and the role that serves inference.
    pub(super) fn own_sides(&self) -> (PartyRole<'_>, PartyRole<'_>) {
        let own = |role| PartyRole {
            party_id: self.coordinator.as_str(),
            role,
        };
        (own(OWN_ROLE), own(self.inference_role.as_str()))
    }

    fn listed_server(&self) -> Result<Route, NoServer> {
        let (from, to) = self.own_sides();
        let own = self.unlisted_own(to.party_id);
        if let Some(route) = own.filter(|_| self.registry.is_none()) {
            return Ok(route);
        }
        let table = self.table.current().ok_or_else(no_route)?;
        if self.enforce.table && !table.allows(from, to) {
            return Err(NoServer::Permission(not_allowed(from, to)));
        }
        let routes = table.routes(to);
        let routes = routes.map_err(|error| Fault::new(ReturnCode::SYSTEM, error.to_string()))?;
        let route = self.choice.of(routes, to).ok_or_else(no_route)?;
        if let Some(fault) = route.fault() {
            return Err(unusable(route, fault).into());
        }
        if matches!(route.target, Target::Http(_)) {
            return Err(unusable(route, "servers are asked over gRPC, not by url").into());
        }
        if self.leads_to_others(&table) {
            return Err(unusable(
                route,
                "the default party's address is not this party's server",
            )
            .into());
        }
        Ok(self.shortened(route.clone()))
    }

    /// Servers register by themselves where there is a registry. What `default` leads to is then no server of this
    /// party, and must not get its features.
    fn leads_to_others(&self, table: &RouteTable) -> bool {
        self.registry.is_some() && !table.lists_party(&self.coordinator)
    }

    fn not_bound(&self, service_id: &str) -> String {
        format!(
            "service id {} is not bound: no serving-server has registered it, and the route table names no usable \
             server of party {}",
            super::shortened(service_id),
            self.coordinator
        )
    }
}

/// Why there is no server.
enum NoServer {
    Permission(Fault),
    Other(Fault),
}

impl From<Fault> for NoServer {
    fn from(fault: Fault) -> Self {
        Self::Other(fault)
    }
}

fn unusable(route: &Route, cause: &str) -> Fault {
    let text = format!("remote rpc exception: {}: {cause}", route.shown);
    Fault::new(ReturnCode::NET, text)
}
