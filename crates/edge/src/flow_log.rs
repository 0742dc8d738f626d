//! The flow log: one line per call, target `flow`, in the Java server's columns (contract 01 §10), and in a file of its
//! own where `log.path` is set. The time column in front is the subscriber's, or the file's.

use std::borrow::Cow;
use std::time::Duration;

use crate::daily_file::DailyFile;

/// One line: `caseId|returnCode|costMs|downstreamCostMs|serviceName|routerInfo|input|output`.
#[derive(Debug)]
pub struct Line<'a> {
    /// Empty when the call failed before it was known.
    pub case_id: &'a str,
    pub return_code: i32,
    pub cost: Duration,
    pub downstream: Duration,
    pub service: &'a str,
    /// Where the hosts were reached.
    pub router: &'a str,
    /// The bodies, when the operator wants them logged.
    pub input: Option<String>,
    pub output: Option<String>,
}

const MAX_CASE_ID_CHARS: usize = 128;

/// Where the lines of a role go.
#[derive(Debug, Default)]
pub struct FlowLog {
    file: Option<DailyFile>,
}

impl FlowLog {
    /// To the log, and to a file if there is one.
    pub fn new(file: Option<DailyFile>) -> Self {
        Self { file }
    }

    /// Whether anybody keeps the lines, for callers whose columns take work.
    pub fn is_on(&self) -> bool {
        self.file.is_some() || tracing::enabled!(target: "flow", tracing::Level::INFO)
    }

    pub fn write(&self, line: &Line<'_>) {
        self.write_text(line.case_id, || text(line));
    }

    /// A line of other columns.
    pub fn write_text(&self, case_id: &str, text: impl FnOnce() -> String) {
        if !self.is_on() {
            return;
        }
        let text = text();
        tracing::info!(target: "flow", case_id = &*plain(case_id), "{text}");
        if let Some(file) = &self.file {
            file.line(text);
        }
    }

    /// Lines that the disk was too slow for.
    pub fn dropped(&self) -> u64 {
        self.file.as_ref().map_or(0, DailyFile::dropped)
    }
}

fn text(line: &Line<'_>) -> String {
    let case_id = if line.case_id.is_empty() {
        Cow::Borrowed("null")
    } else {
        plain(line.case_id)
    };
    format!(
        "{}|{}|{}|{}|{}|{}|{}|{}",
        case_id,
        line.return_code,
        line.cost.as_millis(),
        line.downstream.as_millis(),
        line.service,
        line.router,
        line.input.as_deref().unwrap_or_default(),
        line.output.as_deref().unwrap_or_default(),
    )
}

/// The case id is the caller's text: it must not forge columns or lines.
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !c.is_control() && c != '|';
    if text.len() <= MAX_CASE_ID_CHARS && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let replaced = text
        .chars()
        .take(MAX_CASE_ID_CHARS)
        .map(|c| if is_plain(c) { c } else { '_' });
    Cow::Owned(replaced.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(case_id: &str) -> Line<'_> {
        Line {
            case_id,
            return_code: 104,
            cost: Duration::from_millis(7),
            downstream: Duration::from_micros(2900),
            service: "singleInference",
            router: "127.0.0.1:8879",
            input: None,
            output: None,
        }
    }

    #[test]
    fn columns() {
        assert_eq!(
            text(&line("abc")),
            "abc|104|7|2|singleInference|127.0.0.1:8879||"
        );
        assert!(text(&line("")).starts_with("null|104|"));
    }

    #[test]
    fn a_case_id_cannot_forge_a_line() {
        assert!(text(&line("a|0\nb")).starts_with("a_0_b|104|"));
        assert_eq!(plain(&"x".repeat(5000)).len(), MAX_CASE_ID_CHARS);
    }

    #[test]
    fn bodies_are_the_last_columns() {
        let mut with_bodies = line("a");
        with_bodies.input = Some("{}".to_owned());
        with_bodies.output = Some("[]".to_owned());
        assert!(text(&with_bodies).ends_with("|127.0.0.1:8879|{}|[]"));
    }

    #[test]
    fn a_file_has_the_columns_behind_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let file = DailyFile::open(directory.path(), "flow.log").unwrap();
        let log = FlowLog::new(Some(file));
        assert!(log.is_on());
        log.write(&line("abc"));
        assert_eq!(log.dropped(), 0);
        drop(log);
        let text = std::fs::read_to_string(directory.path().join("flow.log")).unwrap();
        assert_eq!(
            &text[23..],
            "|abc|104|7|2|singleInference|127.0.0.1:8879||\n"
        );
    }
}
