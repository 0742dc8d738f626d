//! What happened, in Markdown.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::load::{Calls, Failed};
use super::trouble::Trouble;

pub(super) struct Report {
    pub(super) seed: u64,
    pub(super) length: Duration,
    pub(super) troubles: Vec<Trouble>,
    pub(super) calls: Calls,
    /// Acknowledged ones.
    pub(super) bindings: usize,
    pub(super) lost: Vec<String>,
}

impl Report {
    /// Failed calls that met nothing that was down.
    fn unexplained(&self) -> Vec<&Failed> {
        let is_explained = |failed: &Failed| {
            let mut troubles = self.troubles.iter();
            troubles.any(|trouble| trouble.meets(failed.from, failed.until))
        };
        let failed = self.calls.failed.iter();
        failed.filter(|failed| !is_explained(failed)).collect()
    }

    pub(super) fn assert_good(&self) {
        assert!(self.calls.scores > 0 && !self.troubles.is_empty() && self.bindings > 0);
        assert_eq!(self.calls.wrong, Vec::<String>::new());
        assert_eq!(self.lost, Vec::<String>::new());
        let unexplained = self.unexplained();
        assert!(unexplained.is_empty(), "{unexplained:#?}");
    }

    /// By kind of victim: kills, and failed calls that met them.
    fn by_victim(&self) -> BTreeMap<String, (usize, usize)> {
        let mut all: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for trouble in &self.troubles {
            let kinds = trouble.victims.iter().map(|name| kind(name));
            let kinds: Vec<&str> = kinds.collect();
            let failed = self.calls.failed.iter();
            let failed = failed.filter(|failed| trouble.meets(failed.from, failed.until));
            let entry = all.entry(kinds.join(" and ")).or_default();
            entry.0 += 1;
            entry.1 += failed.count();
        }
        all
    }

    fn by_cause(&self) -> BTreeMap<&str, usize> {
        let mut all = BTreeMap::new();
        for failed in &self.calls.failed {
            *all.entry(failed.cause.as_str()).or_default() += 1;
        }
        all
    }
}

/// Without its number.
fn kind(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ')
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = &self.calls;
        let down: Duration = self.troubles.iter().map(|one| one.until - one.from).sum();
        writeln!(out, "\n{} s, seed {}:\n", self.length.as_secs(), self.seed)?;
        writeln!(out, "| | |\n|---|---|")?;
        writeln!(
            out,
            "| kills, times of trouble | {}, {} ({} s) |",
            self.kills(),
            self.troubles.len(),
            down.as_secs()
        )?;
        writeln!(out, "| rows with FATE's score | {} |", calls.scores)?;
        writeln!(out, "| rows with another score | {} |", calls.wrong.len())?;
        writeln!(
            out,
            "| bindings acknowledged, lost | {}, {} |",
            self.bindings,
            self.lost.len()
        )?;
        writeln!(
            out,
            "| failed calls while something was down | {} |",
            calls.failed.len() - self.unexplained().len()
        )?;
        writeln!(
            out,
            "| failed calls otherwise | {} |",
            self.unexplained().len()
        )?;
        writeln!(out, "\n| killed | times | failed calls |\n|---|---|---|")?;
        for (victims, (times, failed)) in self.by_victim() {
            writeln!(out, "| {victims} | {times} | {failed} |")?;
        }
        writeln!(out, "\n| failed calls said | times |\n|---|---|")?;
        for (cause, times) in self.by_cause() {
            writeln!(out, "| {} | {times} |", cause.replace('|', "/"))?;
        }
        Ok(())
    }
}

impl Report {
    fn kills(&self) -> usize {
        self.troubles
            .iter()
            .map(|trouble| trouble.victims.len())
            .sum()
    }
}
