//! Pages for Prometheus (text format 0.0.4), read as strictly as `promtool check metrics` reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// A sample's labels, in order of their names.
pub type Labels = BTreeMap<String, String>;

/// A page that is as it must be.
#[derive(Debug, Default)]
pub struct Scrape {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Scrape {
    /// Reads a page.
    ///
    /// # Panics
    /// At the first line that is not as it must be.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        let (mut helped, mut current) = (None, String::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty(), "no help: {line}");
                helped = Some(name.to_owned());
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(helped.as_deref(), Some(name), "no help before {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                let earlier = scrape.kinds.insert(name.to_owned(), kind.to_owned());
                assert!(earlier.is_none(), "twice: {line}");
                current = name.to_owned();
            } else {
                scrape.sample(line, &current);
            }
        }
        assert!(text.ends_with('\n'));
        scrape.check_histograms();
        scrape
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (name, labels, value) = read_sample(line).unwrap_or_else(|| panic!("what is {line}?"));
        let is_histogram = self.kinds[family] == "histogram";
        let suffix = name
            .strip_prefix(family)
            .unwrap_or_else(|| panic!("outside its family: {line}"));
        let is_allowed = if is_histogram {
            ["_bucket", "_sum", "_count"].contains(&suffix)
        } else {
            suffix.is_empty()
        };
        assert!(is_allowed, "outside its family: {line}");
        assert_eq!(suffix == "_bucket", labels.contains_key("le"), "{line}");
        let earlier = self.samples.insert((name, labels), value);
        assert!(earlier.is_none(), "twice: {line}");
    }

    fn check_histograms(&self) {
        let histograms = self.kinds.iter().filter(|(_, kind)| *kind == "histogram");
        for (family, _) in histograms {
            let bucket = format!("{family}_bucket");
            let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((_, labels), value) in self.of_name(&bucket) {
                let mut labels = labels.clone();
                let bound = number(&labels.remove("le").unwrap()).unwrap();
                buckets.entry(labels).or_default().push((bound, *value));
            }
            for (labels, mut buckets) in buckets {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(
                    buckets.is_sorted_by(|a, b| a.1 <= b.1),
                    "{family} {labels:?}"
                );
                let (last, count) = buckets[buckets.len() - 1];
                assert_eq!(last, f64::INFINITY, "{family} {labels:?}");
                let key = |suffix: &str| (format!("{family}{suffix}"), labels.clone());
                assert_eq!(self.samples[&key("_count")], count, "{family} {labels:?}");
                assert!(
                    self.samples.contains_key(&key("_sum")),
                    "{family} {labels:?}"
                );
            }
        }
    }

    fn of_name<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a (String, Labels), &'a f64)> {
        self.samples.iter().filter(move |((one, _), _)| one == name)
    }

    /// The sum of all samples of a name that have these labels, whatever others they have; `None` when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |all: &Labels| {
            let mut wanted = labels.iter();
            wanted.all(|(name, value)| all.get(*name).map(String::as_str) == Some(*value))
        };
        let found = self.of_name(name).filter(|((_, all), _)| has(all));
        found.map(|(_, value)| *value).reduce(|sum, one| sum + one)
    }

    /// Names of the families.
    pub fn families(&self) -> BTreeSet<&str> {
        self.kinds.keys().map(String::as_str).collect()
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        _ => text.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let mut chars = text.chars();
    chars.next().is_some_and(is_letter) && chars.all(|c| is_letter(c) || c.is_ascii_digit())
}

fn read_sample(line: &str) -> Option<(String, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(mut inner) = rest.strip_prefix('{') {
        loop {
            let (name, value) = inner.split_once("=\"")?;
            let (value, after) = read_value(value)?;
            if !is_name(name) || labels.insert(name.to_owned(), value).is_some() {
                return None;
            }
            if let Some(after) = after.strip_prefix(',') {
                inner = after;
            } else {
                rest = after.strip_prefix('}')?;
                break;
            }
        }
    }
    let value = number(rest.strip_prefix(' ')?)?;
    is_name(name).then(|| (name.to_owned(), labels, value))
}

/// A quoted value without its opening quote, and what follows its closing one.
fn read_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[place + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
    None
}

/// What `promtool check metrics` says to a page; `None` when it is not there. Nothing is a clean page.
pub fn promtool(page: &str) -> Option<String> {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: promtool is not there");
        return None;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        said.push_str(&output.status.to_string());
    }
    Some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let text = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\",y=\"q\\\"\\n\"} 2\na_total{x=\"1\"} 3\n";
        let scrape = Scrape::read(text);
        assert_eq!(scrape.sum("a_total", &[("x", "1")]), Some(5.0));
        assert_eq!(scrape.sum("a_total", &[("y", "q\"\n")]), Some(2.0));
        assert_eq!(scrape.sum("a_total", &[("x", "2")]), None);
    }

    #[test]
    fn what_is_wrong_is_not_read() {
        for text in [
            "a 1\n",
            "# TYPE a gauge\na 1\n",
            "# HELP a A.\n# TYPE a counter\na 1\n",
            "# HELP a A.\n# TYPE a gauge\nb 1\n",
            "# HELP a A.\n# TYPE a gauge\na 1\na 2\n",
            "# HELP a A.\n# TYPE a gauge\na{x=1} 1\n",
            "# HELP a A.\n# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n",
            "# HELP a A.\n# TYPE a gauge\na one\n",
            "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
            "# HELP a A.\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        ] {
            let read = std::panic::catch_unwind(|| Scrape::read(text));
            assert!(read.is_err(), "{text}");
        }
    }
}
