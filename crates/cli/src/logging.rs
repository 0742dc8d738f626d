//! Logs as text on stderr, so that stdout holds results only.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::exit::Failure;

/// Options of every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What is logged: error, warn, info, debug, trace, off, or filters like `fate_model=debug,warn`
    /// [default: $RUST_LOG, or info]
    #[arg(long, global = true, value_name = "FILTER")]
    log_level: Option<String>,
}

/// Installs the log for the whole process.
pub(crate) fn start(args: &Args) -> Result<(), Failure> {
    let (origin, text) = match &args.log_level {
        Some(text) => ("--log-level", text.clone()),
        None => ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_default()),
    };
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(&text)
        .map_err(|cause| Failure::usage(format!("{origin} {text:?}: {cause}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}
