//! What the commands that run a role have in common: they check a configuration, start, and run until they are told to
//! stop.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fate_edge::config::{Level, Note};

use crate::exit::{Exit, Failure};
use crate::signals::{Signals, Wish};
use crate::stdout;

/// A role that takes calls.
pub(crate) trait Running {
    /// Waits until a listener has failed.
    async fn failed(&mut self);

    /// Stops in peace.
    async fn drain(self);
}

/// Tells on stdout that a configuration is good, and what the start log would say.
pub(crate) fn say_checked(config: &Path, notes: &[Note]) -> Result<Exit, Failure> {
    let mut text = format!("{}: OK\n", config.display());
    for note in notes {
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
    stdout::print(&text).context("stdout")?;
    Ok(Exit::Success)
}

/// Runs what starts, until a signal or a failed listener ends it. SIGHUP reads its configuration again.
pub(crate) async fn serve<R: Running, E: std::error::Error + Send + Sync + 'static>(
    start: impl Future<Output = Result<R, E>>,
    reload: impl Fn(&R) -> anyhow::Result<()>,
) -> Result<Exit, Failure> {
    fate_edge::process::allow_open_files();
    // Before the start, so that a signal during a long restore is not lost.
    let mut signals = Signals::install().context("cannot receive signals")?;
    let started = tokio::select! {
        started = start => started,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before the start was complete");
            return Ok(Exit::Success);
        }
    };
    let mut running = started?;
    loop {
        tokio::select! {
            wish = signals.wish() => match wish {
                Wish::End(signal) => {
                    tracing::info!(signal, "draining");
                    break;
                }
                Wish::Reload => {
                    if let Err(error) = reload(&running) {
                        tracing::error!("nothing has changed: {error:#}");
                    }
                }
            },
            () = running.failed() => return Err(anyhow::anyhow!("a listener has failed").into()),
        }
    }
    Ok(drain(running, signals).await)
}

/// Whoever tells a process group and its leader to end sends one wish as two signals.
const SAME_WISH: Duration = Duration::from_secs(1);

async fn drain(running: impl Running, mut signals: Signals) -> Exit {
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
        () = running.drain() => Exit::Success,
        signal = impatience => {
            tracing::warn!(signal, "stopped at once, calls in flight are lost");
            Exit::Failed
        }
    }
}
