//! What came out of many rows.

use std::fmt::Write as _;
use std::time::Duration;

use super::compare::Outcome;
use crate::stdout::plain;

/// Mismatches that are kept to be shown; all are counted.
const SHOWN: usize = 5;

/// Rows scored in one way.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    tolerance: f64,
    pub(crate) rows: usize,
    max_difference: Option<f64>,
    mismatching: usize,
    /// The first few.
    mismatches: Vec<Mismatch>,
    latencies: Vec<Duration>,
}

/// A row whose score is not FATE's, or that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mismatch {
    id: String,
    cause: String,
}

impl Tally {
    pub(super) fn new(tolerance: f64) -> Tally {
        Tally {
            tolerance,
            rows: 0,
            max_difference: None,
            mismatching: 0,
            mismatches: Vec::new(),
            latencies: Vec::new(),
        }
    }

    pub(super) fn took(&mut self, latency: Duration) {
        self.latencies.push(latency);
    }

    pub(super) fn record(&mut self, id: &str, outcome: &Outcome) {
        self.rows += 1;
        if let Ok(deviation) = outcome {
            let largest = self.max_difference.unwrap_or(0.0);
            self.max_difference = Some(largest.max(deviation.difference));
        }
        let Some(cause) = self.cause(outcome) else {
            return;
        };
        self.mismatching += 1;
        if self.mismatches.len() < SHOWN {
            self.mismatches.push(Mismatch {
                id: id.to_owned(),
                cause,
            });
        }
    }

    fn cause(&self, outcome: &Outcome) -> Option<String> {
        let deviation = match outcome {
            Ok(deviation) => deviation,
            Err(cause) => return Some(cause.clone()),
        };
        if deviation.difference > self.tolerance {
            let class = match &deviation.class {
                Some(class) => format!(" of class {class}"),
                None => String::new(),
            };
            return Some(format!(
                "score{class} {} where FATE has {}, difference {:.1e}",
                deviation.online, deviation.offline, deviation.difference
            ));
        }
        (deviation.wrong_class_by > self.tolerance).then(|| {
            format!(
                "another class than FATE's, less likely by {:.1e}",
                deviation.wrong_class_by
            )
        })
    }

    /// The largest difference of all rows with a score: absolute for scores up to 1, relative for larger ones. `-`
    /// when no row has one.
    pub(crate) fn max_difference(&self) -> String {
        self.max_difference
            .map_or_else(|| "-".to_owned(), |largest| format!("{largest:.1e}"))
    }

    /// Whether there were rows and every one has FATE's score.
    pub(crate) fn is_good(&self) -> bool {
        self.rows > 0 && self.mismatching == 0
    }

    /// The mismatches for people: a line with their number, then one for each that was kept; nothing without any.
    pub(crate) fn mismatch_lines(&self, way: &str) -> String {
        if self.mismatching == 0 {
            return String::new();
        }
        let mut lines = format!(
            "    {way}: {} of {} rows differ\n",
            self.mismatching, self.rows
        );
        for Mismatch { id, cause } in &self.mismatches {
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "        {}: {}", plain(id), plain(cause));
        }
        if self.mismatching > self.mismatches.len() {
            lines.push_str("        …\n");
        }
        lines
    }

    /// The latency that `percent` of the calls did not exceed; zero without calls.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::compare::Deviation;
    use super::*;

    fn off_by(difference: f64) -> Outcome {
        Ok(Deviation {
            difference,
            online: 0.5,
            offline: 0.25,
            class: None,
            wrong_class_by: 0.0,
        })
    }

    #[test]
    fn mismatches_are_all_counted_and_the_first_are_kept() {
        let mut tally = Tally::new(1e-3);
        assert!(!tally.is_good(), "no rows are no proof");
        assert_eq!(tally.max_difference(), "-");
        tally.record("exact", &off_by(1e-3));
        assert!(tally.is_good());
        for row in 0..9 {
            tally.record(&row.to_string(), &off_by(0.25));
        }
        tally.record("lost", &Err("late".to_owned()));
        assert_eq!((tally.rows, tally.mismatching), (11, 10));
        assert_eq!(tally.max_difference(), "2.5e-1");
        assert_eq!(tally.mismatches.len(), SHOWN);
        assert_eq!(
            tally.mismatches[0].cause,
            "score 0.5 where FATE has 0.25, difference 2.5e-1"
        );
        assert!(!tally.is_good());
    }

    #[test]
    fn percentiles_are_latencies_that_occurred() {
        let mut tally = Tally::new(0.0);
        assert_eq!(tally.percentile(50), Duration::ZERO);
        for millis in [4, 1, 3, 2] {
            tally.took(Duration::from_millis(millis));
        }
        assert_eq!(tally.percentile(50), Duration::from_millis(2));
        assert_eq!(tally.percentile(99), Duration::from_millis(4));
    }
}
