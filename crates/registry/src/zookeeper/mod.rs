//! The registry in ZooKeeper: what callers ask for, and the task that does it.
//!
//! Callers only edit what is wanted (`Desk`) and read what is known (`Answers`). One task owns the session
//! (`supervisor`); while there is one, `publisher` makes the tree equal to what is wanted and `follower` keeps the
//! answers equal to the tree.

mod follower;
mod listing;
mod orphans;
mod publisher;
mod session;
mod supervisor;
pub mod tree;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zookeeper_client::Client;

use crate::Update;
use crate::answers::Answers;
use crate::last_known::LastKnownFile;
use crate::leaf;
use crate::offer::{Offer, Offers, Wanted};
use crate::paths;
use crate::provider::RouterMode;
use crate::service_url::ServiceUrl;
use crate::settings::ZooKeeperSettings;
use crate::snapshot::Snapshot;
use crate::state::{Part, Revision, State};
use crate::weights::{WeightFile, Weights};

/// What is wanted, with the number of the change that made it so.
#[derive(Debug, Clone, Default)]
struct Target {
    revision: Revision,
    nodes: Arc<Wanted>,
}

/// What callers and the task share.
#[derive(Debug)]
struct Link {
    settings: ZooKeeperSettings,
    answers: Arc<Answers>,
    last_known: Option<LastKnownFile>,
    target: watch::Sender<Target>,
    state: watch::Sender<State>,
    /// The present session's client, for reads on a caller's behalf.
    client: Mutex<Option<Client>>,
    stop: CancellationToken,
}

impl Link {
    /// Notes what is wrong with one part, or that nothing is. Says it once in the log.
    fn report(&self, part: Part, problem: Option<String>) {
        self.state.send_if_modified(|state| {
            if state.problems.get(&part) == problem.as_ref() {
                return false;
            }
            match problem {
                Some(problem) => {
                    tracing::warn!(?part, "registry: {problem}");
                    state.problems.insert(part, problem);
                }
                None => drop(state.problems.remove(&part)),
            }
            true
        });
    }
}

/// What is offered, and the weights; changed together.
#[derive(Debug)]
struct Desk {
    offers: Option<Offers>,
    weights: Weights,
    revision: Revision,
}

