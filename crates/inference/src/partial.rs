//! What a party contributes to a score.

use crate::component::forest::{Bits, Walk};

/// A host's contribution, as one of the shapes that models exchange.
#[derive(Debug, Clone, PartialEq)]
pub struct Partial(pub(crate) Share);

/// How a host packs its part of a row for a guest that counts the model's nodes as the host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactForm {
    /// Names the numbering: what is packed, in which order.
    pub digest: u64,
    /// Length of the packed part of one row.
    pub row_bytes: usize,
}

/// The shapes of a contribution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Share {
    /// A partial sum (linear models).
    Sum(f64),
    /// One partial sum per class or cluster.
    Sums(Vec<f64>),
    /// One decision per tree node of a host, set for left, in the host's numbering.
    Bits(Bits),
    /// On the guest: the decisions of one host as Java's form has them, by the guest's numbering of all nodes.
    Route(Vec<Turn>),
    /// A factorization machine's parts, one per class.
    Factored(Vec<Factored>),
    /// Leaf reached in each tree that belongs to the host alone: (tree, node).
    Leaves(Vec<(u32, u32)>),
}

/// A party's part of a factorization machine: its own sum, and the vector that meets those of the other parties.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Factored {
    pub(crate) sum: f64,
    pub(crate) cross: Vec<f64>,
}

/// A host's decision at one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Unknown,
    Left,
    Right,
}

/// The guest's own part, waiting for the hosts'.
#[derive(Debug, Clone, PartialEq)]
pub struct GuestLocal(pub(crate) Local);

/// The shapes of a guest's own part.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Local {
    Sum(f64),
    /// A partial sum and a factor for the result (exposure).
    Scaled {
        sum: f64,
        factor: f64,
    },
    Sums(Vec<f64>),
    /// One part per class, and what Java tells of the row.
    Factored {
        parts: Vec<Factored>,
        hit_rates: crate::merge::HitRates,
    },
    Forest(Walk),
}
