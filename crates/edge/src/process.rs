//! The process's own figures in the shape of the Java server's JVM samples (contract 01 §7.4).

use std::collections::VecDeque;
use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use parking_lot::Mutex;
use serde::Serialize;

/// Files and connections that the ports and peers of all roles may need at the same time.
const OPEN_FILES: u64 = 65_536;

/// Raises the limit of open files as far as the system lets this process: the usual soft limit of 1024 is less than the
/// connections of one port, and whoever opens that many would keep files and peers from being opened as well.
pub fn allow_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(OPEN_FILES);
        if soft < wanted {
            setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
        }
        Ok(soft.max(wanted))
    });
    match raised {
        Ok(files) if files >= OPEN_FILES => {}
        Ok(files) => tracing::info!(files, "the limit of open files is low (ulimit -n)"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}

/// Samples kept, one a second.
const SAMPLES: usize = 10;

/// One sample. There is no garbage-collected heap: `heap` is the resident memory of the process out of the machine's,
/// the other areas and the collection counts stay zero; the keys are those that the admin pages plot.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    timestamp: i64,
    heap: Memory,
    eden: Memory,
    old: Memory,
    yong_gc_count: u64,
    yong_gc_time: u64,
    full_gc_count: u64,
    thread_count: u64,
    full_gc_time: u64,
    non_heap: Memory,
    survivor: Memory,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    init: u64,
    used: u64,
    committed: u64,
    max: u64,
    used_percent: f64,
}

/// The last ten seconds.
#[derive(Debug, Default)]
pub struct Samples {
    ring: Mutex<VecDeque<Sample>>,
}

impl Samples {
    pub fn record(&self, timestamp_ms: i64) {
        let sample = Sample::now(timestamp_ms);
        let mut ring = self.ring.lock();
        if ring.len() == SAMPLES {
            ring.pop_front();
        }
        ring.push_back(sample);
    }

    /// Oldest first.
    pub fn all(&self) -> Vec<Sample> {
        self.ring.lock().iter().cloned().collect()
    }
}

impl Sample {
    fn now(timestamp_ms: i64) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let used = kibibytes(&status, "VmRSS:").unwrap_or(0);
        let max = machine_memory().map_or(0, |memory| memory.total);
        let memory = Memory {
            init: 0,
            used,
            committed: used,
            max,
            used_percent: fraction(used, max),
        };
        Self {
            timestamp: timestamp_ms,
            heap: memory,
            thread_count: number_after(&status, "Threads:").unwrap_or(0),
            ..Self::default()
        }
    }
}

/// The machine's memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineMemory {
    total: u64,
    available: u64,
}

impl MachineMemory {
    /// Used part, 0 to 1.
    pub fn used_fraction(self) -> f64 {
        fraction(self.total.saturating_sub(self.available), self.total)
    }
}

/// `None` where the system does not tell.
pub fn machine_memory() -> Option<MachineMemory> {
    parse_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn parse_meminfo(text: &str) -> Option<MachineMemory> {
    Some(MachineMemory {
        total: kibibytes(text, "MemTotal:")?,
        available: kibibytes(text, "MemAvailable:")?,
    })
}

fn kibibytes(text: &str, label: &str) -> Option<u64> {
    number_after(text, label).map(|kib| kib.saturating_mul(1024))
}

fn number_after(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_every_key_of_the_java_one() {
        let samples = Samples::default();
        (0..12).for_each(|second| samples.record(second));
        let all = samples.all();
        assert_eq!(all.len(), SAMPLES);
        assert_eq!(all[0].timestamp, 2);
        let json = serde_json::to_value(&all[0]).unwrap();
        for key in [
            "timestamp",
            "heap",
            "eden",
            "old",
            "yongGcCount",
            "yongGcTime",
            "fullGcCount",
            "threadCount",
            "fullGcTime",
            "nonHeap",
            "survivor",
        ] {
            assert!(json.get(key).is_some(), "{key}");
        }
        for key in ["init", "used", "committed", "max", "usedPercent"] {
            assert!(json["heap"].get(key).is_some(), "{key}");
        }
        #[cfg(target_os = "linux")]
        assert!(all[0].heap.used > 0 && all[0].thread_count > 0);
    }

    #[test]
    fn meminfo() {
        let memory = parse_meminfo("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  250 kB\n");
        assert_eq!(memory.unwrap().used_fraction(), 0.75);
        assert_eq!(parse_meminfo("MemTotal: x kB"), None);
    }
}
