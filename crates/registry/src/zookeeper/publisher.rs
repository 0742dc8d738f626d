//! Makes the tree equal to what this process wants, for as long as one session lasts.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use parking_lot::Mutex;
use rand::seq::SliceRandom as _;
use tokio::sync::Notify;
use tokio::time::Instant;
use zookeeper_client::{Acl, Acls, Client, CreateMode, CreateOptions, Error};

use super::listing::Failure;
use super::{Link, Target, orphans, session};
use crate::offer::Wanted;
use crate::paths;
use crate::state::Part;

/// Requests in flight at the same time.
pub(super) const CONCURRENT: usize = 64;

/// A request that is not answered is tried again; the client itself would wait for ever.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// When the own nodes are looked at after a session began; later, every last of these. Early ones, since a client that
/// was given up may still have had requests to send.
const AUDITS: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

type Done = Result<(), Failure>;

/// What this session has made.
struct Publisher<'a> {
    link: &'a Link,
    client: &'a Client,
    acl: [Acl; 1],
    /// Nodes that are ours, or may be because a request's outcome is unknown.
    made: BTreeMap<String, Certainty>,
    /// Persistent nodes that are there.
    parents: Mutex<HashSet<String>>,
    is_swept: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    Sure,
    /// The answer never came; the request may still be carried out.
    Unknown,
}

/// Runs until the session is over.
pub(super) async fn publish(link: &Link, client: &Client, reconnected: &Notify) {
    let mut publisher = Publisher {
        link,
        client,
        acl: [session::acl(link.settings.login.as_ref())],
        made: BTreeMap::new(),
        parents: Mutex::new(HashSet::new()),
        is_swept: false,
    };
    let mut targets = link.target.subscribe();
    let mut audits = AUDITS.iter().copied().chain(std::iter::repeat(AUDITS[3]));
    let mut next_audit = Instant::now() + audits.next().unwrap_or_default();
    let mut failures: u32 = 0;
    loop {
        let target = targets.borrow_and_update().clone();
        let done = publisher.apply(&target).await;
        let wait = match done {
            Ok(()) => {
                failures = 0;
                next_audit.saturating_duration_since(Instant::now())
            }
            Err(failure) if session::ends_session(&failure.error) => return,
            Err(failure) => {
                failures += 1;
                publisher.complain(&failure);
                Duration::from_millis(500 << failures.min(3))
            }
        };
        tokio::select! {
            changed = targets.changed() => if changed.is_err() { return },
            () = reconnected.notified() => publisher.audit().await,
            () = tokio::time::sleep(wait) => if Instant::now() >= next_audit {
                next_audit = Instant::now() + audits.next().unwrap_or_default();
                publisher.audit().await;
            },
        }
    }
}

