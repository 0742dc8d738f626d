//! The flow log: one line per call, target `flow`, in the Java server's columns (contract 01 §10), and in a file of its
//! own where `log.path` is set. The time column in front is the log's, or the file's.
//!
//! There is a line for every call: where the process's log is text and goes through a queue, the line is put there as it is,
//! without the subscriber, whose filters decide as ever.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use crate::daily_file::DailyFile;
use crate::log_levels::LogLevels;
use crate::log_time;

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
    log: Option<LogLevels>,
}

thread_local! {
    /// A line before it is given away.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Room that a thread keeps for its next line.
const KEPT_BYTES: usize = 4096;

impl FlowLog {
    /// To the log, and to a file if there is one.
    pub fn new(file: Option<DailyFile>) -> Self {
        Self { file, log: None }
    }

    /// The same in a process whose log is this one.
    pub fn with_log(self, log: Option<LogLevels>) -> Self {
        Self { log, ..self }
    }

    /// Whether anybody keeps the lines, for callers whose columns take work.
    pub fn is_on(&self) -> bool {
        self.file.is_some() || tracing::enabled!(target: "flow", tracing::Level::INFO)
    }

    pub fn write(&self, line: &Line<'_>) {
        self.write_columns(line.case_id, |out| columns(line, out));
    }

    /// A line of other columns, which `columns` appends.
    pub fn write_columns(&self, case_id: &str, columns: impl FnOnce(&mut String)) {
        let is_logged = tracing::enabled!(target: "flow", tracing::Level::INFO);
        if !is_logged && self.file.is_none() {
            return;
        }
        // Nothing that is called here writes another line.
        LINE.with_borrow_mut(|line| {
            line.clear();
            begin(SystemTime::now(), line);
            let head = line.len();
            columns(line);
            if is_logged {
                self.log(case_id, line, head);
            }
            if let Some(file) = &self.file {
                file.line(line[head..].to_owned());
            }
            line.shrink_to(KEPT_BYTES);
        });
    }

    /// To the process's log. `line` has its time and level, as long as `head`, in front.
    fn log(&self, case_id: &str, line: &mut String, head: usize) {
        match self.log.as_ref().and_then(LogLevels::text_queue) {
            Some(queue) => {
                line.push('\n');
                queue.push(line.as_bytes());
                line.pop();
            }
            None => {
                tracing::info!(target: "flow", case_id = &*plain(case_id), "{}", &line[head..]);
            }
        }
    }

    /// Lines that the disk was too slow for.
    pub fn dropped(&self) -> u64 {
        self.file.as_ref().map_or(0, DailyFile::dropped)
    }
}

/// What stands in front of a line's columns in a log of texts.
pub fn begin(time: SystemTime, out: &mut String) {
    log_time::write(time, out);
    out.push_str("  INFO flow: ");
}

fn columns(line: &Line<'_>, out: &mut String) {
    if line.case_id.is_empty() {
        out.push_str("null");
    } else {
        out.push_str(&plain(line.case_id));
    }
    out.push('|');
    code(line.return_code, out);
    for duration in [line.cost, line.downstream] {
        out.push('|');
        millis(duration, out);
    }
    for column in [
        line.service,
        line.router,
        line.input.as_deref().unwrap_or_default(),
        line.output.as_deref().unwrap_or_default(),
    ] {
        out.push('|');
        out.push_str(column);
    }
}

/// A return code.
pub fn code(code: i32, out: &mut String) {
    if code < 0 {
        out.push('-');
    }
    log_time::digits(code.unsigned_abs().into(), 1, out);
}

/// Whole milliseconds.
pub fn millis(duration: Duration, out: &mut String) {
    log_time::digits(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        1,
        out,
    );
}

/// The case id is the caller's text: it must not forge columns or lines.
pub fn plain(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !c.is_control() && c != '|';
    let is_usual = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'|';
    let is_short = text.len() <= MAX_CASE_ID_CHARS;
    if is_short && (text.bytes().all(is_usual) || text.chars().all(is_plain)) {
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
    use std::io::Read as _;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::{EnvFilter, reload};

    use crate::log_queue::LogQueue;

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

    fn text(line: &Line<'_>) -> String {
        let mut out = String::new();
        columns(line, &mut out);
        out
    }

    #[test]
    fn columns_are_the_contracts() {
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

    #[test]
    fn lines_go_into_the_logs_queue_as_long_as_it_wants_them_as_text() {
        let (mut taken, out) = std::io::pipe().unwrap();
        let queue = LogQueue::start(out).unwrap();
        let (filter, handle) = reload::Layer::new(EnvFilter::new("info"));
        let levels = LogLevels::new("info", handle)
            .with_json(Arc::new(AtomicBool::new(false)))
            .with_queue(queue.clone());
        let log = FlowLog::default().with_log(Some(levels.clone()));
        // Whatever the subscriber gets is lost.
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter), || {
            log.write(&line("a|b"));
            levels.set_package("flow", "off").unwrap();
            assert!(!log.is_on());
            log.write(&line("off"));
            levels.set_package("flow", "info").unwrap();
            levels.set_json(true);
            log.write(&line("json"));
            levels.set_json(false);
            log.write(&line("last"));
        });
        assert!(queue.flush(Duration::from_secs(20)));
        let mut text = vec![0; 4096];
        let length = taken.read(&mut text).unwrap();
        text.truncate(length);
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| &line[27..]).collect();
        let rest = "104|7|2|singleInference|127.0.0.1:8879||";
        let expected = ["a_b", "last"].map(|case_id| format!("  INFO flow: {case_id}|{rest}"));
        assert_eq!(lines, expected);
    }
}
