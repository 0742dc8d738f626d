//! The process as the system sees it, under the names that all Prometheus clients use.

use std::fs;

use super::page::Page;

/// Linux counts processor time in these, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;
/// The sizes in `/proc/self/status` are in these.
const KIB: f64 = 1024.0;

/// Writes what the system tells; on systems without `/proc` nothing.
pub fn write_process(page: &mut Page) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat")
        .ok()
        .as_deref()
        .and_then(Stat::read)
    {
        page.counter(
            "process_cpu_seconds_total",
            "Processor time, user and system.",
            stat.ticks / TICKS_PER_SECOND,
        );
        if let Some(booted) = boot_time() {
            page.gauge(
                "process_start_time_seconds",
                "When the process began, in seconds since 1970.",
                booted + stat.started / TICKS_PER_SECOND,
            );
        }
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let sizes = [
        (
            "process_resident_memory_bytes",
            "VmRSS:",
            "Resident memory.",
        ),
        ("process_virtual_memory_bytes", "VmSize:", "Virtual memory."),
    ];
    for (name, label, help) in sizes {
        if let Some(kib) = number_after(&status, label) {
            page.gauge(name, help, kib * KIB);
        }
    }
    if let Some(threads) = number_after(&status, "Threads:") {
        page.gauge("process_threads", "Threads.", threads);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        page.gauge(
            "process_open_fds",
            "Open file descriptors.",
            open.count() as f64,
        );
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = number_after(&limits, "Max open files") {
        page.gauge("process_max_fds", "File descriptors at most.", most);
    }
}

/// Fields of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Stat {
    /// utime and stime.
    ticks: f64,
    /// Since the machine started.
    started: f64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The second field is a name in brackets that may hold anything.
        let (_, rest) = text.rsplit_once(") ")?;
        let field = |number: usize| rest.split(' ').nth(number - 3)?.parse::<f64>().ok();
        Some(Self {
            ticks: field(14)? + field(15)?,
            started: field(22)?,
        })
    }
}

/// Seconds since 1970.
fn boot_time() -> Option<f64> {
    number_after(&fs::read_to_string("/proc/stat").ok()?, "btime ")
}

fn number_after(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_stat() {
        let text = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0 1234 5 6\n";
        let expected = Stat {
            ticks: 300.0,
            started: 1234.0,
        };
        assert_eq!(Stat::read(text), Some(expected));
        assert_eq!(Stat::read("nonsense"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn all_figures_are_there() {
        let mut page = Page::default();
        write_process(&mut page);
        let text = page.finish();
        for name in [
            "process_cpu_seconds_total",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_threads",
            "process_open_fds",
            "process_max_fds",
        ] {
            let sample = text.lines().find_map(|line| line.strip_prefix(name));
            let value: f64 = sample.unwrap_or("").trim().parse().unwrap_or(0.0);
            assert!(value >= 0.0 && sample.is_some(), "{name} in {text}");
        }
    }
}
