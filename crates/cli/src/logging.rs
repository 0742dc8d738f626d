//! Logs as text or JSON on stderr, so that stdout holds results only. They go through a queue: nobody waits for whoever reads
//! stderr.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use fate_edge::log_levels;
use fate_edge::log_queue::LogQueue;
use fate_server::LogLevels;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{fmt, reload};

use crate::exit::Failure;
use crate::log_lines::Lines;

/// What waits at the end gets this long to be written.
const LAST_LINES: Duration = Duration::from_secs(2);
/// After a panic; what a handler is blocked for if nobody reads.
const LINES_OF_A_PANIC: Duration = Duration::from_millis(200);

/// The log of this process.
#[derive(Debug)]
pub(crate) struct Log {
    /// For whoever may change its levels while it runs.
    pub(crate) levels: LogLevels,
    queue: LogQueue,
}

impl Log {
    /// Writes what waits, and a last line.
    pub(crate) fn end(&self, last: Option<&str>) {
        if let Some(last) = last {
            self.queue.push(format!("{last}\n").as_bytes());
        }
        self.queue.flush(LAST_LINES);
    }
}

/// Options of every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is logged: error, warn, info, debug, trace, off, or filters like `fate_model=debug,warn`
    /// [default: $RUST_LOG, or log.level, or info; warn for demo, model verify and infer]
    #[arg(long, global = true, value_name = "FILTER")]
    log_level: Option<String>,
}

/// Installs the log for the whole process. `default` counts when the user says nothing.
pub(crate) fn start(args: &Args, default: &str) -> Result<Log, Failure> {
    let (origin, text) = match &args.log_level {
        Some(text) => ("--log-level", log_levels::own(text)),
        None => ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_default()),
    };
    let is_chosen = !text.trim().is_empty();
    let filters = if is_chosen { text } else { default.to_owned() };
    let filter = log_levels::parse(&filters)
        .map_err(|cause| Failure::usage(format!("{origin} {filters:?}: {cause}")))?;
    let (filter, handle) = reload::Layer::new(filter);
    let is_json = Arc::new(AtomicBool::new(false));
    let queue = LogQueue::start(std::io::stderr()).context("cannot start the log")?;
    let lines = fmt::layer()
        .event_format(Lines::new(Arc::clone(&is_json)))
        .with_writer(queue.clone())
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    let of_panics = queue.clone();
    std::panic::set_hook(Box::new(move |panic| {
        say(panic);
        of_panics.flush(LINES_OF_A_PANIC);
    }));
    let levels = LogLevels::new(filters, handle)
        .with_json(is_json)
        .with_queue(queue.clone());
    let levels = if is_chosen { levels.chosen() } else { levels };
    Ok(Log { levels, queue })
}

/// A panic is a line of the log: the usual words would go past the queue.
fn say(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => Some(backtrace.to_string()),
        _ => None,
    };
    tracing::error!(thread, backtrace, "{panic}");
}
