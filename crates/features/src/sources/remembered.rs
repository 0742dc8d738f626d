//! What a source said a short while ago, bounded in time, entries and bytes.

use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::columns::Answer;

/// What an entry costs beside its texts, about.
const ENTRY_BYTES: usize = 128;
const FEATURE_BYTES: usize = 48;

/// How much is remembered, and how long. The default remembers nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemorySettings {
    /// Rows: so long after they were read. `None`: not at all.
    pub rows: Option<Duration>,
    /// That there is no row: so long. `None`: not at all.
    pub absences: Option<Duration>,
    pub max_entries: usize,
    pub max_bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Remembered {
    settings: MemorySettings,
    store: Mutex<Store>,
}

#[derive(Debug)]
struct Store {
    entries: LruCache<Arc<str>, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Answer,
    ends: Instant,
    bytes: usize,
}

impl Remembered {
    pub(crate) fn new(settings: MemorySettings) -> Self {
        Self {
            settings,
            store: Mutex::new(Store {
                entries: LruCache::unbounded(),
                bytes: 0,
            }),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Answer> {
        let mut store = self.store.lock();
        let entry = store.entries.get(key)?;
        if Instant::now() < entry.ends {
            return Some(entry.answer.clone());
        }
        let ended = store.entries.pop(key)?;
        store.bytes -= ended.bytes;
        None
    }

    /// Remembers an answer, if answers of its kind are. What cannot be used is read again: it may be mended meanwhile.
    pub(crate) fn put(&self, key: &Arc<str>, answer: &Answer) {
        let time = match answer {
            Answer::Row(_) => self.settings.rows,
            Answer::Nothing => self.settings.absences,
            Answer::Poisoned(_) => None,
        };
        let Some(time) = time else { return };
        let entry = Entry {
            bytes: key.len() + bytes(answer),
            answer: answer.clone(),
            ends: Instant::now() + time,
        };
        let mut store = self.store.lock();
        store.bytes += entry.bytes;
        if let Some((_, replaced)) = store.entries.push(Arc::clone(key), entry) {
            store.bytes -= replaced.bytes;
        }
        while store.entries.len() > self.settings.max_entries
            || store.bytes > self.settings.max_bytes
        {
            let Some((_, oldest)) = store.entries.pop_lru() else {
                return;
            };
            store.bytes -= oldest.bytes;
        }
    }
}

fn bytes(answer: &Answer) -> usize {
    let features = match answer {
        Answer::Row(features) => features.as_slice(),
        Answer::Nothing | Answer::Poisoned(_) => &[],
    };
    let of_one = |(_, token): &(Arc<str>, Box<str>)| FEATURE_BYTES + token.len();
    ENTRY_BYTES + features.iter().map(of_one).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(bytes: usize) -> Answer {
        let token = "1".repeat(bytes).into_boxed_str();
        Answer::Row(Arc::new(vec![("x".into(), token)]))
    }

    fn remembered(max_entries: usize, max_bytes: usize) -> Remembered {
        Remembered::new(MemorySettings {
            rows: Some(Duration::from_secs(10)),
            absences: Some(Duration::from_secs(1)),
            max_entries,
            max_bytes,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn entries_end_in_time() {
        let remembered = remembered(10, 1 << 20);
        let keys = ["row", "none", "bad"].map(Arc::<str>::from);
        let answers = [row(1), Answer::Nothing, Answer::Poisoned("x".into())];
        for (key, answer) in keys.iter().zip(&answers) {
            remembered.put(key, answer);
        }
        assert_eq!(remembered.get("row"), Some(row(1)));
        assert_eq!(remembered.get("none"), Some(Answer::Nothing));
        assert_eq!(remembered.get("bad"), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(remembered.get("none"), None);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(remembered.get("row"), None);
        assert_eq!(remembered.store.lock().bytes, 0);
    }

    #[tokio::test]
    async fn it_is_bounded_in_entries_and_bytes() {
        let few = remembered(10, 1 << 20);
        let small = remembered(1000, 10_000);
        for key in 0..100 {
            let key: Arc<str> = key.to_string().into();
            for remembered in [&few, &small] {
                remembered.put(&key, &row(1000));
                remembered.put(&key, &row(1000));
            }
        }
        assert_eq!(few.store.lock().entries.len(), 10);
        let store = small.store.lock();
        assert!(store.bytes <= 10_000 && store.entries.len() > 5);
        drop(store);
        assert!(small.get("99").is_some() && small.get("0").is_none());
        let off = Remembered::new(MemorySettings::default());
        off.put(&"a".into(), &row(1));
        assert_eq!(off.get("a"), None);
    }
}
