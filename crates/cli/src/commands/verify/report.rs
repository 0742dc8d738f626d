//! A line for each set as soon as it is done, its mismatches below.

use std::io;
use std::path::{Path, PathBuf};

use super::Scored;
use crate::exit::Exit;
use crate::stdout::{self, plain};

/// What was said so far.
#[derive(Debug)]
pub(super) struct Report {
    /// Width of the first column.
    name_width: usize,
    batch: u32,
    sets: usize,
    good: usize,
}

impl Report {
    /// Prints the head of the table.
    pub(super) fn start(directories: &[PathBuf], batch: u32) -> io::Result<Report> {
        let widths = directories
            .iter()
            .map(|directory| name(directory).chars().count());
        let report = Report {
            name_width: widths.max().unwrap_or(0).max("set".len()),
            batch,
            sets: 0,
            good: 0,
        };
        let batch_head = format!("batch of {batch}");
        report.line("set", ["rows", "single", &batch_head], "")?;
        Ok(report)
    }

    pub(super) fn add(
        &mut self,
        directory: &Path,
        scored: &anyhow::Result<Scored>,
    ) -> io::Result<()> {
        self.sets += 1;
        let name = name(directory);
        match scored {
            Ok(scored) => {
                self.good += usize::from(scored.is_good());
                self.scored(&name, scored)
            }
            Err(cause) => {
                let cause = format!("FAILED: {}", plain(&format!("{cause:#}")));
                self.line(&name, ["-", "-", "-"], &cause)
            }
        }
    }

    fn scored(&self, name: &str, scored: &Scored) -> io::Result<()> {
        let outcome = if scored.is_good() { "ok" } else { "FAILED" };
        let cells = [
            scored.single.rows.to_string(),
            scored.single.max_difference(),
            scored.batch.max_difference(),
        ];
        let outcome = format!("{outcome}: {}", plain(&scored.service.kind));
        self.line(name, cells.each_ref().map(String::as_str), &outcome)?;
        stdout::print(&scored.single.mismatch_lines("single"))?;
        let way = format!("batch of {}", self.batch);
        stdout::print(&scored.batch.mismatch_lines(&way))
    }

    /// Prints the sum.
    pub(super) fn finish(self, tolerance: f64) -> io::Result<Exit> {
        let (good, sets) = (self.good, self.sets);
        stdout::print(&format!(
            "{good} of {sets} sets are within {tolerance:e} of FATE's offline scores\n"
        ))?;
        Ok(if good == sets {
            Exit::Success
        } else {
            Exit::Failed
        })
    }

    fn line(&self, name: &str, [rows, single, batch]: [&str; 3], outcome: &str) -> io::Result<()> {
        let width = self.name_width;
        let line = format!("{name:width$}  {rows:>5}  {single:>9}  {batch:>12}  {outcome}");
        stdout::print(&format!("{}\n", line.trim_end()))
    }
}

fn name(directory: &Path) -> String {
    let name = directory.file_name().unwrap_or(directory.as_os_str());
    plain(&name.to_string_lossy())
}
