//! Parties: who takes part in a federated model. A party id is a plain string, mostly digits, but any text is allowed.

use std::fmt;
use std::str::FromStr;

/// What a party does in one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Holds the labels, is asked by applications and merges the parts.
    Guest,
    /// Holds other columns of the same people.
    Host,
    /// Took part in training only.
    Arbiter,
}

/// A role that FATE does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role (guest, host or arbiter)")]
pub struct UnknownRole(pub String);

impl Role {
    /// The spelling in namespaces and requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Host => "host",
            Self::Arbiter => "arbiter",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        [Self::Guest, Self::Host, Self::Arbiter]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_what_it_writes_and_nothing_else() {
        for role in [Role::Guest, Role::Host, Role::Arbiter] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        for text in ["", "Guest", "GUEST", " guest", "local"] {
            assert_eq!(text.parse::<Role>(), Err(UnknownRole(text.to_owned())));
        }
    }
}
