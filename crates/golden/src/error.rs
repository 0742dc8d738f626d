//! Why a set cannot be read.

use std::io;
use std::path::{Path, PathBuf};

/// Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Io { path: PathBuf, cause: io::Error },
    /// A file holds something else than it should, at this line (from 1).
    #[error("{}, line {line}: {cause}", path.display())]
    Line {
        path: PathBuf,
        line: u64,
        cause: String,
    },
    /// A file or directory as a whole is not what it should be.
    #[error("{}: {cause}", path.display())]
    Whole { path: PathBuf, cause: String },
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
        move |cause| Error::Io {
            path: path.to_owned(),
            cause,
        }
    }

    pub(crate) fn line(path: &Path, line: u64, cause: impl Into<String>) -> Error {
        Error::Line {
            path: path.to_owned(),
            line,
            cause: cause.into(),
        }
    }

    pub(crate) fn whole(path: &Path, cause: impl Into<String>) -> Error {
        Error::Whole {
            path: path.to_owned(),
            cause: cause.into(),
        }
    }

    pub(crate) fn json(path: &Path, cause: &serde_json::Error) -> Error {
        Error::line(path, cause.line() as u64, format!("{cause}"))
    }

    pub(crate) fn csv(path: &Path, cause: csv::Error) -> Error {
        let line = cause.position().map(csv::Position::line);
        match (cause.kind(), line) {
            (
                csv::ErrorKind::UnequalLengths {
                    expected_len, len, ..
                },
                Some(line),
            ) => Error::line(
                path,
                line,
                format!("{len} fields where the header has {expected_len}"),
            ),
            (csv::ErrorKind::Utf8 { .. }, Some(line)) => Error::line(path, line, "not UTF-8"),
            (_, Some(line)) => Error::line(path, line, cause.to_string()),
            (_, None) => match cause.into_kind() {
                csv::ErrorKind::Io(cause) => Error::io(path)(cause),
                other => Error::whole(path, format!("{other:?}")),
            },
        }
    }
}
