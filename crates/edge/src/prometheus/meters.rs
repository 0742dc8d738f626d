//! Counters and histograms of atomics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fate_domain::return_code::ReturnCode;

use super::page::Family;
use crate::admission::Refused;

/// Upper bounds of the buckets of durations, in microseconds.
const BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// Only ever grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, times: u64) {
        self.0.fetch_add(times, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations from 50 us to 10 s.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The last is for what is longer than every bound.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Takes one duration down.
    pub fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| bound * 1000 < nanos);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Durations seen up to each bound in seconds, the last without a bound; and the sum of all in seconds.
    pub(super) fn cumulated(&self) -> (Vec<(f64, u64)>, f64) {
        let bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6);
        let sum = self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        (cumulated(bounds, &self.buckets), sum)
    }
}

/// Upper bounds of the buckets of numbers of things.
const BOUNDS_OF_SIZES: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// Numbers of things, such as the rows of a batch.
#[derive(Debug, Default)]
pub struct SizeHistogram {
    /// The last is for what is larger than every bound.
    buckets: [AtomicU64; BOUNDS_OF_SIZES.len() + 1],
    sum: AtomicU64,
}

impl SizeHistogram {
    /// Takes one number down.
    pub fn observe(&self, size: u64) {
        let bucket = BOUNDS_OF_SIZES.partition_point(|bound| *bound < size);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(size, Ordering::Relaxed);
    }

    pub(super) fn cumulated(&self) -> (Vec<(f64, u64)>, f64) {
        let bounds = BOUNDS_OF_SIZES.iter().map(|bound| *bound as f64);
        let sum = self.sum.load(Ordering::Relaxed) as f64;
        (cumulated(bounds, &self.buckets), sum)
    }
}

/// What was seen up to each bound, the last without one.
fn cumulated(bounds: impl Iterator<Item = f64>, buckets: &[AtomicU64]) -> Vec<(f64, u64)> {
    let mut seen = 0;
    let bounds = bounds.chain([f64::INFINITY]).zip(buckets);
    bounds
        .map(|(bound, bucket)| {
            seen += bucket.load(Ordering::Relaxed);
            (bound, seen)
        })
        .collect()
}

/// Calls by return code: this party's codes, other parties' and proxies', and all others together.
#[derive(Debug, Default)]
pub struct CodeCounters {
    known: [[Counter; ReturnCode::KNOWN.len()]; ORIGINS.len()],
    others: Counter,
}

/// What is added to the codes of this party, of a proxy that answers in another's place, of a host at its guest, and of a
/// proxy at the guest.
const ORIGINS: [i32; 4] = [0, 500, 2000, 2500];

impl CodeCounters {
    /// Counts a call.
    pub fn count(&self, code: i32) {
        let counter = ORIGINS
            .iter()
            .zip(&self.known)
            .find_map(|(added, counters)| {
                let own = code.wrapping_sub(*added);
                let place = ReturnCode::KNOWN.iter().position(|known| known.0 == own);
                place.map(|place| &counters[place])
            });
        counter.unwrap_or(&self.others).add(1);
    }

    /// Writes what was seen, and success in any case, behind other labels.
    pub fn write(&self, family: &mut Family<'_>, labels: &[(&str, &str)]) {
        let mut write = |code: &str, counter: &Counter| {
            let count = counter.get();
            if count > 0 || code == "0" {
                let labels: Vec<(&str, &str)> =
                    labels.iter().copied().chain([("code", code)]).collect();
                family.value(&labels, count as f64);
            }
        };
        for (added, counters) in ORIGINS.iter().zip(&self.known) {
            for (code, counter) in ReturnCode::KNOWN.iter().zip(counters) {
                write(&(code.0 + added).to_string(), counter);
            }
        }
        write("other", &self.others);
    }
}

/// Why a call was refused before any work was done for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// As many calls as allowed are in flight.
    Inflight,
    /// The process is stopping.
    Draining,
    /// A flow rule.
    Rate,
    /// The caller's own limit.
    Caller,
    /// The caller would not wait for the answer.
    Deadline,
    /// The threads are late: for now fewer calls than allowed may be in flight.
    Adaptive,
    /// Its model has as many calls as one model may have.
    Model,
}

impl Shed {
    const ALL: [Self; 7] = [
        Self::Inflight,
        Self::Draining,
        Self::Rate,
        Self::Caller,
        Self::Deadline,
        Self::Adaptive,
        Self::Model,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Inflight => "inflight",
            Self::Draining => "draining",
            Self::Rate => "rate",
            Self::Caller => "caller",
            Self::Deadline => "deadline",
            Self::Adaptive => "adaptive",
            Self::Model => "model",
        }
    }
}

impl From<Refused> for Shed {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Full => Self::Inflight,
            Refused::Closed => Self::Draining,
        }
    }
}

/// Refused calls by reason.
#[derive(Debug, Default)]
pub struct ShedCounters([Counter; Shed::ALL.len()]);

impl ShedCounters {
    /// Counts a refused call.
    pub fn count(&self, reason: Shed) {
        self.0[reason as usize].add(1);
    }

    /// Writes all reasons. `bytes` are the bodies that the budget of bytes had no room for.
    pub fn write(&self, family: &mut Family<'_>, bytes: u64) {
        for (reason, counter) in Shed::ALL.iter().zip(&self.0) {
            family.value(&[("reason", reason.name())], counter.get() as f64);
        }
        family.value(&[("reason", "bytes")], bytes as f64);
    }
}
