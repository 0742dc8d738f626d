//! `limit.caller.qps`: none of the applications that share a server takes the places of the others.
//!
//! Callers are known by a header that nobody vouches for, or else by their address: this is for fairness among one's own
//! applications, not against attackers, who can be many.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::Instant;

use http::{HeaderMap, HeaderName};
use lru::LruCache;
use parking_lot::Mutex;

/// Callers that are remembered; whoever was not heard of for longest is forgotten, and begins anew.
const MAX_CALLERS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// Of a name; what follows does not tell callers apart.
const MAX_NAME_BYTES: usize = 128;

/// One limit, for each caller.
pub struct CallerLimit {
    /// Calls a second; as many may come at once after a rest, but always one.
    qps: f64,
    header: HeaderName,
    buckets: Mutex<LruCache<Box<[u8]>, Bucket>>,
}

/// Calls that may come now, as of a moment.
struct Bucket {
    calls: f64,
    at: Instant,
}

impl CallerLimit {
    pub fn new(qps: f64, header: HeaderName) -> Self {
        Self {
            qps,
            header,
            buckets: Mutex::new(LruCache::new(MAX_CALLERS)),
        }
    }

    /// Whether this caller may call once more.
    pub fn pass(&self, headers: &HeaderMap, address: Option<IpAddr>) -> bool {
        self.pass_at(headers, address, Instant::now())
    }

    fn pass_at(&self, headers: &HeaderMap, address: Option<IpAddr>, now: Instant) -> bool {
        let given = headers.get(&self.header).map(|value| value.as_bytes());
        let name: Box<[u8]> = match given.filter(|name| !name.is_empty()) {
            Some(name) => name[..name.len().min(MAX_NAME_BYTES)].into(),
            None => address
                .map_or_else(String::new, |one| one.to_string())
                .into_bytes()
                .into(),
        };
        let most = self.qps.max(1.0);
        let mut buckets = self.buckets.lock();
        let full = || Bucket {
            calls: most,
            at: now,
        };
        let bucket = buckets.get_or_insert_mut(name, full);
        let rest = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.calls = (bucket.calls + rest * self.qps).min(most);
        bucket.at = now;
        let may = bucket.calls >= 1.0;
        if may {
            bucket.calls -= 1.0;
        }
        may
    }
}

impl fmt::Debug for CallerLimit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CallerLimit")
            .field("qps", &self.qps)
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn named(name: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("appkey", name.parse().unwrap());
        headers
    }

    fn passes(limit: &CallerLimit, name: &str, at: Instant) -> usize {
        let headers = named(name);
        let calls = 0..100;
        calls.filter(|_| limit.pass_at(&headers, None, at)).count()
    }

    #[test]
    fn everybody_has_a_rate_of_their_own() {
        let limit = CallerLimit::new(5.0, HeaderName::from_static("appkey"));
        let start = Instant::now();
        assert_eq!(passes(&limit, "a", start), 5);
        assert_eq!(passes(&limit, "b", start), 5);
        assert_eq!(passes(&limit, "a", start + Duration::from_millis(600)), 3);
        assert_eq!(passes(&limit, "a", start + Duration::from_secs(60)), 5);
        // A clock that goes back gives nothing away.
        assert_eq!(passes(&limit, "a", start), 0);
    }

    #[test]
    fn less_than_one_call_a_second() {
        let limit = CallerLimit::new(0.5, HeaderName::from_static("appkey"));
        let start = Instant::now();
        assert_eq!(passes(&limit, "a", start), 1);
        assert_eq!(passes(&limit, "a", start + Duration::from_secs(1)), 0);
        assert_eq!(passes(&limit, "a", start + Duration::from_secs(2)), 1);
    }

    #[test]
    fn without_a_name_the_address_counts() {
        let limit = CallerLimit::new(1.0, HeaderName::from_static("appkey"));
        let (none, now) = (HeaderMap::new(), Instant::now());
        let pass = |address: &str| limit.pass_at(&none, address.parse().ok(), now);
        assert!(pass("192.0.2.1") && pass("192.0.2.2"));
        assert!(!pass("192.0.2.1"));
        assert!(limit.pass_at(&named("a"), "192.0.2.1".parse().ok(), now));
    }

    #[test]
    fn names_are_bounded_in_length_and_number() {
        let limit = CallerLimit::new(1.0, HeaderName::from_static("appkey"));
        let now = Instant::now();
        let long = "x".repeat(MAX_NAME_BYTES);
        assert!(limit.pass_at(&named(&long), None, now));
        assert!(!limit.pass_at(&named(&format!("{long}y")), None, now));
        for name in 0..2 * MAX_CALLERS.get() {
            limit.pass_at(&named(&name.to_string()), None, now);
        }
        assert_eq!(limit.buckets.lock().len(), MAX_CALLERS.get());
    }
}
