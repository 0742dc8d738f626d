//! The flow log: one line per call, target `flow`, in the Java server's columns (contract 01 §10). The time column
//! in front is the subscriber's.

use std::borrow::Cow;
use std::time::Duration;

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
    pub input: Option<&'a [u8]>,
    pub output: Option<&'a [u8]>,
}

const MAX_CASE_ID_CHARS: usize = 128;

/// Whether anybody keeps the lines, for callers whose columns take work.
pub fn is_on() -> bool {
    tracing::enabled!(target: "flow", tracing::Level::INFO)
}

pub fn write(line: &Line<'_>) {
    if is_on() {
        tracing::info!(target: "flow", "{}", text(line));
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
        payload(line.input),
        payload(line.output),
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

/// A body on one line; nothing when it is not to be logged.
pub fn payload(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(String::new, |bytes| {
        String::from_utf8_lossy(bytes).replace(|c: char| c.is_control(), " ")
    })
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
    fn payloads_stay_on_one_line() {
        let mut with_payload = line("a");
        with_payload.input = Some(b"{\n\"x\":1}");
        assert!(text(&with_payload).ends_with("|{ \"x\":1}|"));
    }
}
