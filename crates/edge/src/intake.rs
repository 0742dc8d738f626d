//! What unanswered requests may make the server hold, gRPC and HTTP together: a budget of bytes, and a pace at which a
//! body has to arrive, so that nobody holds the budget with bodies that never end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::prometheus::Counter;

/// Time for a whole body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time in which a body may make no progress at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that have to arrive in a second, on average, once the patience is used up.
const BYTES_PER_SECOND: u64 = 1024;

/// Bytes of requests that may be held at the same time, each from its arrival until the request is answered.
///
/// A buffer that grows may be twice as large as the bytes in it, and a parsed request has parts of its own besides: the
/// memory really used stays within a small multiple.
#[derive(Debug)]
pub struct ByteBudget {
    limit: usize,
    held: AtomicUsize,
    refused: Counter,
    /// The budget that this one is a part of.
    whole: Option<Arc<ByteBudget>>,
}

impl ByteBudget {
    pub fn new(limit: usize) -> Arc<Self> {
        Self::of(limit, None)
    }

    /// At most so many of this budget's bytes, for those who must not get all of them.
    pub fn part(self: &Arc<Self>, limit: usize) -> Arc<Self> {
        Self::of(limit, Some(Arc::clone(self)))
    }

    fn of(limit: usize, whole: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: AtomicUsize::new(0),
            refused: Counter::default(),
            whole,
        })
    }

    /// The share of one request, empty at first.
    pub fn share(self: &Arc<Self>) -> Share {
        Share {
            budget: Arc::clone(self),
            bytes: AtomicUsize::new(0),
        }
    }

    /// Bytes held at the moment.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Times that there was no room, in this budget or a part of it.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    fn take(&self, bytes: usize) -> bool {
        let sum = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let taken = self
            .held
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, sum);
        if taken.is_err() {
            self.count_refusal();
            return false;
        }
        let is_in_whole = self.whole.as_ref().is_none_or(|whole| whole.take(bytes));
        if !is_in_whole {
            self.held.fetch_sub(bytes, Ordering::SeqCst);
        }
        is_in_whole
    }

    fn count_refusal(&self) {
        self.refused.add(1);
        if let Some(whole) = &self.whole {
            whole.count_refusal();
        }
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::SeqCst);
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
    }
}

/// The bytes that one request holds; dropping it gives them back.
#[derive(Debug)]
pub struct Share {
    budget: Arc<ByteBudget>,
    bytes: AtomicUsize,
}

impl Share {
    /// Takes more bytes; false, and nothing is taken, when the budget has not got them.
    pub fn take(&self, bytes: usize) -> bool {
        let is_taken = self.budget.take(bytes);
        if is_taken {
            self.bytes.fetch_add(bytes, Ordering::SeqCst);
        }
        is_taken
    }

    pub fn give_back(&self) {
        let bytes = self.bytes.swap(0, Ordering::SeqCst);
        self.budget.give_back(bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// How a body arrives.
#[derive(Debug)]
pub struct Pace {
    started: Instant,
    received: u64,
}

impl Pace {
    pub fn starts_now() -> Self {
        Self {
            started: Instant::now(),
            received: 0,
        }
    }

    pub fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// Until when more must have arrived.
    pub fn deadline(&self) -> Instant {
        let earned = Duration::from_secs(self.received / BYTES_PER_SECOND);
        self.started + earned.clamp(PATIENCE, BODY_TIMEOUT)
    }

    /// What a peer is told that is too slow.
    pub fn too_slow(&self) -> String {
        format!(
            "request body did not arrive in time: {} bytes in {} s",
            self.received,
            self.started.elapsed().as_secs()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_no_more_than_there_is_and_gives_all_back() {
        let budget = ByteBudget::new(100);
        let (first, second) = (budget.share(), budget.share());
        assert!(first.take(60) && second.take(30) && first.take(10));
        assert!(!second.take(1) && !second.take(usize::MAX));
        drop(first);
        assert!(second.take(70));
        assert!(!budget.share().take(1));
        second.give_back();
        assert!(budget.share().take(100));
    }

    #[test]
    fn a_part_takes_from_the_whole_and_never_all_of_it() {
        let whole = ByteBudget::new(100);
        let part = whole.part(60);
        let (strangers, own) = (part.share(), whole.share());
        assert!(strangers.take(50) && !strangers.take(11));
        assert!(own.take(45) && !strangers.take(6) && whole.held() == 95);
        assert_eq!((part.held(), whole.refused()), (50, 2));
        drop(strangers);
        assert_eq!((part.held(), whole.held()), (0, 45));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_earns_time_with_what_arrives() {
        let mut pace = Pace::starts_now();
        let since_start = |pace: &Pace| (pace.deadline() - pace.started).as_secs();
        for (bytes, expected) in [(0, 5), (5 << 10, 5), (5 << 10, 10), (1 << 20, 30)] {
            pace.received(bytes);
            assert_eq!(since_start(&pace), expected, "{}", pace.received);
        }
    }
}
