//! Keeps the answers equal to the tree: watches projects, their environments, their services and the providers, for as
//! long as one session lasts (contract 03 §1.9).
//!
//! Only one-shot child watches are used: persistent ones may lose events over a reconnect (ZOOKEEPER-4698), and the two
//! kinds disturb each other (ZOOKEEPER-4466).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;
use zookeeper_client::{Client, Error, OneshotWatcher};

use super::publisher::{CONCURRENT, answered};
use super::{Link, session};
use crate::leaf;
use crate::paths;
use crate::snapshot::{Service, Snapshot};
use crate::state::Part;

/// Nodes that are watched at most; what stands beyond is not found.
const MAX_NODES: usize = 200_000;

/// Changes are collected this long before they are published.
const COLLECT: Duration = Duration::from_millis(20);

/// The file of last known answers is at most this much behind.
const KEEP: Duration = Duration::from_millis(500);

/// After a session began, a service that has lost all its providers keeps the last known ones this long: after an
/// outage of ZooKeeper they are about to come back.
const RETURN_GRACE: Duration = Duration::from_secs(10);

/// A node that could not be read is read again after this time.
const RETRY: Duration = Duration::from_secs(3);

/// A node whose children are watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Node {
    Project(String),
    Environment(String, String),
    /// The node `providers` of a service, whose name is decoded.
    Service(String, String, String),
}

impl Node {
    fn path(&self) -> String {
        match self {
            Self::Project(project) => format!("{}/{project}", paths::SERVICES),
            Self::Environment(project, environment) => {
                format!("{}/{project}/{environment}", paths::SERVICES)
            }
            Self::Service(project, environment, service) => {
                paths::providers(project, environment, service)
            }
        }
    }

    /// The node that a child of this name is; a service's children are leaves and no nodes.
    fn child(&self, name: &str) -> Option<Node> {
        match self {
            Self::Project(project) => Some(Self::Environment(project.clone(), name.to_owned())),
            Self::Environment(project, environment) => Some(Self::Service(
                project.clone(),
                environment.clone(),
                leaf::decode(name)?,
            )),
            Self::Service(..) => None,
        }
    }
}

/// What a listing found: children, or that there is no such node; and what will tell of a change.
struct Listing {
    children: Option<Vec<String>>,
    watcher: OneshotWatcher,
}

type Listed = (Node, Result<Listing, Error>);

struct Follower<'a> {
    link: &'a Link,
    client: &'a Client,
    /// Nodes that exist as far as we know, with their children of this kind.
    known: HashMap<Node, BTreeSet<String>>,
    services: HashMap<Node, Arc<Service>>,
    /// Nodes that could not be read. As long as there are some, nothing that was known is taken for gone.
    unread: HashSet<Node>,
    to_list: VecDeque<Node>,
    listing: FuturesUnordered<BoxFuture<'a, Listed>>,
    /// Each ends when its node should be listed again.
    waiting: FuturesUnordered<BoxFuture<'static, Node>>,
    is_complete: bool,
    publish_at: Option<Instant>,
    /// When the file of last known answers is written.
    keep_at: Option<Instant>,
    grace_ends: Instant,
}

/// Runs until the session is over.
pub(super) async fn follow(link: &Link, client: &Client) {
    if link.settings.follow.is_empty() {
        link.state.send_modify(|state| state.is_complete = true);
        return std::future::pending().await;
    }
    let mut follower = Follower {
        link,
        client,
        known: HashMap::new(),
        services: HashMap::new(),
        unread: HashSet::new(),
        to_list: VecDeque::new(),
        listing: FuturesUnordered::new(),
        waiting: FuturesUnordered::new(),
        is_complete: false,
        publish_at: None,
        keep_at: None,
        grace_ends: Instant::now() + RETURN_GRACE,
    };
    for project in &link.settings.follow {
        follower.learn(Node::Project(project.clone()));
    }
    follower.run().await;
}

