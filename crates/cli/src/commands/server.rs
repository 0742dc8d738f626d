//! `fate-serving server`: one node, until it is told to stop.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fate_server::config::Level;
use fate_server::{Config, Embedding, LogLevels, RunningServer, Server};

use crate::exit::{Exit, Failure};
use crate::runtime;
use crate::signals::Signals;
use crate::stdout;

/// Run a serving-server, as guest, host or both.
///
/// SIGTERM and Ctrl-C drain it: calls in flight are answered, new ones are refused with 111. A second signal,
/// a second or more later, stops it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node's properties
    #[arg(
        long,
        value_name = "FILE",
        default_value = "conf/serving-server.properties"
    )]
    config: PathBuf,
    /// Check the properties, start nothing
    #[arg(long)]
    check_config: bool,
}

pub(crate) fn run(args: &Args, log_levels: LogLevels) -> Result<Exit, Failure> {
    let config = Config::from_file(&args.config).map_err(Failure::usage)?;
    if args.check_config {
        let text = format!("{}: OK\n{}", args.config.display(), notes(&config));
        stdout::print(&text).context("stdout")?;
        return Ok(Exit::Success);
    }
    runtime::run(serve(config, log_levels)).context("cannot start the runtime")?
}

/// What the start log would say.
fn notes(config: &Config) -> String {
    let mut text = String::new();
    for note in config.notes() {
        let level = match note.level {
            Level::Warning => "warning",
            Level::Info => "note",
        };
        let line = note
            .line
            .map(|line| format!("line {line}: "))
            .unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{level}: {line}{}", stdout::plain(&note.text));
    }
    text
}

async fn serve(config: Config, log_levels: LogLevels) -> Result<Exit, Failure> {
    // Before the start, so that a signal during a long restore is not lost.
    let mut signals = Signals::install().context("cannot receive signals")?;
    let embedding = Embedding {
        log_levels: Some(log_levels),
        ..Embedding::default()
    };
    let started = tokio::select! {
        started = Server::start_with(config, embedding) => started,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the start was complete");
            return Ok(Exit::Success);
        }
    };
    let mut server = started?;
    tokio::select! {
        signal = signals.next() => tracing::info!(signal, "draining"),
        () = server.failed() => return Err(anyhow::anyhow!("a listener has failed").into()),
    }
    Ok(drain(server, signals).await)
}

/// Whoever tells a process group and its leader to end sends one wish as two signals.
const SAME_WISH: Duration = Duration::from_secs(1);

async fn drain(server: RunningServer, mut signals: Signals) -> Exit {
    let impatience = async {
        let since = Instant::now();
        loop {
            let signal = signals.next().await;
            if since.elapsed() > SAME_WISH {
                return signal;
            }
        }
    };
    tokio::select! {
        () = server.drain() => Exit::Success,
        signal = impatience => {
            tracing::warn!(signal, "stopped at once, calls in flight are lost");
            Exit::Failed
        }
    }
}
