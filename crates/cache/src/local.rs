//! The cache in this process: the least recently used entries leave first, and none outlives its time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fate_federation::{ResultCache, ResultKey};
use futures::future::BoxFuture;
use lru::LruCache;
use parking_lot::Mutex;

/// Parts with a lock each, so that requests seldom meet.
const SHARDS: usize = 16;
/// What an entry takes besides its data.
const ENTRY_BYTES: usize = 160;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Bounds of a local cache.
#[derive(Debug, Clone, Copy)]
pub struct LocalSettings {
    /// Entries at the same time.
    pub max_entries: usize,
    /// Bytes of all entries together.
    pub max_bytes: usize,
    /// How long after it was written an entry ends; `None` for never. Java counts from the last use, so that an entry
    /// that is asked for often never ends.
    pub expire: Option<Duration>,
}

/// Entries by key, in shards.
pub struct LocalCache {
    shards: Vec<Mutex<Shard>>,
    /// Of one shard.
    max_entries: usize,
    max_bytes: usize,
    expire: Option<Duration>,
    clock: Clock,
}

struct Shard {
    entries: LruCache<ResultKey, Entry>,
    bytes: usize,
}

struct Entry {
    data: Bytes,
    written: Instant,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.data.len() + ENTRY_BYTES
    }
}

impl LocalCache {
    /// An empty cache.
    pub fn new(settings: LocalSettings) -> Self {
        Self::with_clock(settings, Arc::new(Instant::now))
    }

    /// As [`Self::new`], in a time of its own.
    pub fn with_clock(settings: LocalSettings, clock: Clock) -> Self {
        let shards = settings.max_entries.clamp(1, SHARDS);
        let empty = || Shard {
            entries: LruCache::unbounded(),
            bytes: 0,
        };
        Self {
            shards: (0..shards).map(|_| Mutex::new(empty())).collect(),
            max_entries: settings.max_entries / shards,
            max_bytes: settings.max_bytes / shards,
            expire: settings.expire,
            clock,
        }
    }

    fn shard(&self, key: &ResultKey) -> &Mutex<Shard> {
        // Keys are digests: any digit is as good as random.
        let digit = char::from(key.as_bytes()[0]).to_digit(16).unwrap_or(0);
        &self.shards[digit as usize % self.shards.len()]
    }

    fn is_over(&self, entry: &Entry, now: Instant) -> bool {
        let age = now.saturating_duration_since(entry.written);
        self.expire.is_some_and(|expire| age >= expire)
    }

    fn find(&self, key: &ResultKey, now: Instant) -> Option<Bytes> {
        let mut shard = self.shard(key).lock();
        let entry = shard.entries.get(key)?;
        if !self.is_over(entry, now) {
            return Some(entry.data.clone());
        }
        shard.remove(key);
        None
    }

    fn keep(&self, key: ResultKey, data: Bytes, now: Instant) {
        let entry = Entry { data, written: now };
        let mut shard = self.shard(&key).lock();
        shard.remove(&key);
        if entry.bytes() > self.max_bytes {
            return;
        }
        shard.bytes += entry.bytes();
        shard.entries.put(key, entry);
        while shard.entries.len() > self.max_entries || shard.bytes > self.max_bytes {
            let Some((_, oldest)) = shard.entries.pop_lru() else {
                break;
            };
            shard.bytes -= oldest.bytes();
        }
    }

    #[cfg(test)]
    fn sizes(&self) -> (usize, usize) {
        let shards = self.shards.iter().map(|shard| shard.lock());
        shards.fold((0, 0), |(entries, bytes), shard| {
            (entries + shard.entries.len(), bytes + shard.bytes)
        })
    }
}

impl Shard {
    fn remove(&mut self, key: &ResultKey) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes -= entry.bytes();
        }
    }
}

impl ResultCache for LocalCache {
    fn get<'a>(
        &'a self,
        keys: &'a [ResultKey],
        _patience: Duration,
    ) -> BoxFuture<'a, Vec<Option<Bytes>>> {
        let now = (self.clock)();
        let found = keys.iter().map(|key| self.find(key, now)).collect();
        Box::pin(std::future::ready(found))
    }

    fn put(&self, entries: Vec<(ResultKey, Bytes)>) {
        let now = (self.clock)();
        for (key, data) in entries {
            self.keep(key, data, now);
        }
    }

    fn forget(&self, keys: Vec<ResultKey>) {
        for key in keys {
            self.shard(&key).lock().remove(&key);
        }
    }
}

