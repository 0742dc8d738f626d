//! The page: families of samples in the text format 0.0.4.

use std::fmt::Write as _;

use super::meters::{Histogram, SizeHistogram};

/// What the page is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A page under way.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

/// The samples of one name.
#[derive(Debug)]
pub struct Family<'p> {
    page: &'p mut Page,
    name: &'static str,
}

impl Page {
    /// Begins a family; each only once on a page. `help` is one line.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to memory cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { page: self, name }
    }

    /// A family of one gauge without labels.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: f64) {
        self.family(name, Kind::Gauge, help).value(&[], value);
    }

    /// A family of one counter without labels.
    pub fn counter(&mut self, name: &'static str, help: &str, value: f64) {
        self.family(name, Kind::Counter, help).value(&[], value);
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// One sample.
    pub fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample("", labels, value);
    }

    /// The samples of a histogram.
    pub fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        self.buckets(labels, histogram.cumulated());
    }

    /// The samples of a histogram of numbers.
    pub fn sizes(&mut self, labels: &[(&str, &str)], histogram: &SizeHistogram) {
        self.buckets(labels, histogram.cumulated());
    }

    fn buckets(&mut self, labels: &[(&str, &str)], (buckets, sum): (Vec<(f64, u64)>, f64)) {
        let count = buckets.last().map_or(0, |(_, seen)| *seen);
        for (bound, seen) in &buckets {
            let bound = number(*bound);
            let with_bound: Vec<(&str, &str)> = labels
                .iter()
                .copied()
                .chain([("le", bound.as_str())])
                .collect();
            self.sample("_bucket", &with_bound, *seen as f64);
        }
        self.sample("_sum", labels, sum);
        self.sample("_count", labels, count as f64);
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let text = &mut self.page.text;
        text.push_str(self.name);
        text.push_str(suffix);
        for (position, (name, value)) in labels.iter().enumerate() {
            text.push(if position == 0 { '{' } else { ',' });
            text.push_str(name);
            text.push_str("=\"");
            for char in value.chars() {
                match char {
                    '\\' => text.push_str("\\\\"),
                    '"' => text.push_str("\\\""),
                    '\n' => text.push_str("\\n"),
                    other => text.push(other),
                }
            }
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        text.push(' ');
        text.push_str(&number(value));
        text.push('\n');
    }
}

fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::prometheus::{CodeCounters, PartyMeters};

    #[test]
    fn samples_are_written_with_their_labels() {
        let mut page = Page::default();
        page.gauge("a", "One.", 0.5);
        let mut family = page.family("b_total", Kind::Counter, "Two.");
        family.value(&[("x", "1"), ("y", "a\"\\\nb")], 3.0);
        assert_eq!(
            page.finish(),
            "# HELP a One.\n# TYPE a gauge\na 0.5\n# HELP b_total Two.\n# TYPE b_total counter\n\
             b_total{x=\"1\",y=\"a\\\"\\\\\\nb\"} 3\n"
        );
    }

    #[test]
    fn buckets_are_cumulated() {
        let histogram = Histogram::default();
        for micros in [1, 50, 51, 2_000_000, 60_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut page = Page::default();
        page.family("d_seconds", Kind::Histogram, "Three.")
            .histogram(&[("r", "x")], &histogram);
        let text = page.finish();
        for line in [
            "d_seconds_bucket{r=\"x\",le=\"0.00005\"} 2",
            "d_seconds_bucket{r=\"x\",le=\"0.0001\"} 3",
            "d_seconds_bucket{r=\"x\",le=\"1\"} 3",
            "d_seconds_bucket{r=\"x\",le=\"2.5\"} 4",
            "d_seconds_bucket{r=\"x\",le=\"10\"} 4",
            "d_seconds_bucket{r=\"x\",le=\"+Inf\"} 5",
            "d_seconds_sum{r=\"x\"} 62.000102",
            "d_seconds_count{r=\"x\"} 5",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in {text}");
        }
    }

    #[test]
    fn codes_have_bounded_labels() {
        let codes = CodeCounters::default();
        for code in [0, 0, 104, 2104, 77, -1, 2_000_104, i32::MAX, i32::MIN] {
            codes.count(code);
        }
        let mut page = Page::default();
        codes.write(&mut page.family("c_total", Kind::Counter, "Four."), &[]);
        let text = page.finish();
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "c_total{code=\"0\"} 2",
                "c_total{code=\"104\"} 1",
                "c_total{code=\"2104\"} 1",
                "c_total{code=\"other\"} 5"
            ]
        );
    }

    #[test]
    fn parties_have_bounded_labels() {
        let parties = PartyMeters::default();
        for party in 0..1000 {
            parties.observe(&party.to_string(), "ok", Duration::from_millis(1));
            parties.observe(&party.to_string(), "timeout", Duration::from_millis(1));
        }
        let mut page = Page::default();
        parties.write(&mut page);
        let text = page.finish();
        let counts = |outcome: &str| {
            let wanted = format!("outcome=\"{outcome}\"");
            text.lines().filter(|line| line.contains(&wanted)).count()
        };
        assert_eq!((counts("ok"), counts("timeout")), (257, 257));
        let others = "fate_serving_remote_requests_total{party=\"other\",outcome=\"ok\"} 744";
        assert!(text.contains(others), "{text}");
    }
}
