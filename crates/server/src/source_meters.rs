//! What feature sources do, measured.

use std::collections::BTreeMap;
use std::time::Duration;

use fate_edge::prometheus::{Counter, Histogram, Kind, Page};
use fate_features::{FetchMeter, SourceSettings};

/// Meters of the configured sources, by name.
#[derive(Debug, Default)]
pub(crate) struct SourceMeters {
    sources: BTreeMap<String, Meters>,
}

#[derive(Debug, Default)]
struct Meters {
    durations: Histogram,
    missed: Counter,
    failed: Counter,
}

impl SourceMeters {
    pub(crate) fn of(sources: &[SourceSettings]) -> Self {
        let meters = |source: &SourceSettings| (source.name.clone(), Meters::default());
        Self {
            sources: sources.iter().map(meters).collect(),
        }
    }

    pub(crate) fn write(&self, page: &mut Page) {
        if self.sources.is_empty() {
            return;
        }
        let mut durations = page.family(
            "fate_serving_feature_fetch_duration_seconds",
            Kind::Histogram,
            "How long feature sources took for the rows of a call.",
        );
        for (name, meters) in &self.sources {
            durations.histogram(&[("source", name)], &meters.durations);
        }
        let mut missed = page.family(
            "fate_serving_feature_miss_total",
            Kind::Counter,
            "Rows that feature sources did not know.",
        );
        for (name, meters) in &self.sources {
            missed.value(&[("source", name)], meters.missed.get() as f64);
        }
        let mut failed = page.family(
            "fate_serving_feature_failures_total",
            Kind::Counter,
            "Rows for which feature sources failed.",
        );
        for (name, meters) in &self.sources {
            failed.value(&[("source", name)], meters.failed.get() as f64);
        }
    }
}

impl FetchMeter for SourceMeters {
    fn fetched(&self, source: &str, took: Duration, missed: usize, failed: usize) {
        let Some(meters) = self.sources.get(source) else {
            return;
        };
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        meters.durations.observe(took);
        meters.missed.add(count(missed));
        meters.failed.add(count(failed));
    }
}
