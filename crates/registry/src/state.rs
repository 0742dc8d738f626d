//! How the registry is doing.

use std::collections::BTreeMap;
use std::time::SystemTime;

/// For health pages, logs and tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Whether there is a connection with ZooKeeper; a static list is always connected.
    pub is_connected: bool,
    /// Since when that is so.
    pub since: SystemTime,
    /// Nodes that this process wants to own.
    pub wanted: usize,
    /// Nodes that it owns in the present session.
    pub registered: usize,
    /// The last [`Revision`] that the tree was made equal to.
    pub applied: Revision,
    /// Whether everything that is followed has been read in the present session.
    pub is_complete: bool,
    /// What is wrong at present, for people.
    pub problems: BTreeMap<Part, String>,
}

/// What a problem is a problem of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The connection.
    Session,
    /// Registering what this process offers.
    Registration,
    /// Finding what others offer.
    Discovery,
}

/// Counts the changes of what is announced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub(crate) u64);

impl State {
    pub(crate) fn new(is_connected: bool) -> Self {
        Self {
            is_connected,
            since: SystemTime::now(),
            wanted: 0,
            registered: 0,
            applied: Revision::default(),
            is_complete: is_connected,
            problems: BTreeMap::new(),
        }
    }
}
