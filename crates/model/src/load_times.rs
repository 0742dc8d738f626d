//! How long models took to come, kept until somebody who measures takes it.

use std::time::Duration;

use parking_lot::Mutex;

/// How a model came into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A load request: fetched, compiled, stored, published.
    Load,
    /// From another node: compiled, stored, published.
    Copy,
    /// At the start: read from the store and compiled.
    Restore,
}

/// Kept when nobody takes them.
const KEPT: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct LoadTimes(Mutex<Vec<(Way, Duration)>>);

impl LoadTimes {
    pub(crate) fn note(&self, way: Way, took: Duration) {
        let mut times = self.0.lock();
        if times.len() < KEPT {
            times.push((way, took));
        }
    }

    pub(crate) fn take(&self) -> Vec<(Way, Duration)> {
        std::mem::take(&mut *self.0.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_once_and_bounded() {
        let times = LoadTimes::default();
        for _ in 0..KEPT + 10 {
            times.note(Way::Load, Duration::from_secs(1));
        }
        assert_eq!(times.take().len(), KEPT);
        assert_eq!(times.take(), []);
    }
}
