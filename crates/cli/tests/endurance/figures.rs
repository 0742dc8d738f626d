//! What processes hold, and how it changes with time.

use std::fs;
use std::time::Duration;

/// What one process holds at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) kilobytes: f64,
    pub(crate) descriptors: f64,
    pub(crate) threads: f64,
}

/// `None` when it has ended.
pub(crate) fn held(pid: u32) -> Option<Held> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let number = |label: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(label))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some(Held {
        kilobytes: number("VmRSS:")?,
        descriptors: f64::from(u32::try_from(descriptors).ok()?),
        threads: number("Threads:")?,
    })
}

/// Samples of one figure of one process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    samples: Vec<(f64, f64)>,
}

impl Series {
    pub(crate) fn push(&mut self, at: Duration, value: f64) {
        self.samples.push((at.as_secs_f64(), value));
    }

    /// Without what came before `from`.
    pub(crate) fn since(&self, from: Duration) -> Self {
        let from = from.as_secs_f64();
        let samples = self.samples.iter().filter(|(at, _)| *at >= from);
        Self {
            samples: samples.copied().collect(),
        }
    }

    pub(crate) fn first(&self) -> f64 {
        self.samples.first().map_or(0.0, |sample| sample.1)
    }

    pub(crate) fn last(&self) -> f64 {
        self.samples.last().map_or(0.0, |sample| sample.1)
    }

    pub(crate) fn largest(&self) -> f64 {
        self.samples
            .iter()
            .map(|sample| sample.1)
            .fold(0.0, f64::max)
    }

    /// Of the line through the samples (least squares), by the minute.
    pub(crate) fn slope_per_minute(&self) -> f64 {
        let count = self.samples.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| self.samples.iter().map(of).sum::<f64>() / count;
        let (time, value) = (mean(|one| one.0), mean(|one| one.1));
        let (mut together, mut alone) = (0.0, 0.0);
        for (at, one) in &self.samples {
            together += (at - time) * (one - value);
            alone += (at - time) * (at - time);
        }
        if alone == 0.0 {
            0.0
        } else {
            60.0 * together / alone
        }
    }
}

#[test]
fn slopes() {
    let mut line = Series::default();
    (0..10).for_each(|second| line.push(Duration::from_secs(second), 7.0 + 0.5 * second as f64));
    assert!((line.slope_per_minute() - 30.0).abs() < 1e-9);
    assert_eq!(
        (line.first(), line.last(), line.largest()),
        (7.0, 11.5, 11.5)
    );
    let late = line.since(Duration::from_secs(8));
    assert_eq!((late.first(), late.last()), (11.0, 11.5));
    let mut flat = Series::default();
    (0..10).for_each(|second| flat.push(Duration::from_secs(second), 3.0));
    assert_eq!(flat.slope_per_minute(), 0.0);
    assert_eq!(Series::default().slope_per_minute(), 0.0);
}