impl fmt::Debug for LocalCache {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("LocalCache")
            .field("shards", &self.shards.len())
            .field("max_entries", &self.max_entries)
            .field("max_bytes", &self.max_bytes)
            .field("expire", &self.expire)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

    use std::sync::atomic::{AtomicU64, Ordering};

    use fate_domain::model_key::ModelKey;
    use futures::FutureExt as _;

    use super::*;

    fn key(id: usize) -> ResultKey {
        ResultKey::of(
            "10000",
            &ModelKey::new("v", "guest#9999#m"),
            &format!("{{\"id\":{id}}}"),
        )
    }

    fn get(cache: &LocalCache, id: usize) -> Option<Bytes> {
        let keys = [key(id)];
        let mut found = cache.get(&keys, Duration::ZERO).now_or_never().unwrap();
        found.remove(0)
    }

    fn put(cache: &LocalCache, id: usize, data: &'static [u8]) {
        cache.put(vec![(key(id), Bytes::from_static(data))]);
    }

    fn settings(max_entries: usize, max_bytes: usize) -> LocalSettings {
        LocalSettings {
            max_entries,
            max_bytes,
            expire: Some(Duration::from_secs(30)),
        }
    }

    fn at(settings: LocalSettings) -> (LocalCache, Arc<AtomicU64>) {
        let (start, seconds) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let now = Arc::clone(&seconds);
        let clock = move || start + Duration::from_secs(now.load(Ordering::SeqCst));
        (LocalCache::with_clock(settings, Arc::new(clock)), seconds)
    }

    #[test]
    fn an_entry_ends_after_its_time_however_often_it_is_used() {
        let (cache, seconds) = at(settings(100, 1 << 20));
        put(&cache, 1, b"{}");
        for second in [0, 10, 20, 29] {
            seconds.store(second, Ordering::SeqCst);
            assert_eq!(get(&cache, 1).as_deref(), Some(&b"{}"[..]), "{second}");
        }
        seconds.store(30, Ordering::SeqCst);
        assert_eq!(get(&cache, 1), None);
        assert_eq!(cache.sizes(), (0, 0));
        put(&cache, 1, b"{\"a\":1}");
        assert_eq!(get(&cache, 1).as_deref(), Some(&b"{\"a\":1}"[..]));
    }

    #[test]
    fn without_a_time_entries_stay() {
        let forever = LocalSettings {
            expire: None,
            ..settings(100, 1 << 20)
        };
        let (cache, seconds) = at(forever);
        put(&cache, 1, b"{}");
        seconds.store(u64::from(u32::MAX), Ordering::SeqCst);
        assert!(get(&cache, 1).is_some());
    }

    #[test]
    fn what_was_not_used_for_longest_leaves_first() {
        // One shard.
        let cache = LocalCache::new(LocalSettings {
            max_entries: 1,
            ..settings(1, 1 << 20)
        });
        assert_eq!(cache.shards.len(), 1);
        let cache = LocalCache {
            max_entries: 2,
            ..cache
        };
        put(&cache, 1, b"{}");
        put(&cache, 2, b"{}");
        assert!(get(&cache, 1).is_some());
        put(&cache, 3, b"{}");
        assert!(get(&cache, 1).is_some() && get(&cache, 3).is_some());
        assert_eq!(get(&cache, 2), None);
    }

    #[test]
    fn neither_entries_nor_bytes_grow_beyond_their_bounds() {
        let few = LocalCache::new(settings(1000, 1 << 30));
        let small = LocalCache::new(settings(1_000_000, 64 << 10));
        for id in 0..20_000 {
            put(&few, id, b"{}");
            put(&small, id, b"{\"score\":1.25}");
        }
        let (entries, _) = few.sizes();
        assert!((900..=1000).contains(&entries), "{entries}");
        let (entries, bytes) = small.sizes();
        assert!(entries > 300 && bytes <= 64 << 10, "{entries} {bytes}");
        // What alone would take a shard's whole room is not kept, and takes the older value along.
        put(&small, 19_999, &[b'x'; 8 << 10]);
        assert_eq!(get(&small, 19_999), None);
    }
}
