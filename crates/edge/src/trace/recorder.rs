//! Where finished spans go first: a bounded queue that nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::context::TraceId;
use super::span::Record;
use crate::prometheus::{Counter, Kind, Page};

/// Spans that wait for their export.
const QUEUE: usize = 8192;
/// Wishes for a flush at the same time.
const FLUSHES: usize = 4;

#[derive(Debug)]
pub(super) struct Recorder {
    queue: mpsc::Sender<Record>,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
    /// Traces whose id's second half is smaller are sampled; all if it is the largest number.
    sampled_below: AtomicU64,
    pub(super) tally: Arc<Tally>,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) spans: mpsc::Receiver<Record>,
    pub(super) flushes: mpsc::Receiver<oneshot::Sender<()>>,
}

/// What became of spans.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) exported: Counter,
    /// The queue was full.
    dropped: Counter,
    /// The endpoint did not take them.
    pub(super) lost: Counter,
}

impl Recorder {
    pub(super) fn new(ratio: f64) -> (Arc<Self>, Queue) {
        let (queue, spans) = mpsc::channel(QUEUE);
        let (flushes, flush_wishes) = mpsc::channel(FLUSHES);
        let recorder = Self {
            queue,
            flushes,
            sampled_below: AtomicU64::new(threshold(ratio)),
            tally: Arc::default(),
        };
        let queue = Queue {
            spans,
            flushes: flush_wishes,
        };
        (Arc::new(recorder), queue)
    }

    /// The second half of an id decides, as other implementations do it: they agree without asking each other.
    pub(super) fn samples(&self, id: TraceId) -> bool {
        let half = u128::from_be_bytes(id) as u64;
        let below = self.sampled_below.load(Ordering::Relaxed);
        half < below || below == u64::MAX
    }

    pub(super) fn set_ratio(&self, ratio: f64) {
        self.sampled_below
            .store(threshold(ratio), Ordering::Relaxed);
    }

    pub(super) fn take(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            self.tally.dropped.add(1);
        }
    }

    pub(super) async fn flush(&self, patience: Duration) {
        let (done, is_done) = oneshot::channel();
        if self.flushes.try_send(done).is_ok() {
            // Late or given up: there is nothing more to be done.
            let _ = tokio::time::timeout(patience, is_done).await;
        }
    }
}

fn threshold(ratio: f64) -> u64 {
    // Saturates: 1 is all of them.
    (ratio.clamp(0.0, 1.0) * u64::MAX as f64) as u64
}

impl Tally {
    pub(super) fn write(&self, page: &mut Page) {
        let mut family = page.family(
            "fate_serving_trace_spans_total",
            Kind::Counter,
            "Spans that were exported, dropped because the queue was full, or not taken by the endpoint.",
        );
        for (outcome, counter) in [
            ("exported", &self.exported),
            ("dropped", &self.dropped),
            ("lost", &self.lost),
        ] {
            family.value(&[("outcome", outcome)], counter.get() as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_samples_its_part_of_the_traces() {
        let (recorder, _queue) = Recorder::new(0.25);
        let sampled = |recorder: &Recorder| {
            let ids = (0..10_000).map(|_| rand::random::<u128>().to_be_bytes());
            ids.filter(|id| recorder.samples(*id)).count()
        };
        assert!((2200..2800).contains(&sampled(&recorder)));
        recorder.set_ratio(1.0);
        assert!(recorder.samples([0xff; 16]) && recorder.samples([0; 16]));
        recorder.set_ratio(0.0);
        assert!(!recorder.samples([0; 16]) && sampled(&recorder) == 0);
    }
}
