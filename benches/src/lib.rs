//! Measurements that need something beside us: a program each in `src/bin`, which starts what it measures as processes of
//! their own and says how to run it.

#![forbid(unsafe_code)]

use std::time::Duration;

use anyhow::Context as _;

/// `USER_HZ`.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of a process so far.
///
/// # Errors
/// There is no such process.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in brackets may hold blanks; utime and stime are the 12th and 13th field behind it.
    let fields = stat.rsplit_once(')').context("stat")?.1;
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}
