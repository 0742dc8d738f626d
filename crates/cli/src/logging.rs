//! Logs as text or JSON on stderr, so that stdout holds results only.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fate_server::LogLevels;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, reload};

use crate::exit::Failure;
use crate::log_lines::Lines;

/// Options of every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is logged: error, warn, info, debug, trace, off, or filters like `fate_model=debug,warn`
    /// [default: $RUST_LOG, or log.level, or info; warn for demo, model verify and infer]
    #[arg(long, global = true, value_name = "FILTER")]
    log_level: Option<String>,
}

/// Installs the log for the whole process. `default` counts when the user says nothing.
/// A server hands the result to whoever may change its levels while it runs.
pub(crate) fn start(args: &Args, default: &str) -> Result<LogLevels, Failure> {
    let (origin, text) = match &args.log_level {
        Some(text) => ("--log-level", text.clone()),
        None => ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_default()),
    };
    let is_chosen = !text.trim().is_empty();
    let filters = if is_chosen { text } else { default.to_owned() };
    let filter = EnvFilter::builder()
        .parse(&filters)
        .map_err(|cause| Failure::usage(format!("{origin} {filters:?}: {cause}")))?;
    let (filter, handle) = reload::Layer::new(filter);
    let is_json = Arc::new(AtomicBool::new(false));
    let lines = fmt::layer()
        .event_format(Lines::new(Arc::clone(&is_json)))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    let levels = LogLevels::new(filters, handle).with_json(is_json);
    Ok(if is_chosen { levels.chosen() } else { levels })
}
