//! One-second samples of the counters, kept in memory for `queryMetrics` (contract 01 §7.3).

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use super::control::Rates;

/// Samples kept: about a minute and a half of 700 resources, or most of a day of one.
const MAX_SAMPLES: usize = 60_000;
/// A query over all interfaces stops after the second in which this is reached.
const ALL_SOURCES_LINES: usize = 300;
/// A query by source answers at most this many samples.
const BY_SOURCE_LINES: usize = 100_000;

/// One sample, in the field order of the Java `MetricNode`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricNode {
    pub timestamp: i64,
    pub pass_qps: u64,
    pub block_qps: u64,
    pub success_qps: u64,
    pub exception_qps: u64,
    pub rt: u64,
    pub occupied_pass_qps: u64,
    pub resource: Arc<str>,
}

/// The ring of samples, oldest first. Its memory is taken at the start: what a process holds then is what it holds at night.
#[derive(Debug)]
pub struct Metrics {
    samples: Mutex<VecDeque<Sample>>,
}

/// What is kept of a [`MetricNode`].
#[derive(Debug, Clone)]
struct Sample {
    timestamp: i64,
    passed: u32,
    blocked: u32,
    succeeded: u32,
    failed: u32,
    resource: Arc<str>,
}

impl Sample {
    fn of(timestamp: i64, rates: Rates) -> Self {
        let counter = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Sample {
            timestamp,
            passed: counter(rates.passed),
            blocked: counter(rates.blocked),
            succeeded: counter(rates.succeeded),
            failed: counter(rates.failed),
            resource: rates.resource,
        }
    }

    fn node(&self) -> MetricNode {
        MetricNode {
            timestamp: self.timestamp,
            pass_qps: self.passed.into(),
            block_qps: self.blocked.into(),
            success_qps: self.succeeded.into(),
            exception_qps: self.failed.into(),
            rt: 0,
            occupied_pass_qps: 0,
            resource: Arc::clone(&self.resource),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let nothing = Sample {
            timestamp: 0,
            passed: 0,
            blocked: 0,
            succeeded: 0,
            failed: 0,
            resource: Arc::default(),
        };
        // Written once, so that the system gives the pages now.
        let mut samples = VecDeque::from(vec![nothing; MAX_SAMPLES]);
        samples.clear();
        Metrics {
            samples: Mutex::new(samples),
        }
    }
}

/// The answer to a query.
#[derive(Debug, PartialEq, Eq)]
pub enum Samples {
    /// Nothing was sampled since the begin: the answer carries no data at all.
    NoneSince,
    /// The matching samples, oldest first, perhaps none.
    Found(Vec<MetricNode>),
}

impl Metrics {
    /// Adds one sample of every resource.
    pub fn record(&self, timestamp_ms: i64, mut rates: Vec<Rates>) {
        rates.sort_by(|a, b| a.resource.cmp(&b.resource));
        let mut samples = self.samples.lock();
        for rate in rates {
            if samples.len() == MAX_SAMPLES {
                samples.pop_front();
            }
            samples.push_back(Sample::of(timestamp_ms, rate));
        }
    }

    /// All interface resources since `begin_ms`: about 300 samples, the last second complete.
    pub fn interfaces_since(&self, begin_ms: i64) -> Samples {
        let samples = self.samples.lock();
        let Some(start) = start_of(&samples, "I_", begin_ms) else {
            return Samples::NoneSince;
        };
        let mut found: Vec<MetricNode> = Vec::new();
        for sample in samples
            .range(start..)
            .filter(|sample| sample.resource.starts_with("I_"))
        {
            let is_full = found.len() >= ALL_SOURCES_LINES;
            if is_full
                && found
                    .last()
                    .is_some_and(|last| second(last.timestamp) != second(sample.timestamp))
            {
                break;
            }
            found.push(sample.node());
        }
        Samples::Found(found)
    }

    /// One resource between two moments, both seconds included. `kind` is the resource prefix, `I_` or `M_`.
    pub fn of_source(&self, kind: &str, source: &str, begin_ms: i64, end_ms: i64) -> Samples {
        let samples = self.samples.lock();
        let Some(start) = start_of(&samples, kind, begin_ms) else {
            return Samples::NoneSince;
        };
        let last_second = second(end_ms);
        let found = samples
            .range(start..)
            .take_while(|sample| second(sample.timestamp) <= last_second)
            .filter(|sample| *sample.resource == *source && source.starts_with(kind))
            .take(BY_SOURCE_LINES)
            .map(Sample::node)
            .collect();
        Samples::Found(found)
    }
}

fn second(timestamp_ms: i64) -> i64 {
    timestamp_ms.div_euclid(1000)
}

fn start_of(samples: &VecDeque<Sample>, kind: &str, begin_ms: i64) -> Option<usize> {
    let first_second = second(begin_ms);
    let start = samples.partition_point(|sample| second(sample.timestamp) < first_second);
    samples
        .range(start..)
        .any(|sample| sample.resource.starts_with(kind))
        .then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(resource: &str, passed: u64) -> Rates {
        Rates {
            resource: resource.into(),
            passed,
            blocked: 0,
            succeeded: passed,
            failed: 0,
        }
    }

    fn count(samples: &Samples) -> usize {
        match samples {
            Samples::NoneSince => panic!("no samples"),
            Samples::Found(found) => found.len(),
        }
    }

    #[test]
    fn a_node_is_written_as_java_writes_it() {
        let metrics = Metrics::default();
        metrics.record(1_795_386_788_074, vec![rates("I_singleInference", 0)]);
        let Samples::Found(found) = metrics.interfaces_since(0) else {
            panic!()
        };
        assert_eq!(
            serde_json::to_string(&found).unwrap(),
            r#"[{"timestamp":1795386788074,"passQps":0,"blockQps":0,"successQps":0,"exceptionQps":0,"rt":0,"occupiedPassQps":0,"resource":"I_singleInference"}]"#
        );
    }

    #[test]
    fn queries_by_source_include_both_end_seconds() {
        let metrics = Metrics::default();
        for second in 0..10 {
            metrics.record(second * 1000 + 500, vec![rates("I_a", 1), rates("M_m", 2)]);
        }
        assert_eq!(count(&metrics.of_source("I_", "I_a", 2_999, 4_001)), 3);
        assert_eq!(count(&metrics.of_source("M_", "M_m", 0, 9_999)), 10);
        assert_eq!(count(&metrics.of_source("M_", "", 0, 9_999)), 0);
        assert_eq!(count(&metrics.of_source("M_", "I_a", 0, 9_999)), 0);
        assert_eq!(
            metrics.of_source("I_", "I_a", 10_000, 20_000),
            Samples::NoneSince
        );
    }

    #[test]
    fn a_query_over_all_interfaces_completes_its_last_second() {
        let metrics = Metrics::default();
        for second in 0..10 {
            let all = (0..70).map(|n| rates(&format!("I_{n}"), 1)).collect();
            metrics.record(second * 1000, all);
        }
        assert_eq!(count(&metrics.interfaces_since(0)), 350);
        assert_eq!(count(&metrics.interfaces_since(8_000)), 140);
    }

    #[test]
    fn the_ring_is_bounded() {
        let metrics = Metrics::default();
        for second in 0..70_000 {
            metrics.record(second * 1000, vec![rates("I_a", 1)]);
        }
        let samples = metrics.samples.lock();
        assert_eq!(samples.len(), MAX_SAMPLES);
        assert_eq!(samples.capacity(), MAX_SAMPLES, "it takes no more memory");
    }
}
