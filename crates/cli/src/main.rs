//! `fate-serving`: the one binary. It parses the command line, sets up logging and calls one command.
//!
//! A command is one file (or folder) below `commands` and one variant of its enum; what it does lies in the crates
//! below. Results go to stdout, logs and errors to stderr.
//!
//! Exit codes: 0 done, 1 failed (also: a model is refused, a score differs), 2 wrong usage or configuration.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    reason = "results of commands are what stdout is for"
)]

mod client;
mod cluster;
mod commands;
mod exit;
mod log_lines;
mod logging;
mod party_models;
mod publishing;
mod role;
mod runtime;
mod scoring;
mod signals;
mod stdout;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use exit::Failure;

/// Online inference for federated models of FATE.
#[derive(Debug, Parser)]
#[command(
    name = "fate-serving",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration."
)]
struct Cli {
    #[command(flatten)]
    logging: logging::Args,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let log = match logging::start(&cli.logging, cli.command.default_log_level()) {
        Ok(log) => log,
        Err(failure) => return failure.report(),
    };
    let done = cli.command.run(log.levels.clone());
    log.end(done.as_ref().err().map(Failure::line).as_deref());
    done.unwrap_or_else(|failure| failure.exit()).into()
}