impl Follower<'_> {
    async fn run(&mut self) {
        loop {
            self.start_listings();
            let (link, publish_at, keep_at) = (self.link, self.publish_at, self.keep_at);
            tokio::select! {
                Some((node, listed)) = self.listing.next(), if !self.listing.is_empty() => {
                    match listed {
                        Ok(listing) => self.apply(node, listing),
                        Err(error) if session::ends_session(&error) => return,
                        Err(error) => self.retry(node, &error),
                    }
                    self.note_completeness();
                }
                Some(node) = self.waiting.next(), if !self.waiting.is_empty() => {
                    if self.known.contains_key(&node) {
                        self.to_list.push_back(node);
                    }
                }
                () = sleep_until(publish_at), if publish_at.is_some() => self.publish(),
                () = sleep_until(keep_at), if keep_at.is_some() => {
                    self.keep_at = None;
                    keep(link).await;
                }
                else => return,
            }
        }
    }

    fn learn(&mut self, node: Node) {
        if self.known.len() >= MAX_NODES {
            let problem = format!("more than {MAX_NODES} nodes; the rest is not followed");
            self.link.report(Part::Discovery, Some(problem));
            return;
        }
        self.known.insert(node.clone(), BTreeSet::new());
        self.to_list.push_back(node);
    }

    fn forget(&mut self, node: &Node) {
        let children = self.known.remove(node).unwrap_or_default();
        for child in children.iter().filter_map(|name| node.child(name)) {
            self.forget(&child);
        }
        self.services.remove(node);
        self.unread.remove(node);
    }

    fn start_listings(&mut self) {
        while self.listing.len() < CONCURRENT {
            let Some(node) = self.to_list.pop_front() else {
                return;
            };
            let client = self.client;
            let listed = async move {
                let listed = answered(list(client, &node.path())).await;
                (node, listed)
            };
            self.listing.push(listed.boxed());
        }
    }

    fn apply(&mut self, node: Node, listing: Listing) {
        let Listing { children, watcher } = listing;
        let waited = node.clone();
        // Whatever happens to the node, also to the session, is a reason to look again.
        let changed = async move {
            watcher.changed().await;
            waited
        };
        self.waiting.push(changed.boxed());
        if self.unread.remove(&node) && self.unread.is_empty() {
            self.link.report(Part::Discovery, None);
        }
        if !self.known.contains_key(&node) {
            return;
        }
        let children = children.unwrap_or_default();
        if let Node::Service(project, environment, name) = &node {
            let texts = children
                .iter()
                .filter_map(|name| leaf::decode(name))
                .collect();
            let service = Service::new(project, environment, name, texts);
            self.services.insert(node, Arc::new(service));
        } else {
            self.replace_children(&node, children.into_iter().collect());
        }
        self.publish_at
            .get_or_insert_with(|| Instant::now() + COLLECT);
    }

    fn replace_children(&mut self, node: &Node, now: BTreeSet<String>) {
        let before = self
            .known
            .insert(node.clone(), now.clone())
            .unwrap_or_default();
        for gone in before.difference(&now).filter_map(|name| node.child(name)) {
            self.forget(&gone);
        }
        for new in now.difference(&before).filter_map(|name| node.child(name)) {
            self.learn(new);
        }
    }

    fn retry(&mut self, node: Node, error: &Error) {
        let cause = session::describe(error, self.link.settings.login.as_ref());
        let path = node.path();
        self.link.report(
            Part::Discovery,
            Some(format!("{path} cannot be read: {cause}")),
        );
        if self.known.contains_key(&node) {
            self.unread.insert(node.clone());
        }
        let later = async move {
            tokio::time::sleep(RETRY).await;
            node
        };
        self.waiting.push(later.boxed());
    }

    /// Everything was read once when nothing is left to list.
    fn note_completeness(&mut self) {
        if self.is_complete || self.is_busy() || !self.unread.is_empty() {
            return;
        }
        self.link.report(Part::Discovery, None);
        self.is_complete = true;
        self.publish_at = Some(Instant::now());
    }

    fn is_busy(&self) -> bool {
        !self.to_list.is_empty() || !self.listing.is_empty()
    }

    fn publish(&mut self) {
        self.publish_at = None;
        let before = self.link.answers.load_full();
        let now = Instant::now();
        let is_grace = now < self.grace_ends;
        let mut merged: HashMap<String, Arc<Service>> = HashMap::new();
        if is_grace || !self.is_complete {
            // What is not read yet is not gone.
            merged.extend(before.services().map(|one| (one.key(), Arc::clone(one))));
        }
        let mut is_kept = is_grace && merged.len() > self.services.len();
        for service in self.services.values() {
            let key = service.key();
            let had = merged
                .get(&key)
                .is_some_and(|one| !one.providers().is_empty());
            if is_grace && had && service.providers().is_empty() {
                is_kept = true;
            } else {
                merged.insert(key, Arc::clone(service));
            }
        }
        if is_kept {
            self.publish_at = Some(self.grace_ends);
        }
        self.link
            .answers
            .publish(Snapshot::new(merged.into_values()));
        if self.is_complete {
            self.link
                .state
                .send_if_modified(|state| !std::mem::replace(&mut state.is_complete, true));
        }
        // A node that may not be read must not keep the others out of the file.
        if self.is_complete || !self.is_busy() {
            self.keep_at.get_or_insert(now + KEEP);
        }
    }
}

/// Writes the file of last known answers off the async threads.
async fn keep(link: &Link) {
    let Some(file) = link.last_known.clone() else {
        return;
    };
    let snapshot = link.answers.load_full();
    let written = tokio::task::spawn_blocking(move || file.write(&snapshot)).await;
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, "last known providers cannot be written");
    }
}

async fn sleep_until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

/// Lists a node and watches it; one that is absent is watched for its creation.
async fn list(client: &Client, path: &str) -> Result<Listing, Error> {
    loop {
        match client.list_and_watch_children(path).await {
            Ok((children, watcher)) => {
                return Ok(Listing {
                    children: Some(children),
                    watcher,
                });
            }
            Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
        let (stat, watcher) = client.check_and_watch_stat(path).await?;
        if stat.is_none() {
            return Ok(Listing {
                children: None,
                watcher,
            });
        }
    }
}
