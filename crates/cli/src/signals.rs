//! SIGTERM and SIGINT: the operator's wish that a command ends. SIGHUP: that it reads its configuration again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives the signals from [`Signals::install`] on; they no longer end the process by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What an operator wants.
#[derive(Debug)]
pub(crate) enum Wish {
    /// By this signal.
    End(&'static str),
    Reload,
}

impl Signals {
    /// Must be called inside a runtime.
    pub(crate) fn install() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next wish.
    pub(crate) async fn wish(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::End("SIGTERM"),
            _ = self.interrupt.recv() => Wish::End("SIGINT"),
            _ = self.hangup.recv() => Wish::Reload,
        }
    }

    /// Waits for the next wish to end and tells its signal's name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
