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
pub(crate) fn say_checked<'a>(
    config: &Path,
    notes: impl IntoIterator<Item = &'a Note>,
) -> Result<Exit, Failure> {
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

/// Runs what starts, until a signal or a failed listener ends it, in peace in both cases. SIGHUP reads its configuration again.
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
            () = running.failed() => {
                tracing::error!("a listener has failed; draining");
                drain(running, signals).await;
                return Err(anyhow::anyhow!("a listener has failed").into());
            }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Its listener has failed already.
    struct Broken {
        is_drained: Arc<AtomicBool>,
    }

    impl Running for Broken {
        async fn failed(&mut self) {}

        async fn drain(self) {
            self.is_drained.store(true, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_failed_listener_drains_the_role_and_fails_the_command() {
        let is_drained = Arc::new(AtomicBool::new(false));
        let broken = Broken {
            is_drained: Arc::clone(&is_drained),
        };
        let served = serve(async { Ok::<_, Infallible>(broken) }, |_| Ok(())).await;
        assert!(served.is_err());
        assert!(is_drained.load(Ordering::Relaxed));
    }
}
