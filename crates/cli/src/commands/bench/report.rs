//! The figures of a run, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::load::{Load, Outcome, Pace, Way};
use crate::stdout::plain;

/// Largest difference from FATE's offline score that counts as equal.
const TOLERANCE: f64 = 1e-12;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    set: String,
    /// `gRPC` or `HTTP`.
    over: &'static str,
    clients: usize,
    /// Calls per second that were due; none in a closed loop.
    rate: Option<f64>,
    #[serde(flatten)]
    figures: Figures,
    first_failure: Option<String>,
}

/// Numbers of one run. Times are in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    rows_per_call: usize,
    seconds: f64,
    calls: usize,
    failures: usize,
    /// Of all calls; not part of the latencies.
    refused: usize,
    calls_per_second: f64,
    rows_per_second: f64,
    latency_mean_us: f64,
    latency_p50_us: f64,
    latency_p90_us: f64,
    latency_p99_us: f64,
    latency_p999_us: f64,
    latency_max_us: f64,
    /// User and system time of the measured processes per call.
    cpu_per_call_us: f64,
    cpu_per_row_us: f64,
    request_bytes_per_call: f64,
    answer_bytes_per_call: f64,
    /// Between guest and hosts, both directions.
    party_bytes_per_call: Option<f64>,
    /// Of the measured processes at the end.
    resident_bytes: u64,
    max_difference: f64,
}

impl Figures {
    pub(super) fn new(
        outcome: &Outcome,
        rows_per_call: usize,
        cpu: Duration,
        relayed: Option<u64>,
        resident_bytes: u64,
    ) -> Figures {
        let mut latencies = outcome.latencies.clone();
        latencies.sort_unstable();
        let calls = latencies.len() + outcome.refused;
        let per_call = |total: f64| total / (calls.max(1) as f64);
        let seconds = outcome.elapsed.as_secs_f64();
        let total: Duration = latencies.iter().sum();
        let latency_mean_us = micros(total) / latencies.len().max(1) as f64;
        let cpu_per_call_us = per_call(micros(cpu));
        Figures {
            rows_per_call,
            seconds,
            calls,
            failures: outcome.failures,
            refused: outcome.refused,
            calls_per_second: calls as f64 / seconds,
            rows_per_second: (calls * rows_per_call) as f64 / seconds,
            latency_mean_us,
            latency_p50_us: micros(quantile(&latencies, 0.5)),
            latency_p90_us: micros(quantile(&latencies, 0.9)),
            latency_p99_us: micros(quantile(&latencies, 0.99)),
            latency_p999_us: micros(quantile(&latencies, 0.999)),
            latency_max_us: micros(quantile(&latencies, 1.0)),
            cpu_per_call_us,
            cpu_per_row_us: cpu_per_call_us / rows_per_call as f64,
            request_bytes_per_call: per_call(outcome.bytes_asked as f64),
            answer_bytes_per_call: per_call(outcome.bytes_answered as f64),
            party_bytes_per_call: relayed.map(|bytes| per_call(bytes as f64)),
            resident_bytes,
            max_difference: outcome.max_difference,
        }
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The smallest latency that at least this share of the calls did not exceed; zero without calls.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

impl Report {
    pub(super) fn new(
        set: &str,
        load: &Load,
        figures: Figures,
        first_failure: Option<String>,
    ) -> Report {
        Report {
            set: set.to_owned(),
            over: match load.way {
                Way::Grpc(_) => "gRPC",
                Way::Http(_) => "HTTP",
            },
            clients: load.clients,
            rate: match load.pace {
                Pace::Closed => None,
                Pace::Open(rate) => Some(rate),
            },
            figures,
            first_failure,
        }
    }

    /// Whether every call had FATE's score.
    pub(super) fn is_good(&self) -> bool {
        let figures = &self.figures;
        figures.calls > 0 && figures.failures == 0 && figures.max_difference <= TOLERANCE
    }

    pub(super) fn json(&self) -> serde_json::Result<String> {
        Ok(format!("{}\n", serde_json::to_string(self)?))
    }

    pub(super) fn text(&self) -> String {
        let figures = &self.figures;
        let pace = match self.rate {
            Some(rate) => format!("open loop, {rate} calls/s due"),
            None => "closed loop".to_owned(),
        };
        let mut text = format!(
            "{}: {} rows per call over {}, {} clients, {pace}, {:.1} s\n",
            plain(&self.set),
            figures.rows_per_call,
            self.over,
            self.clients,
            figures.seconds
        );
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<22}{value}");
        };
        line("calls", figures.calls.to_string());
        line(
            "throughput",
            format!(
                "{:.0} calls/s, {:.0} rows/s",
                figures.calls_per_second, figures.rows_per_second
            ),
        );
        line(
            "latency us",
            format!(
                "p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  max {:.0}  mean {:.0}",
                figures.latency_p50_us,
                figures.latency_p90_us,
                figures.latency_p99_us,
                figures.latency_p999_us,
                figures.latency_max_us,
                figures.latency_mean_us
            ),
        );
        let is_measured = figures.resident_bytes > 0;
        let measured = |text: String| match is_measured {
            true => text,
            false => "not measured: --pid names the servers' processes".to_owned(),
        };
        line(
            "CPU us",
            measured(format!(
                "{:.1} per call, {:.2} per row",
                figures.cpu_per_call_us, figures.cpu_per_row_us
            )),
        );
        line(
            "bytes per call",
            format!(
                "{:.0} asked, {:.0} answered",
                figures.request_bytes_per_call, figures.answer_bytes_per_call
            ),
        );
        if let Some(bytes) = figures.party_bytes_per_call {
            line("between parties", format!("{bytes:.0} bytes per call"));
        }
        let mib = figures.resident_bytes as f64 / f64::from(1 << 20);
        line("memory", measured(format!("{mib:.1} MiB")));
        line(
            "largest difference",
            format!("{:.1e}", figures.max_difference),
        );
        line("failures", figures.failures.to_string());
        if figures.refused > 0 {
            line("refused", figures.refused.to_string());
        }
        if let Some(cause) = &self.first_failure {
            line("first failure", plain(cause));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_latencies_that_occurred() {
        let sorted: Vec<Duration> = (1..=1000).map(Duration::from_micros).collect();
        assert_eq!(quantile(&sorted, 0.5), Duration::from_micros(500));
        assert_eq!(quantile(&sorted, 0.999), Duration::from_micros(999));
        assert_eq!(quantile(&sorted, 1.0), Duration::from_micros(1000));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn costs_are_shared_by_calls_and_rows() {
        let outcome = Outcome {
            latencies: vec![Duration::from_micros(10), Duration::from_micros(30)],
            elapsed: Duration::from_secs(2),
            bytes_asked: 100,
            bytes_answered: 50,
            ..Outcome::default()
        };
        let figures = Figures::new(&outcome, 4, Duration::from_micros(80), Some(60), 0);
        assert_eq!(figures.calls_per_second, 1.0);
        assert_eq!(figures.rows_per_second, 4.0);
        assert_eq!(figures.latency_mean_us, 20.0);
        assert_eq!(
            (figures.cpu_per_call_us, figures.cpu_per_row_us),
            (40.0, 10.0)
        );
        assert_eq!(figures.party_bytes_per_call, Some(30.0));
    }
}
