//! What came of a command at every serving: a line as soon as it is known, or one JSON document at the end.

use fate_domain::model_key::ModelKey;
use fate_server::config::Address;
use serde::Serialize;
use serde_json::json;

use super::serving::Said;
use crate::exit::{Exit, Failure};
use crate::stdout::{self, Output, plain};

/// The lines so far.
#[derive(Debug)]
pub(crate) struct Report {
    output: Output,
    /// For people: `loaded`, `bound`, …
    done: &'static str,
    lines: Vec<Line>,
}

/// One call to one serving, or why there was none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    /// None for what no serving was asked for.
    serving: Option<String>,
    table_name: String,
    namespace: String,
    outcome: Outcome,
    /// The serving's return code, if it answered.
    code: Option<i32>,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Done,
    Failed,
    /// There was nothing to do; neither good nor bad.
    Skipped,
}

impl Report {
    pub(crate) fn new(output: Output, done: &'static str) -> Report {
        Report {
            output,
            done,
            lines: Vec::new(),
        }
    }

    /// What a serving said, or why it said nothing.
    pub(crate) fn add(
        &mut self,
        serving: &Address,
        key: &ModelKey,
        said: anyhow::Result<Said>,
    ) -> Result<(), Failure> {
        let (outcome, code, message) = match said {
            Ok(Said { code: 0, message }) => (Outcome::Done, Some(0), message),
            Ok(Said { code, message }) => (Outcome::Failed, Some(code), message),
            Err(cause) => (Outcome::Failed, None, format!("{cause:#}")),
        };
        self.line(Some(serving), key, outcome, code, message)
    }

    /// What needed no call.
    pub(crate) fn skip(
        &mut self,
        serving: Option<&Address>,
        key: &ModelKey,
        why: &str,
    ) -> Result<(), Failure> {
        self.line(serving, key, Outcome::Skipped, None, why.to_owned())
    }

    fn line(
        &mut self,
        serving: Option<&Address>,
        key: &ModelKey,
        outcome: Outcome,
        code: Option<i32>,
        message: String,
    ) -> Result<(), Failure> {
        let line = Line {
            serving: serving.map(Address::to_string),
            table_name: key.table_name.clone(),
            namespace: key.namespace.clone(),
            outcome,
            code,
            message,
        };
        if self.output == Output::Text {
            stdout::print(&self.text(&line))?;
        }
        self.lines.push(line);
        Ok(())
    }

    fn text(&self, line: &Line) -> String {
        let serving = line.serving.as_deref().unwrap_or("-");
        let outcome = match line.outcome {
            Outcome::Done => self.done,
            Outcome::Failed => "FAILED",
            Outcome::Skipped => "skipped",
        };
        let code = match line.code {
            Some(0) | None => String::new(),
            Some(code) => format!("{code} "),
        };
        let text = format!(
            "{serving}  {outcome}  {} {}: {code}{}",
            line.namespace, line.table_name, line.message
        );
        let text = plain(text.trim_end());
        format!("{}\n", text.strip_suffix(':').unwrap_or(&text))
    }

    /// Good when something was done and nothing failed.
    pub(crate) fn finish(self) -> Result<Exit, Failure> {
        let is_good = self
            .lines
            .iter()
            .all(|line| line.outcome != Outcome::Failed)
            && self.lines.iter().any(|line| line.outcome == Outcome::Done);
        if self.output == Output::Json {
            let json = json!({ "success": is_good, "servings": self.lines });
            stdout::print(&format!("{json:#}\n"))?;
        } else if self
            .lines
            .iter()
            .all(|line| line.outcome == Outcome::Skipped)
        {
            stdout::print("nothing was done\n")?;
        }
        Ok(if is_good { Exit::Success } else { Exit::Failed })
    }
}
