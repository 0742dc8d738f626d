//! The task that owns the session: one after the other, until the registry is closed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::Rng as _;
use tokio::sync::Notify;
use tokio::time::Instant;
use zookeeper_client::Client;

use super::{Link, follower, publisher, session};
use crate::state::Part;

/// The pause before the next attempt: it grows, and is never the same in two processes.
struct Pause(Duration);

impl Pause {
    const SHORTEST: Duration = Duration::from_millis(200);
    const LONGEST: Duration = Duration::from_secs(3);

    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        pause.mul_f64(rand::rng().random_range(0.7..1.0))
    }
}

/// A session that lasted this long was a good one.
const GOOD_SESSION: Duration = Duration::from_secs(5);

/// Connects, serves, and connects again, until the link is stopped.
pub(super) async fn supervise(link: Arc<Link>) {
    let work = keep_connected(&link);
    if link.stop.run_until_cancelled(work).await.is_none() {
        close(&link).await;
    }
}

async fn keep_connected(link: &Link) {
    let mut pause = Pause(Pause::SHORTEST);
    loop {
        match session::connect(&link.settings).await {
            Ok(client) => {
                let started = Instant::now();
                let end = serve(link, client).await;
                set_connected(link, false);
                let addresses = &link.settings.addresses;
                link.report(
                    Part::Session,
                    Some(format!("ZooKeeper at {addresses}: {end}")),
                );
                if started.elapsed() >= GOOD_SESSION {
                    pause = Pause(Pause::SHORTEST);
                }
            }
            Err(error) => {
                let cause = session::describe(&error, link.settings.login.as_ref());
                let addresses = &link.settings.addresses;
                link.report(
                    Part::Session,
                    Some(format!("ZooKeeper at {addresses}: {cause}")),
                );
            }
        }
        tokio::time::sleep(pause.next()).await;
    }
}

/// One session from beginning to end; the answer says why it ended.
async fn serve(link: &Link, client: Client) -> &'static str {
    *link.client.lock() = Some(client.clone());
    link.report(Part::Session, None);
    set_connected(link, true);
    tracing::info!(session = %client.session_id(), addresses = %link.settings.addresses, "registry: connected to ZooKeeper");
    let reconnected = Notify::new();
    let states = client.state_watcher();
    let is_lost = session::outlast(states, &reconnected, |is_connected| {
        set_connected(link, is_connected)
    });
    let end = tokio::select! {
        end = is_lost => end,
        () = publisher::publish(link, &client, &reconnected) => "the session is over",
        () = follower::follow(link, &client) => "the session is over",
    };
    // The abandoned client closes its session if it ever reaches a server again.
    *link.client.lock() = None;
    link.state.send_modify(|state| {
        state.registered = 0;
        state.is_complete = false;
    });
    end
}

async fn close(link: &Link) {
    let client = link.client.lock().take();
    if let Some(client) = client {
        session::end(client).await;
    }
    set_connected(link, false);
}

fn set_connected(link: &Link, is_connected: bool) {
    link.state.send_if_modified(|state| {
        let is_new = state.is_connected != is_connected;
        if is_new {
            state.is_connected = is_connected;
            state.since = SystemTime::now();
        }
        is_new
    });
}
