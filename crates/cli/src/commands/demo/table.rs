//! The table: a line for each model as soon as it is scored.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fate_golden::Set;

use super::{BATCH, Scored, Shown, TOLERANCE};
use crate::stdout::{self, plain};

#[derive(Debug)]
pub(super) struct Table {
    /// Width of the first column.
    name_width: usize,
    models: usize,
    good: usize,
}

impl Table {
    /// Prints the head.
    pub(super) fn start(sets: &[Arc<Set>]) -> io::Result<Table> {
        let names = sets.iter().map(|set| plain(&set.name).chars().count());
        let name_width = names.max().unwrap_or(0).max("model".len());
        let batch = format!("batch {BATCH}");
        stdout::print(&format!(
            "{:name_width$}        largest |online - offline|     gRPC, one row\n{:name_width$}   rows     HTTP     gRPC {batch:>8}     p50     p99  kind\n",
            "", "model",
        ))?;
        Ok(Table {
            name_width,
            models: 0,
            good: 0,
        })
    }

    pub(super) fn add(&mut self, set: &Set, shown: &Shown) -> io::Result<()> {
        self.models += 1;
        let name = plain(&set.name);
        let width = self.name_width;
        match shown {
            Ok(scored) => {
                self.good += usize::from(scored.is_good());
                stdout::print(&format!("{name:width$}  {}", line(scored)))?;
                let ways = scored.tallies();
                let lines = ways.map(|(way, tally)| tally.mismatch_lines(way));
                stdout::print(&lines.concat())
            }
            Err(cause) => stdout::print(&format!(
                "{name:width$}  {}\n",
                plain(&format!("{cause:#}"))
            )),
        }
    }

    /// Prints the sum.
    pub(super) fn finish(self) -> io::Result<()> {
        stdout::print(&format!(
            "{} of {} models are within {TOLERANCE:e} of FATE's offline scores (absolute up to 1, relative above)\n",
            self.good, self.models
        ))
    }
}

fn line(scored: &Scored) -> String {
    let [http, single, batch] = scored.tallies().map(|(_, tally)| tally.max_difference());
    format!(
        "{:>5}  {http:>7}  {single:>7}  {batch:>7}  {:>6}  {:>6}  {}\n",
        scored.single.rows,
        millis(scored.single.percentile(50)),
        millis(scored.single.percentile(99)),
        plain(&scored.service.kind)
    )
}

fn millis(duration: Duration) -> String {
    format!("{:.2}ms", duration.as_secs_f64() * 1e3)
}
