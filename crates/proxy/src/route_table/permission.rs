//! Who may reach whom (contract 04 A.5.1, A.5.2).

use std::collections::HashMap;

use super::PartyRole;

/// Stands for every party or role.
pub(super) const ANY: &str = "*";

/// The `permission` object.
#[derive(Debug, Default)]
pub(super) struct Permission {
    pub(super) default_allow: bool,
    pub(super) allow: Rules,
    pub(super) deny: Rules,
}

impl Permission {
    pub(super) fn allows(&self, from: PartyRole<'_>, to: PartyRole<'_>) -> bool {
        if self.deny.has(from, to) {
            false
        } else {
            self.allow.has(from, to) || self.default_allow
        }
    }
}

/// Rules by their `from` side.
#[derive(Debug, Default)]
pub(super) struct Rules {
    by_source: Pairs<Pairs<()>>,
}

impl Rules {
    pub(super) fn add(&mut self, from: PartyRole<'_>, to: PartyRole<'_>) {
        let targets = self.by_source.entry(from);
        *targets.entry(to) = ();
    }

    /// Only the rules of the closest `from` are asked: those of the party and role itself, else of the party in any
    /// role, else of any party in any role. A wider set never adds to a narrower one.
    fn has(&self, from: PartyRole<'_>, to: PartyRole<'_>) -> bool {
        let mut closest = widening(from);
        let targets = closest.find_map(|from| self.by_source.get(from));
        targets.is_some_and(|targets| widening(to).any(|to| targets.get(to).is_some()))
    }
}

/// Itself, the party in any role, any party in any role. Any party in *this* role is not among them, as in Java.
fn widening(side: PartyRole<'_>) -> impl Iterator<Item = PartyRole<'_>> {
    let PartyRole { party_id, .. } = side;
    [
        side,
        PartyRole {
            party_id,
            role: ANY,
        },
        PartyRole {
            party_id: ANY,
            role: ANY,
        },
    ]
    .into_iter()
}

/// Values by party and role, asked without building a key.
#[derive(Debug, Default)]
struct Pairs<T>(HashMap<String, HashMap<String, T>>);

impl<T: Default> Pairs<T> {
    fn entry(&mut self, key: PartyRole<'_>) -> &mut T {
        let roles = self.0.entry(key.party_id.to_owned()).or_default();
        roles.entry(key.role.to_owned()).or_default()
    }

    fn get(&self, key: PartyRole<'_>) -> Option<&T> {
        self.0.get(key.party_id)?.get(key.role)
    }
}
