//! What a role's doctor looks at, whichever role it is: addresses, the clock, certificates, the disk. It changes nothing.

mod certificate;
mod clock;
mod disk;

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use crate::config::{Level, Note};
use crate::health_check;

pub use certificate::certificate;
pub use clock::clock;
pub use disk::disk;

/// For one address.
const PATIENCE: Duration = Duration::from_secs(3);

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    /// It is meant so, perhaps.
    Note,
    /// It works, and should be looked at.
    Warn,
    /// Calls will fail because of it.
    Fail,
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub verdict: Verdict,
    /// What was looked at, in a word or two.
    pub what: String,
    /// What was found; never a secret.
    pub text: String,
}

impl Finding {
    pub fn new(verdict: Verdict, what: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            verdict,
            what: what.into(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Note => "note",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        write!(out, "{verdict} {}: {}", self.what, self.text)
    }
}

/// What the configuration itself makes worth saying, as `--check-config` does.
pub fn configuration(role: &str, notes: &[Note]) -> Vec<Finding> {
    let what = format!("{role} configuration");
    let finding = |note: &Note| {
        let verdict = match note.level {
            Level::Warning => Verdict::Warn,
            Level::Info => Verdict::Note,
        };
        let line = note.line.map(|line| format!("line {line}: "));
        let text = format!("{}{}", line.unwrap_or_default(), note.text);
        Finding::new(verdict, &what, text)
    };
    let mut findings: Vec<Finding> = notes.iter().map(finding).collect();
    if !findings.iter().any(|one| one.verdict == Verdict::Warn) {
        findings.insert(0, Finding::new(Verdict::Ok, &what, "no warnings"));
    }
    findings
}

/// Whether an `http(s)` address takes connections; `lost` is what it means when it does not.
pub async fn address(what: &str, url: &str, lost: Verdict) -> Finding {
    match timeout(PATIENCE, health_check::connect(url)).await {
        Ok(Ok(())) => Finding::new(Verdict::Ok, what, format!("{url} takes connections")),
        Ok(Err(cause)) => Finding::new(lost, what, format!("{url}: {cause}")),
        Err(_) => {
            let text = format!("{url}: no answer within {} s", PATIENCE.as_secs());
            Finding::new(lost, what, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_there_or_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let there = address("proxy", &url, Verdict::Fail).await;
        assert_eq!(
            there.to_string(),
            format!("ok   proxy: {url} takes connections")
        );
        drop(listener);
        let gone = address("proxy", &url, Verdict::Warn).await;
        assert_eq!(gone.verdict, Verdict::Warn);
        assert!(gone.text.contains("refused"), "{gone}");
    }

    #[test]
    fn warnings_of_the_configuration_have_their_lines() {
        let note = |level, line| Note {
            level,
            line,
            text: "x is not a key".to_owned(),
        };
        let texts = |notes: &[Note]| -> Vec<String> {
            let found = configuration("proxy", notes);
            found.iter().map(Finding::to_string).collect()
        };
        assert_eq!(
            texts(&[note(Level::Info, None)]),
            [
                "ok   proxy configuration: no warnings",
                "note proxy configuration: x is not a key"
            ]
        );
        assert_eq!(
            texts(&[note(Level::Warning, Some(7)), note(Level::Info, None)]),
            [
                "warn proxy configuration: line 7: x is not a key",
                "note proxy configuration: x is not a key"
            ]
        );
    }
}
