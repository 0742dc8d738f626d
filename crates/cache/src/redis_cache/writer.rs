//! Writing in the background: requests leave what is to be remembered in a bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fate_federation::ResultKey;
use tokio::sync::mpsc;

use super::MAX_VALUE_BYTES;
use super::keeper::Circuit;

/// Data to be kept, or none to be removed.
pub(super) type Entry = (ResultKey, Option<Bytes>);

/// Lots that wait, and the bytes in them. More is forgotten.
const LOTS: usize = 1024;
const QUEUED_BYTES: usize = 32 << 20;
/// Entries that are sent together.
const TOGETHER: usize = 256;

/// Takes what is to be written.
pub(super) struct Writes {
    lots: mpsc::Sender<Vec<Entry>>,
    bytes: Arc<AtomicUsize>,
}

/// What waits to be written.
pub(super) struct Queue {
    lots: mpsc::Receiver<Vec<Entry>>,
    bytes: Arc<AtomicUsize>,
}

pub(super) fn queue() -> (Writes, Queue) {
    let (sender, receiver) = mpsc::channel(LOTS);
    let bytes = Arc::new(AtomicUsize::new(0));
    let writes = Writes {
        lots: sender,
        bytes: Arc::clone(&bytes),
    };
    let queue = Queue {
        lots: receiver,
        bytes,
    };
    (writes, queue)
}

fn size(entries: &[Entry]) -> usize {
    entries
        .iter()
        .map(|(key, data)| key.as_bytes().len() + length(data))
        .sum()
}

fn length(data: &Option<Bytes>) -> usize {
    data.as_ref().map_or(0, Bytes::len)
}

impl Writes {
    /// Leaves entries to be written; forgets them when there is no room.
    pub(super) fn push(&self, mut entries: Vec<Entry>) {
        entries.retain(|(_, data)| length(data) <= MAX_VALUE_BYTES);
        let added = size(&entries);
        let room = |held: usize| held.checked_add(added).filter(|sum| *sum <= QUEUED_BYTES);
        let has_room = self
            .bytes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, room)
            .is_ok();
        if has_room && self.lots.try_send(entries).is_err() {
            self.bytes.fetch_sub(added, Ordering::SeqCst);
        }
    }
}

impl Queue {
    /// Waits for entries, and takes along what else is there; `None` when nobody can add any.
    async fn next(&mut self) -> Option<Vec<Entry>> {
        let mut entries = self.lots.recv().await?;
        while entries.len() < TOGETHER {
            match self.lots.try_recv() {
                Ok(more) => entries.extend(more),
                Err(_) => break,
            }
        }
        self.bytes.fetch_sub(size(&entries), Ordering::SeqCst);
        Some(entries)
    }
}

/// Writes until the queue ends. A server that refuses to write may still be read.
pub(super) async fn write(
    mut queue: Queue,
    circuit: Arc<Circuit>,
    timeout: Duration,
    expire: Option<Duration>,
) {
    let mut is_told = false;
    while let Some(entries) = queue.next().await {
        let Some(mut link) = circuit.link() else {
            continue;
        };
        for some in entries.chunks(TOGETHER) {
            let cause = match tokio::time::timeout(timeout, link.store(some, expire)).await {
                Ok(Ok(())) => {
                    is_told = false;
                    continue;
                }
                Ok(Err(error)) if !error.is_io_error() && !error.is_timeout() => error.to_string(),
                Ok(Err(error)) => {
                    circuit.open(&link, error.to_string());
                    break;
                }
                Err(_) => {
                    let text = format!("nothing written within {} ms", timeout.as_millis());
                    circuit.open(&link, text);
                    break;
                }
            };
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(cause, "Redis does not take hosts' results");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

    use fate_domain::model_key::ModelKey;

    use super::*;

    fn entry(bytes: usize) -> Entry {
        let key = ResultKey::of("10000", &ModelKey::new("v", "n"), "{}");
        (key, Some(Bytes::from(vec![b' '; bytes])))
    }

    #[tokio::test]
    async fn the_queue_is_bounded_in_lots_and_bytes() {
        let (writes, mut queue) = queue();
        for _ in 0..2 * LOTS {
            writes.push(vec![entry(1)]);
        }
        assert_eq!(writes.bytes.load(Ordering::SeqCst), LOTS * 33);
        let mut taken = 0;
        while taken < LOTS {
            taken += queue.next().await.unwrap().len();
        }
        assert_eq!(writes.bytes.load(Ordering::SeqCst), 0);
        for _ in 0..20 {
            writes.push(vec![entry(MAX_VALUE_BYTES), entry(MAX_VALUE_BYTES + 1)]);
        }
        let held = writes.bytes.load(Ordering::SeqCst);
        assert!(held <= QUEUED_BYTES && held > QUEUED_BYTES / 2, "{held}");
    }
}
