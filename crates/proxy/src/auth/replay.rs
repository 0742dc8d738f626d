//! Remembering signatures, so that none counts twice.

use std::collections::{HashMap, HashSet};

/// Signatures of one key that are remembered within one window; some 10 MB.
const MAX_PER_KEY: usize = 500_000;

/// What is to be thought of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Never seen within the window.
    New,
    /// Seen.
    Seen,
    /// Nobody can tell: the key has been used too often.
    Full,
}

/// The signatures of the last window or two, by key. Only signatures that are right get here, so that nobody can fill
/// it but the holder of a key, and that one only his own share.
#[derive(Debug, Default)]
pub(super) struct Replays {
    by_key: HashMap<String, Generations>,
}

/// A signature is in one of the two for one window at least, and for two at most.
#[derive(Debug, Default)]
struct Generations {
    young: HashSet<u64>,
    old: HashSet<u64>,
    young_since: i64,
}

impl Replays {
    /// Notes a signature of a key that is in force.
    pub(super) fn note(
        &mut self,
        app_key: &str,
        signature: u64,
        now_ms: i64,
        window_ms: i64,
    ) -> Verdict {
        let generations = match self.by_key.get_mut(app_key) {
            Some(generations) => generations,
            None => self.by_key.entry(app_key.to_owned()).or_default(),
        };
        generations.grow_old(now_ms, window_ms);
        generations.note(signature)
    }
}

impl Generations {
    fn grow_old(&mut self, now_ms: i64, window_ms: i64) {
        let age = now_ms.saturating_sub(self.young_since);
        if age < window_ms {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        if age >= window_ms.saturating_mul(2) {
            self.old.clear();
        }
        self.young_since = now_ms;
    }

    fn note(&mut self, signature: u64) -> Verdict {
        if self.old.contains(&signature) || self.young.contains(&signature) {
            return Verdict::Seen;
        }
        if self.young.len() >= MAX_PER_KEY {
            return Verdict::Full;
        }
        self.young.insert(signature);
        Verdict::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_remembered_for_a_window_and_forgotten_after_two() {
        let mut replays = Replays::default();
        let mut at = |now| replays.note("k", 1, now, 100);
        assert_eq!(at(1000), Verdict::New);
        assert_eq!(at(1000), Verdict::Seen);
        assert_eq!(at(1099), Verdict::Seen);
        assert_eq!(at(1100), Verdict::Seen);
        assert_eq!(at(1400), Verdict::New);
    }

    #[test]
    fn one_late_in_a_window_outlives_it() {
        let mut replays = Replays::default();
        assert_eq!(replays.note("k", 1, 1000, 100), Verdict::New);
        assert_eq!(replays.note("k", 2, 1099, 100), Verdict::New);
        assert_eq!(replays.note("k", 3, 1101, 100), Verdict::New);
        assert_eq!(replays.note("k", 2, 1198, 100), Verdict::Seen);
    }

    #[test]
    fn a_key_that_is_used_too_often_stops_itself_and_no_other() {
        let mut replays = Replays::default();
        for signature in 0..MAX_PER_KEY as u64 {
            assert_eq!(replays.note("a", signature, 1000, 100), Verdict::New);
        }
        assert_eq!(replays.note("a", u64::MAX, 1000, 100), Verdict::Full);
        assert_eq!(replays.note("a", 7, 1000, 100), Verdict::Seen);
        assert_eq!(replays.note("b", 7, 1000, 100), Verdict::New);
        assert_eq!(replays.note("a", u64::MAX, 1100, 100), Verdict::New);
    }
}
