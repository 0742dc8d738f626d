//! The keys of every role about its logs (contract 01 §10 and ours).

use std::io;
use std::path::PathBuf;

use crate::config::{Entry, Fallback, Key, Kind, Problem, Values, honoured, line_of};
use crate::daily_file::DailyFile;
use crate::log_levels::{self, LogLevels};
use crate::payload::Shown;

const LEVEL: &str = "log.level";
const USUAL_LEVEL: &str = "info";

/// The keys.
#[rustfmt::skip]
pub const KEYS: [Key; 6] = [
    honoured("log.path", Kind::Text, Fallback::Unset, "directory of flow.log, which is put away every midnight; unset: its lines go to stderr only"),
    honoured("log.format", Kind::Choice(&["text", "json"]), Fallback::Is("text"), "lines on stderr: text or json"),
    honoured(LEVEL, Kind::Text, Fallback::Is(USUAL_LEVEL), "what is logged on stderr: error, warn, info, debug, trace, off, or filters like fate_model=debug,warn; --log-level and RUST_LOG come before it"),
    honoured("print.input.data", Kind::Flag, Fallback::Is("false"), "whether the flow log carries request bodies"),
    honoured("print.output.data", Kind::Flag, Fallback::Is("false"), "whether the flow log carries answers"),
    honoured("print.mask", Kind::Flag, Fallback::Is("true"), "whether bodies in the flow log lose their values and keep the names only"),
];

/// The settings behind the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Directory of `flow.log`.
    pub directory: Option<PathBuf>,
    /// Whether lines on stderr are JSON; `None` leaves them as they are.
    pub is_json: Option<bool>,
    /// Filters.
    pub level: Option<String>,
    /// What of bodies is logged.
    pub shown: Shown,
}

impl LogSettings {
    pub fn read(entries: &[Entry], values: &Values, problems: &mut Vec<Problem>) -> Self {
        // Of two roles in one process, one that says nothing leaves the log to the other.
        let is_given = |key: &str| entries.iter().any(|entry| entry.key == key);
        let level = values.text(LEVEL).filter(|_| is_given(LEVEL));
        let wrong = level
            .as_ref()
            .and_then(|text| log_levels::parse(text).err());
        if let Some(message) = wrong {
            problems.push(Problem {
                line: line_of(entries, LEVEL),
                key: LEVEL.to_owned(),
                message,
            });
        }
        Self {
            directory: values.text("log.path").map(PathBuf::from),
            is_json: values
                .text("log.format")
                .filter(|_| is_given("log.format"))
                .map(|format| format == "json"),
            level,
            shown: Shown {
                input: values.flag("print.input.data"),
                output: values.flag("print.output.data"),
                is_masked: values.flag("print.mask"),
            },
        }
    }

    /// Puts format and level in force, as far as they are set.
    ///
    /// # Errors
    /// The log takes no filters any more.
    pub fn apply(&self, levels: &LogLevels) -> Result<(), String> {
        if let Some(is_json) = self.is_json {
            levels.set_json(is_json);
        }
        match &self.level {
            Some(level) => levels.set_configured(level),
            None => Ok(()),
        }
    }

    /// Puts in force what differs from `before`.
    ///
    /// # Errors
    /// The log takes no filters any more.
    pub fn apply_changes(&self, before: &Self, levels: &LogLevels) -> Result<(), String> {
        if self.level != before.level {
            levels.set_configured(self.level.as_deref().unwrap_or(USUAL_LEVEL))?;
        }
        if self.is_json != before.is_json {
            levels.set_json(self.is_json.unwrap_or(false));
        }
        Ok(())
    }

    /// Opens `flow.log`, where it is wanted.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open_flow_file(&self) -> io::Result<Option<DailyFile>> {
        let directory = self.directory.as_ref();
        directory
            .map(|directory| DailyFile::open(directory, "flow.log"))
            .transpose()
    }
}
