//! CPU time and memory of processes, from /proc.

use std::time::Duration;

use anyhow::Context as _;

/// Linux counts CPU time in hundredths of a second for everybody (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// User and system time of some processes, all their threads included.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CpuTime(pub(super) Duration);

impl CpuTime {
    pub(super) fn since(self, before: &CpuTime) -> anyhow::Result<Duration> {
        self.0
            .checked_sub(before.0)
            .context("a measured process was replaced by another one")
    }
}

/// CPU time used so far.
///
/// # Errors
/// A process that does not exist.
pub(super) fn of(pids: &[u32]) -> anyhow::Result<CpuTime> {
    let mut total = Duration::ZERO;
    for pid in pids {
        let stat = read(*pid, "stat")?;
        let ticks = ticks(&stat).with_context(|| format!("/proc/{pid}/stat is not readable"))?;
        total += TICK.saturating_mul(ticks);
    }
    Ok(CpuTime(total))
}

/// Memory that the processes hold in RAM.
///
/// # Errors
/// A process that does not exist.
pub(super) fn resident_bytes(pids: &[u32]) -> anyhow::Result<u64> {
    let mut total = 0;
    for pid in pids {
        let status = read(*pid, "status")?;
        total += resident(&status).with_context(|| format!("/proc/{pid}/status has no VmRSS"))?;
    }
    Ok(total)
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("process {pid}: {path}"))
}

/// `utime` and `stime`, the 14th and 15th field; the second one is the name in brackets and may hold blanks.
fn ticks(stat: &str) -> Option<u32> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "7 (a) b ) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t     8 kB\n"), Some(8192));
        assert_eq!(resident("VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn this_process_uses_memory_and_a_missing_one_is_an_error() {
        let own = std::process::id();
        assert!(resident_bytes(&[own]).unwrap() > 100_000);
        assert!(of(&[own]).is_ok());
        assert!(of(&[u32::MAX]).is_err());
    }
}
