//! Logs as text on stderr, so that stdout holds results only.

use std::io::IsTerminal as _;

use fate_server::LogLevels;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, reload};

use crate::exit::Failure;

/// Options of every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is logged: error, warn, info, debug, trace, off, or filters like `fate_model=debug,warn`
    /// [default: $RUST_LOG, or info; warn for demo, model verify and infer]
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
    let filters = if text.trim().is_empty() {
        default.to_owned()
    } else {
        text
    };
    let filter = EnvFilter::builder()
        .parse(&filters)
        .map_err(|cause| Failure::usage(format!("{origin} {filters:?}: {cause}")))?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    Ok(LogLevels::new(filters, handle))
}
