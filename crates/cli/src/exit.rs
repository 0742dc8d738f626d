//! How a command ends.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// The exit codes that scripts may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done, and the result is good.
    Success,
    /// 1: it could not be done, or the result is bad.
    Failed,
    /// 2: wrong arguments or configuration; clap ends with the same code.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Success => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
        })
    }
}

/// An error with its exit code; `?` on any other error makes it a 1.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    cause: anyhow::Error,
}

impl Failure {
    /// Wrong arguments or configuration: code 2.
    pub(crate) fn usage(cause: impl fmt::Display) -> Failure {
        Failure {
            exit: Exit::Usage,
            cause: anyhow::anyhow!("{cause}"),
        }
    }

    /// What went wrong.
    pub(crate) fn line(&self) -> String {
        format!("error: {:#}", self.cause)
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Says on stderr what went wrong, before there is a log.
    pub(crate) fn report(&self) -> ExitCode {
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(std::io::stderr(), "{}", self.line());
        self.exit.into()
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(cause: E) -> Failure {
        Failure {
            exit: Exit::Failed,
            cause: cause.into(),
        }
    }
}
