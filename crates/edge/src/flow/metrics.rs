//! One-second samples of the counters, kept in memory for `queryMetrics` (contract 01 §7.3).

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use super::control::Rates;

/// Samples kept: about a minute and a half of 700 resources, or most of a day of one.
const MAX_NODES: usize = 60_000;
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

/// The ring of samples, oldest first.
#[derive(Debug, Default)]
pub struct Metrics {
    nodes: Mutex<VecDeque<MetricNode>>,
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
        let mut nodes = self.nodes.lock();
        for rate in rates {
            if nodes.len() == MAX_NODES {
                nodes.pop_front();
            }
            nodes.push_back(MetricNode {
                timestamp: timestamp_ms,
                pass_qps: rate.passed,
                block_qps: rate.blocked,
                success_qps: rate.succeeded,
                exception_qps: rate.failed,
                rt: 0,
                occupied_pass_qps: 0,
                resource: rate.resource,
            });
        }
    }

    /// All interface resources since `begin_ms`: about 300 samples, the last second complete.
    pub fn interfaces_since(&self, begin_ms: i64) -> Samples {
        let nodes = self.nodes.lock();
        let Some(start) = start_of(&nodes, "I_", begin_ms) else {
            return Samples::NoneSince;
        };
        let mut found: Vec<MetricNode> = Vec::new();
        for node in nodes
            .range(start..)
            .filter(|n| n.resource.starts_with("I_"))
        {
            let is_full = found.len() >= ALL_SOURCES_LINES;
            if is_full
                && found
                    .last()
                    .is_some_and(|last| second(last) != second(node))
            {
                break;
            }
            found.push(node.clone());
        }
        Samples::Found(found)
    }

    /// One resource between two moments, both seconds included. `kind` is the resource prefix, `I_` or `M_`.
    pub fn of_source(&self, kind: &str, source: &str, begin_ms: i64, end_ms: i64) -> Samples {
        let nodes = self.nodes.lock();
        let Some(start) = start_of(&nodes, kind, begin_ms) else {
            return Samples::NoneSince;
        };
        let last_second = end_ms.div_euclid(1000);
        let found = nodes
            .range(start..)
            .take_while(|node| second(node) <= last_second)
            .filter(|node| *node.resource == *source && source.starts_with(kind))
            .take(BY_SOURCE_LINES)
            .cloned()
            .collect();
        Samples::Found(found)
    }
}

fn second(node: &MetricNode) -> i64 {
    node.timestamp.div_euclid(1000)
}

fn start_of(nodes: &VecDeque<MetricNode>, kind: &str, begin_ms: i64) -> Option<usize> {
    let first_second = begin_ms.div_euclid(1000);
    let start = nodes.partition_point(|node| second(node) < first_second);
    nodes
        .range(start..)
        .any(|node| node.resource.starts_with(kind))
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
        assert_eq!(metrics.nodes.lock().len(), MAX_NODES);
    }
}
