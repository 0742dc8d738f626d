//! The route table (contract 04 A.5): which addresses serve a party's role, and who may reach whom.
//!
//! [`RouteTable`] is one file's content, immutable; [`RunningTable`] is the one in force, replaced whole when the file
//! changes and kept when the file is bad.

mod document;
mod edit;
mod own_addresses;
mod parse;
mod permission;
mod route;
mod running;

pub use edit::RouteEditor;
pub use own_addresses::OwnAddresses;
pub use parse::Warning;
pub use route::{HttpTarget, Route, Target, TlsSettings};
pub use running::{LoadError, RunningTable};

use std::collections::HashMap;

use crate::lenient_json::Node;
use permission::Permission;

/// A party in a role, as packets and permission rules name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartyRole<'a> {
    /// Party id.
    pub party_id: &'a str,
    /// Role: `serving`, `proxy` or a name of the deployment.
    pub role: &'a str,
}

/// The name of the entries that stand in for parties and roles without one.
pub const DEFAULT: &str = "default";

/// A table that was read completely.
#[derive(Debug)]
pub struct RouteTable {
    document: Node,
    parties: HashMap<String, Roles>,
    permission: Permission,
    warnings: Vec<Warning>,
}

/// The addresses of one party by role.
type Roles = HashMap<String, Vec<Route>>;

/// Why a table has no addresses for a party in a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// Neither the party nor `default` is listed.
    #[error(
        "No available endpoint for the coordinator: {0}. Considering adding a default endpoint?"
    )]
    Party(String),
    /// The party lists neither the role nor `default`, or no address for it.
    #[error(
        "No available endpoint for this service: {0}. Considering adding a default endpoint, or check if the list is empty?"
    )]
    Role(String),
}

impl RouteTable {
    /// Whether the rules let `from` reach `to`: a deny rule forbids, else an allow rule permits, else `default_allow`.
    pub fn allows(&self, from: PartyRole<'_>, to: PartyRole<'_>) -> bool {
        self.permission.allows(from, to)
    }

    /// The addresses of a party in a role, at least one. A party that is listed never falls back to the addresses of
    /// `default` (A.5.2).
    ///
    /// # Errors
    /// There are none.
    pub fn routes(&self, to: PartyRole<'_>) -> Result<&[Route], NoAddress> {
        let unknown_party = || NoAddress::Party(bounded(to.party_id));
        let roles = self.parties.get(to.party_id);
        let roles = roles
            .or_else(|| self.parties.get(DEFAULT))
            .ok_or_else(unknown_party)?;
        let routes = roles.get(to.role).or_else(|| roles.get(DEFAULT));
        routes
            .map(Vec::as_slice)
            .filter(|routes| !routes.is_empty())
            .ok_or_else(|| NoAddress::Role(bounded(to.role)))
    }

    /// Whether the party has an entry of its own, so that `default` does not stand in for it.
    pub fn lists_party(&self, party_id: &str) -> bool {
        self.parties.contains_key(party_id)
    }

    /// All addresses.
    pub fn all_routes(&self) -> impl Iterator<Item = &Route> {
        self.parties.values().flat_map(HashMap::values).flatten()
    }

    /// What an operator should look at: addresses that cannot be used, rules that never match, unknown names.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Those of the warnings that are about addresses to which calls cannot be sent.
    pub(super) fn faults(&self) -> impl Iterator<Item = &Warning> {
        self.warnings.iter().filter(|warning| warning.is_fault)
    }

    /// The document as it was read.
    pub fn document(&self) -> &Node {
        &self.document
    }
}

/// Names come from strangers, who get them back: one of megabytes would be held several times over.
fn bounded(name: &str) -> String {
    name.chars().take(256).collect()
}

#[cfg(test)]
mod tests;
