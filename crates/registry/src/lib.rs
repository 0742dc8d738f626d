//! Where services are: what this process offers, and who offers what it needs.
//!
//! One type, [`Registry`], over two kinds: a static list, and ZooKeeper as FATE-Serving 2.1.7 and FATE-Flow write and
//! read it (contract 03 §1–2). May depend on `fate-domain` only; nothing but the module `zookeeper` names the ZooKeeper
//! client. Promises:
//! * [`Registry::resolve`] takes no lock, does no I/O and never waits.
//! * Nothing here waits for ZooKeeper unless it says so, and opening never fails because of it: what is announced is
//!   registered as soon as there is a session, and again in every session that follows.
//! * What was found stays known while ZooKeeper is away, also over a restart.
//! * A leaf of this process's address that it does not want is removed, whoever left it there.
//! * Nodes, their names and data are byte-equal to those of Java peers. The ACL of `/` is never touched.
//!
//! Hostile input: whatever stands in the tree or in the files is read with bounds; what cannot be read is skipped.

mod address;
mod answers;
mod disk;
mod last_known;
pub mod leaf;
mod offer;
pub mod paths;
mod provider;
mod service_url;
mod settings;
mod snapshot;
mod state;
mod weights;
mod zookeeper;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use address::{AddressError, own_host};
pub use offer::{Instance, Offer, OfferError};
pub use provider::{DEFAULT_WEIGHT, Provider, RouterMode};
pub use service_url::{ServiceUrl, UrlError};
pub use settings::{Addresses, AddressesError, Login, ZooKeeperSettings};
pub use snapshot::{Service, Snapshot};
pub use state::{Part, Revision, State};
pub use zookeeper::tree;

use answers::Answers;
use zookeeper::ZooKeeper;

/// A registry. Clones are the same one; when the last is dropped, its session ends.
#[derive(Debug, Clone)]
pub struct Registry {
    answers: Arc<Answers>,
    kind: Arc<Kind>,
}

#[derive(Debug)]
enum Kind {
    List(watch::Sender<State>),
    ZooKeeper(ZooKeeper),
}

/// What came of a changed weight or router mode (contract 03 §2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// The URL has these values already.
    NoChange,
    /// The leaf is being replaced; [`Registry::settled`] tells when that is done.
    Replaced(Revision),
    /// This process has no leaf of that URL, and nothing is changed. (Java remembers the values of whatever it is told.)
    NoNode,
}

impl Registry {
    /// A registry of a fixed list. What is announced to it goes nowhere.
    pub fn fixed(snapshot: Snapshot) -> Self {
        Self {
            answers: Arc::new(Answers::new(snapshot)),
            kind: Arc::new(Kind::List(watch::Sender::new(State::new(true)))),
        }
    }

    /// A registry in ZooKeeper. Returns at once, with the last known answers; the session is made and kept in the
    /// background. Must be called inside a tokio runtime.
    pub fn open(settings: ZooKeeperSettings) -> Self {
        let (zookeeper, answers) = ZooKeeper::open(settings);
        Self {
            answers,
            kind: Arc::new(Kind::ZooKeeper(zookeeper)),
        }
    }

    /// A provider for one call (contract 03 §1.9): weighted, at random.
    pub fn resolve(
        &self,
        project: &str,
        environment: &str,
        service: &str,
    ) -> Option<Arc<Provider>> {
        self.answers
            .load()
            .resolve(project, environment, service, None)
    }

    /// The same for a consumer that names its own version (contract 03 §1.10).
    pub fn resolve_for_version(
        &self,
        project: &str,
        environment: &str,
        service: &str,
        consumer_version: i64,
    ) -> Option<Arc<Provider>> {
        self.answers
            .load()
            .resolve(project, environment, service, Some(consumer_version))
    }

    /// Everything that is known now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.answers.load_full()
    }

    /// Becomes ready with every new snapshot.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.answers.changes()
    }

    /// The decoded children of a service's node, read from ZooKeeper now where that is possible within `patience`,
    /// else the last known ones. For FATE-Flow's transfer addresses (contract 03 §6.2).
    pub async fn texts(
        &self,
        project: &str,
        environment: &str,
        service: &str,
        patience: Duration,
    ) -> Vec<String> {
        let live = match &*self.kind {
            Kind::List(_) => None,
            Kind::ZooKeeper(one) => one.texts(project, environment, service, patience).await,
        };
        live.unwrap_or_else(|| {
            let snapshot = self.snapshot();
            let known = snapshot.service(project, environment, service);
            known.map_or(Vec::new(), |known| known.texts.clone())
        })
    }

    /// Says what this process offers from now on, all of it: the tree is made equal to it. The first call also
    /// registers the process itself as a component.
    pub fn announce(&self, offers: BTreeSet<Offer>) -> Revision {
        match &*self.kind {
            Kind::List(_) => Revision::default(),
            Kind::ZooKeeper(one) => one.announce(offers),
        }
    }

    /// Waits until the tree is equal to what was announced with `revision`; false when `patience` ends first.
    pub async fn settled(&self, revision: Revision, patience: Duration) -> bool {
        let mut states = self.states();
        let reached = states.wait_for(|state| state.applied >= revision);
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }

    /// Changes weight or router mode of the service with that URL; `None` and unknown modes leave a part as it is. Kept
    /// in the weight file, so that it outlives this process.
    ///
    /// # Errors
    /// A text that is no URL.
    pub fn update_service(
        &self,
        url: &str,
        router_mode: Option<&str>,
        weight: Option<i32>,
    ) -> Result<Update, UrlError> {
        let url = ServiceUrl::parse(url)?;
        Ok(match &*self.kind {
            Kind::List(_) => Update::NoNode,
            Kind::ZooKeeper(one) => one.update_service(&url, router_mode, weight),
        })
    }

    /// How the registry is doing.
    pub fn state(&self) -> State {
        self.states().borrow().clone()
    }

    /// Becomes ready whenever that changes.
    pub fn states(&self) -> watch::Receiver<State> {
        match &*self.kind {
            Kind::List(state) => state.subscribe(),
            Kind::ZooKeeper(one) => one.states(),
        }
    }

    /// Takes everything back, the component first, and ends the session. Takes no longer than `patience`; ZooKeeper
    /// removes by itself what could not be removed.
    pub async fn close(&self, patience: Duration) {
        if let Kind::ZooKeeper(one) = &*self.kind {
            one.close(patience).await;
        }
    }
}
