//! Whether a peer answers. One that does not is left aside while there is another address, and asked for a sign of life
//! until it gives one.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Link, NotAnswered, Peer};

/// Calls in a row without an answer in time after which a peer counts as down. A connection that breaks or cannot be made is
/// enough.
const MISSED: u32 = 3;
/// An answer that was waited for less than this may yet have come: a caller in a hurry says nothing about a peer.
const PATIENCE: Duration = Duration::from_secs(1);
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// For a sign of life.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(2);

#[derive(Debug, Default)]
pub(super) struct Condition {
    /// Calls in a row.
    missed: AtomicU32,
    is_probed: AtomicBool,
}

impl Peer {
    /// Whether another address is the better choice.
    pub(crate) fn is_down(&self) -> bool {
        self.condition.missed.load(Ordering::Relaxed) >= MISSED
    }

    /// Learns from what became of a call. Whatever the peer says, it lives.
    pub(crate) fn note<T>(self: &Arc<Self>, outcome: &Result<T, NotAnswered>, waited: Duration) {
        let missed = &self.condition.missed;
        match outcome {
            Err(NotAnswered::Unsent(_) | NotAnswered::Lost(_)) => {
                missed.store(MISSED, Ordering::Relaxed)
            }
            Err(NotAnswered::Late) if waited >= PATIENCE => {
                missed.fetch_add(1, Ordering::Relaxed);
            }
            Err(NotAnswered::Late) => {}
            // Not written without need: all calls look at it.
            Ok(_) | Err(NotAnswered::Failed(_)) => {
                if missed.load(Ordering::Relaxed) != 0 {
                    missed.store(0, Ordering::Relaxed);
                }
            }
        }
        if self.is_down() && !self.condition.is_probed.swap(true, Ordering::SeqCst) {
            tracing::warn!(
                peer = self.name,
                "does not answer; other addresses are preferred"
            );
            tokio::spawn(probe(Arc::downgrade(self)));
        }
    }
}

/// Ends when the peer lives, or no route leads to it any longer.
async fn probe(peer: Weak<Peer>) {
    loop {
        tokio::time::sleep(PROBE_EVERY).await;
        let Some(peer) = peer.upgrade() else {
            return;
        };
        if is_alive(&peer.link).await {
            tracing::info!(peer = peer.name, "answers again");
            // In this order: who misses it from now on starts a probe of its own.
            peer.condition.is_probed.store(false, Ordering::SeqCst);
            peer.condition.missed.store(0, Ordering::Relaxed);
            return;
        }
    }
}

async fn is_alive(link: &Link) -> bool {
    match link {
        Link::Grpc(peer) => peer.is_alive().await,
        Link::Http(peer) => peer.is_alive().await,
        Link::OwnServer(_) => true,
    }
}