impl Publisher<'_> {
    async fn apply(&mut self, target: &Target) -> Done {
        let nodes = &target.nodes;
        let done = self.reconcile(nodes).await;
        self.link.state.send_modify(|state| {
            let sure = self.made.values().filter(|&&one| one == Certainty::Sure);
            state.registered = sure.count();
            if done.is_ok() {
                state.applied = target.revision;
            }
        });
        done?;
        if !self.is_swept && nodes.component.is_some() {
            orphans::sweep(self.client, nodes).await?;
            self.is_swept = true;
        }
        self.link.report(Part::Registration, None);
        Ok(())
    }

    /// The component goes first and comes last; a leaf's successor is there before it goes, so that a changed weight
    /// leaves no moment without a provider.
    async fn reconcile(&mut self, wanted: &Wanted) -> Done {
        let component = wanted.component.as_ref();
        let surplus = self.surplus(wanted);
        let (components, leaves): (Vec<String>, Vec<String>) = surplus
            .into_iter()
            .partition(|path| path.starts_with(paths::COMPONENTS));
        let mut outcome = self.remove_all(components).await;
        outcome = outcome.and(self.create_all(&wanted.leaves).await);
        outcome = outcome.and(self.remove_all(leaves).await);
        if let Some((path, data)) = component {
            let one = BTreeMap::from([(path.clone(), data.clone())]);
            outcome = outcome.and(self.create_all(&one).await);
        }
        outcome
    }

    fn surplus(&self, wanted: &Wanted) -> Vec<String> {
        let is_wanted = |path: &str| {
            let is_component = wanted
                .component
                .as_ref()
                .is_some_and(|(own, _)| own == path);
            is_component || wanted.leaves.contains_key(path)
        };
        let made = self.made.keys();
        made.filter(|path| !is_wanted(path)).cloned().collect()
    }

    /// Creates what is not surely there. Goes on after a failure and reports the first.
    async fn create_all(&mut self, nodes: &BTreeMap<String, Vec<u8>>) -> Done {
        // Owned: a stream over borrowed items would not be `Send`.
        let mut missing: Vec<(String, Vec<u8>)> = nodes
            .iter()
            .filter(|(path, _)| self.made.get(*path) != Some(&Certainty::Sure))
            .map(|(path, data)| (path.clone(), data.clone()))
            .collect();
        // Nodes that start together do not race for the same parents.
        missing.shuffle(&mut rand::rng());
        let this = &*self;
        let outcomes: Vec<(String, Result<(), Error>)> = stream::iter(missing)
            .map(|(path, data)| async move {
                let outcome = this.own(&path, &data).await;
                (path, outcome)
            })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        let mut done = Ok(());
        for (path, outcome) in outcomes {
            match outcome {
                Ok(()) => drop(self.made.insert(path, Certainty::Sure)),
                Err(error) => {
                    if !is_refusal(&error) {
                        self.made.insert(path.clone(), Certainty::Unknown);
                    }
                    done = done.and(Err(Failure { path, error }));
                }
            }
        }
        done
    }

    async fn remove_all(&mut self, nodes: Vec<String>) -> Done {
        let this = &*self;
        let outcomes: Vec<(String, Result<(), Error>)> = stream::iter(nodes)
            .map(|path| async move {
                let outcome = answered(this.client.delete(&path, None)).await;
                (path, outcome)
            })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        let mut done = Ok(());
        for (path, outcome) in outcomes {
            match outcome {
                Ok(()) | Err(Error::NoNode) => drop(self.made.remove(&path)),
                Err(error) => done = done.and(Err(Failure { path, error })),
            }
        }
        done
    }

    /// Makes a node ours: created, found as our own, or taken from a session that is dead or dying. Java leaves the
    /// last as it is and loses its node with that session (contract 03 §2.3).
    async fn own(&self, path: &str, data: &[u8]) -> Result<(), Error> {
        let ephemeral = CreateMode::Ephemeral.with_acls(Acls::new(&self.acl));
        let mut created = answered(self.client.create(path, data, &ephemeral)).await;
        if matches!(created, Err(Error::NoNode)) {
            self.make_parents(path).await?;
            created = answered(self.client.create(path, data, &ephemeral)).await;
        }
        match created {
            Ok(_) => Ok(()),
            Err(Error::NodeExists) => self.take_over(path, data, &ephemeral).await,
            Err(error) => Err(error),
        }
    }

    async fn take_over(
        &self,
        path: &str,
        data: &[u8],
        ephemeral: &CreateOptions<'_>,
    ) -> Result<(), Error> {
        let Some(stat) = answered(self.client.check_stat(path)).await? else {
            return answered(self.client.create(path, data, ephemeral))
                .await
                .map(drop);
        };
        if stat.ephemeral_owner == self.client.session_id().0 {
            return Ok(());
        }
        // In one transaction, so that no consumer finds nothing.
        let mut exchange = self.client.new_multi_writer();
        exchange.add_delete(path, Some(stat.version))?;
        exchange.add_create(path, data, ephemeral)?;
        let exchanged = async { exchange.commit().await.map_err(Error::from) };
        answered(exchanged).await.map(drop)
    }

    /// Creates the persistent nodes above, from the top.
    async fn make_parents(&self, path: &str) -> Result<(), Error> {
        let persistent = CreateMode::Persistent.with_acls(Acls::new(&self.acl));
        let data = self.link.settings.instance.as_ref();
        let data = data.map_or(&[][..], |instance| instance.host.as_bytes());
        let end = paths::parent(path).len();
        let slashes = path.match_indices('/').map(|(position, _)| position);
        for position in slashes.skip(1).take_while(|&position| position <= end) {
            let parent = &path[..position];
            if self.parents.lock().contains(parent) {
                continue;
            }
            match answered(self.client.create(parent, data, &persistent)).await {
                Ok(_) | Err(Error::NodeExists) => self.parents.lock().insert(parent.to_owned()),
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }

    /// Looks whether what was made is still there and still ours; what is not will be made anew.
    async fn audit(&mut self) {
        self.parents.lock().clear();
        let this = &*self;
        let made: Vec<String> = self.made.keys().cloned().collect();
        let gone: Vec<(String, i64)> = stream::iter(made)
            .map(|path| async move {
                // What could not be looked at is looked at the next time.
                let stat = answered(this.client.check_stat(&path)).await.ok()?;
                let owner = stat.map_or(0, |stat| stat.ephemeral_owner);
                (owner != this.client.session_id().0).then_some((path, owner))
            })
            .buffer_unordered(CONCURRENT)
            .filter_map(async |gone| gone)
            .collect()
            .await;
        for (path, owner) in gone {
            if owner == 0 {
                tracing::warn!(%path, "registry: a node of ours is gone, it is made anew");
            } else {
                tracing::warn!(%path, session = format!("{owner:#x}"), "registry: another session holds a node of ours, it is taken back; does a second process have this address?");
            }
            self.made.remove(&path);
        }
    }

    fn complain(&self, failure: &Failure) {
        let Failure { path, error } = failure;
        let cause = session::describe(error, self.link.settings.login.as_ref());
        self.link.report(
            Part::Registration,
            Some(format!("{path} cannot be registered: {cause}")),
        );
    }
}

/// Errors after which surely nothing was made.
fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::NoAuth
            | Error::NoNode
            | Error::NodeExists
            | Error::InvalidAcl
            | Error::BadVersion
            | Error::BadArguments(_)
            | Error::NoChildrenForEphemerals
            | Error::QuotaExceeded
    )
}

/// A request with a bound on its answer.
pub(super) async fn answered<T>(
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, request)
        .await
        .unwrap_or(Err(Error::Timeout))
}
