//! A sliding one-second count: ten buckets of 100 ms (contract 01 §7.1).

use std::sync::atomic::{AtomicU64, Ordering};

const BUCKETS: usize = 10;
const BUCKET_MS: u64 = 100;

/// Events of the last second. Adding is one compare-and-swap; nothing locks.
///
/// A bucket packs its tick (time / 100 ms) into the upper and its count into the lower 32 bits, so a bucket left over
/// from an earlier round is told apart and restarted by whoever adds next.
#[derive(Debug, Default)]
pub(super) struct Window {
    buckets: [AtomicU64; BUCKETS],
}

impl Window {
    /// Counts `times` events at `now_ms`.
    pub(super) fn add(&self, now_ms: u64, times: u32) {
        let tick = tick(now_ms);
        let bucket = &self.buckets[tick as usize % BUCKETS];
        // The closure always answers Some, so the update cannot fail.
        let _ = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |packed| {
            let (old_tick, count) = unpack(packed);
            let kept = if old_tick == tick { count } else { 0 };
            Some(pack(tick, kept.saturating_add(times)))
        });
    }

    /// Events of the second that ends at `now_ms`, which is also the rate per second.
    pub(super) fn sum(&self, now_ms: u64) -> u64 {
        let tick = tick(now_ms);
        self.buckets
            .iter()
            .map(|bucket| unpack(bucket.load(Ordering::Relaxed)))
            .filter(|(bucket_tick, _)| tick.wrapping_sub(*bucket_tick) < BUCKETS as u32)
            .map(|(_, count)| u64::from(count))
            .sum()
    }
}

/// Ticks start at 1 so that an untouched bucket (tick 0, count 0) never matters; 32 bits last 13 years.
fn tick(now_ms: u64) -> u32 {
    (now_ms / BUCKET_MS + 1) as u32
}

fn pack(tick: u32, count: u32) -> u64 {
    u64::from(tick) << 32 | u64::from(count)
}

fn unpack(packed: u64) -> (u32, u32) {
    ((packed >> 32) as u32, packed as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_slide_out_after_a_second() {
        let window = Window::default();
        window.add(50, 2);
        window.add(149, 3);
        window.add(950, 5);
        assert_eq!(window.sum(999), 10);
        assert_eq!(window.sum(1000), 8, "the bucket of 0..100 ms is over");
        assert_eq!(window.sum(1099), 8);
        assert_eq!(window.sum(1100), 5);
        assert_eq!(window.sum(1899), 5);
        assert_eq!(window.sum(1900), 0);
    }

    #[test]
    fn a_slot_is_reused_without_its_old_count() {
        let window = Window::default();
        window.add(0, 7);
        window.add(1000, 1);
        assert_eq!(window.sum(1000), 1);
    }

    #[test]
    fn counts_saturate_inside_a_bucket() {
        let window = Window::default();
        window.add(0, u32::MAX);
        window.add(0, 9);
        assert_eq!(window.sum(0), u64::from(u32::MAX));
    }

    #[test]
    fn adding_from_threads_loses_nothing() {
        let window = Window::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| window.add(5, 1)));
            }
        });
        assert_eq!(window.sum(5), 40_000);
    }
}