#[derive(Debug)]
pub(crate) struct ZooKeeper {
    link: Arc<Link>,
    desk: Mutex<Desk>,
    weight_file: Option<WeightFile>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl ZooKeeper {
    pub(crate) fn open(settings: ZooKeeperSettings) -> (Self, Arc<Answers>) {
        let ensemble = settings.addresses.file_name_part();
        let directory = settings.directory.as_deref();
        let last_known = directory.map(|one| LastKnownFile::new(one, &settings.project, &ensemble));
        let weight_file = directory.map(|one| WeightFile::new(one, &settings.project, &ensemble));
        let known = last_known
            .as_ref()
            .map_or_else(Snapshot::default, |file| file.read(&settings.follow));
        let answers = Arc::new(Answers::new(known));
        let instance = settings.instance.clone();
        let desk = Desk {
            offers: instance.map(|instance| Offers::new(&settings.project, instance)),
            weights: weight_file
                .as_ref()
                .map(WeightFile::read)
                .unwrap_or_default(),
            revision: Revision::default(),
        };
        let link = Arc::new(Link {
            settings,
            answers: Arc::clone(&answers),
            last_known,
            target: watch::Sender::new(Target::default()),
            state: watch::Sender::new(State::new(false)),
            client: Mutex::new(None),
            stop: CancellationToken::new(),
        });
        let task = tokio::spawn(supervisor::supervise(Arc::clone(&link)));
        let zookeeper = Self {
            link,
            desk: Mutex::new(desk),
            weight_file,
            task: Mutex::new(Some(task)),
        };
        (zookeeper, answers)
    }

    pub(crate) fn announce(&self, offers: BTreeSet<Offer>) -> Revision {
        let mut desk = self.desk.lock();
        if let Some(own) = &mut desk.offers {
            own.replace(offers, now_ms());
        }
        self.aim(&mut desk)
    }

    pub(crate) fn update_service(
        &self,
        url: &ServiceUrl,
        router_mode: Option<&str>,
        weight: Option<i32>,
    ) -> Update {
        let known_mode = router_mode.filter(|mode| RouterMode::parse(mode) != RouterMode::Unknown);
        let mode = known_mode.filter(|&mode| url.parameter("router_mode") != Some(mode));
        let present: Option<i32> = url.parameter("weight").and_then(|text| text.parse().ok());
        let weight = weight.filter(|&weight| present != Some(weight));
        if mode.is_none() && weight.is_none() {
            return Update::NoChange;
        }
        let mut desk = self.desk.lock();
        let own = desk.offers.as_ref();
        let Some((environment, service)) = own.and_then(|own| own.find(url, &desk.weights)) else {
            return Update::NoNode;
        };
        desk.weights.set(&environment, &service, mode, weight);
        self.keep_weights(&desk.weights);
        Update::Replaced(self.aim(&mut desk))
    }

    /// Java goes on as well when the file cannot be written; the weight holds until this process ends.
    fn keep_weights(&self, weights: &Weights) {
        let Some(file) = &self.weight_file else {
            return;
        };
        if let Err(error) = file.write(weights) {
            tracing::error!(%error, "weights cannot be written; they hold until this process ends");
        }
    }

    /// Publishes what the desk says as the new target.
    fn aim(&self, desk: &mut Desk) -> Revision {
        desk.revision = Revision(desk.revision.0 + 1);
        let nodes = match &desk.offers {
            Some(own) => own.wanted(&desk.weights, now_ms()),
            None => Wanted::default(),
        };
        let wanted = nodes.leaves.len() + usize::from(nodes.component.is_some());
        self.link.state.send_modify(|state| state.wanted = wanted);
        self.link.target.send_replace(Target {
            revision: desk.revision,
            nodes: Arc::new(nodes),
        });
        desk.revision
    }

    pub(crate) fn states(&self) -> watch::Receiver<State> {
        self.link.state.subscribe()
    }

    pub(crate) async fn texts(
        &self,
        project: &str,
        environment: &str,
        service: &str,
        patience: Duration,
    ) -> Option<Vec<String>> {
        let path = paths::providers(project, environment, service);
        let listed = tokio::time::timeout(patience, self.list(&path)).await;
        match listed.ok()?? {
            Ok(names) => Some(names.iter().filter_map(|name| leaf::decode(name)).collect()),
            Err(zookeeper_client::Error::NoNode) => Some(Vec::new()),
            Err(error) => {
                tracing::warn!(%path, %error, "cannot be read, the last known children are used");
                None
            }
        }
    }

    /// Waits for a session first: who asks right after a start shall not hear that nothing is there. `None` when this
    /// registry is being closed.
    async fn list(&self, path: &str) -> Option<Result<Vec<String>, zookeeper_client::Error>> {
        self.states()
            .wait_for(|state| state.is_connected)
            .await
            .ok()?;
        let client = self.link.client.lock().clone()?;
        Some(client.list_children(path).await)
    }

    pub(crate) async fn close(&self, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        let withdrawn = {
            let mut desk = self.desk.lock();
            if let Some(own) = &mut desk.offers {
                own.withdraw();
            }
            self.aim(&mut desk)
        };
        let mut states = self.states();
        // Without a session there is nothing to take back: ZooKeeper has, or will.
        let over = states.wait_for(|state| state.applied >= withdrawn || !state.is_connected);
        let is_over = tokio::time::timeout_at(deadline, over).await.is_ok();
        if !is_over {
            tracing::warn!(
                "leaving the registry before everything is taken back; it goes with the session"
            );
        }
        self.link.stop.cancel();
        let task = self.task.lock().take();
        if let Some(task) = task {
            let end = deadline.max(tokio::time::Instant::now() + session::CLOSE_GRACE * 2);
            if tokio::time::timeout_at(end, task).await.is_err() {
                tracing::warn!("the registry's session did not end in time");
            }
        }
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        self.link.stop.cancel();
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
