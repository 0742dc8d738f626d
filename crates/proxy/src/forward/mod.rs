//! Where a call goes (contract 04 A.3, A.4): who may send it, to which address, under whose signature.
//!
//! [`Forwarder`] decides and never waits: it reads the registry's snapshot, the route table in force and the keys in
//! force. Sending is the work of others. Every refusal is a [`Fault`] with the contract's code; codes of packets get
//! their 500 later.

mod another;
mod choice;
mod hops;
mod inference;
mod model_route;
mod packet;

pub use hops::{HOPS_HEADER, Hops};

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_edge::config::Address;
use fate_registry::{Provider, Registry};

use crate::auth::Auth;
use crate::config::{Config, Enforce};
use crate::own_server::{AtHome, OwnServer};
use crate::route_table::{PartyRole, Route, RunningTable, Target};
use choice::Choice;

/// Where a packet came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// From a server of this party: it is trusted, and goes by the route table.
    Intra,
    /// From another party, over gRPC or HTTP: it has to be signed, and may be for a server in the registry.
    Inter,
}

/// Decides where calls go.
#[derive(Debug)]
pub struct Forwarder {
    table: Arc<RunningTable>,
    registry: Option<Registry>,
    auth: Option<Arc<Auth>>,
    enforce: Enforce,
    choice: Choice,
    coordinator: String,
    inference_role: String,
    hops: Hops,
    at_home: Option<AtHome>,
}

impl Forwarder {
    /// Reads the keys if `auth.open` asks for them. Without a registry the route table alone decides.
    pub fn new(config: &Config, table: Arc<RunningTable>, registry: Option<Registry>) -> Self {
        Self {
            table,
            registry,
            auth: config.auth_open.then(|| Auth::load(&config.auth_file)),
            enforce: config.enforce,
            choice: Choice::new(config.route_type),
            coordinator: config.coordinator.clone(),
            inference_role: config.inference_role.clone(),
            hops: Hops::new(),
            at_home: None,
        }
    }

    /// The same beside a server in this process. What it holds goes to it, whatever the registry and the table say; so does
    /// what is for this party when the table does not list it.
    pub fn with_own_server(self, server: Arc<dyn OwnServer>) -> Self {
        Self {
            at_home: Some(AtHome::new(server)),
            ..self
        }
    }

    /// The keys, when packets are signed and checked.
    pub fn auth(&self) -> Option<&Arc<Auth>> {
        self.auth.as_ref()
    }

    /// Tells packets that have been here before.
    pub fn hops(&self) -> &Hops {
        &self.hops
    }

    /// A server that has registered the service.
    fn registered(&self, environment: &str, service: &str) -> Option<Route> {
        let registry = self.registry.as_ref()?;
        let provider = registry.resolve("serving", environment, service)?;
        self.route_to(&provider)
    }

    /// The way to a registered server; `None` for an address of this proxy itself.
    fn route_to(&self, provider: &Provider) -> Option<Route> {
        let address: Address = provider.authority().parse().ok()?;
        let own = self.table.own_addresses();
        let is_own = own.contains(&address.host, address.port);
        let route = Route {
            shown: provider.authority(),
            target: Target::Grpc { address, tls: None },
        };
        (!is_own).then(|| self.shortened(route))
    }

    /// Not over the network to the server that is in this process.
    fn shortened(&self, route: Route) -> Route {
        match &self.at_home {
            Some(at_home) => at_home.shortened(route),
            None => route,
        }
    }

    /// The server in this process stands in for a party that is this one and that the table does not list.
    fn unlisted_own(&self, party_id: &str) -> Option<Route> {
        let at_home = self.at_home.as_ref()?;
        let is_listed = match self.table.current() {
            Some(table) => table.lists_party(party_id),
            None => !self.table.has_no_file(),
        };
        (party_id == self.coordinator && !is_listed).then(|| at_home.route())
    }

    /// Whether the rules let one reach the other. Without a file there are no rules; with a bad one nobody knows them.
    fn allows(&self, from: PartyRole<'_>, to: PartyRole<'_>) -> bool {
        match self.table.current() {
            Some(table) => table.allows(from, to),
            None => self.table.has_no_file(),
        }
    }
}

/// Java's text for every call without a route; the blank at its end belongs to it.
const NO_ROUTE: &str = "serving-proxy can not find router info ";

fn no_route() -> Fault {
    Fault::new(ReturnCode::PROXY_ROUTER, NO_ROUTE)
}

fn not_allowed(from: PartyRole<'_>, to: PartyRole<'_>) -> Fault {
    let side = |side: PartyRole<'_>| {
        format!(
            "party {}, role {}",
            shortened(side.party_id),
            shortened(side.role)
        )
    };
    let (from, to) = (side(from), side(to));
    tracing::warn!(from, to, "the permission rules forbid a call");
    let text = format!("{NO_ROUTE}: the permission rules do not let {from} reach {to}");
    Fault::new(ReturnCode::PROXY_ROUTER, text)
}

/// Names come from strangers, and texts end in logs.
fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
