//! Why the store cannot be opened at all. Everything that goes wrong later is a [`fate_domain::fault::Fault`].

use std::io;
use std::path::PathBuf;

/// The store cannot be used; the node must not start (it would forget what it acknowledged).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of the store cannot be read or written.
    #[error("model store: cannot {action} {}: {cause}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        cause: io::Error,
    },
    /// Another process has this store open.
    #[error(
        "model store {} is in use by another process; give each node its own model.cache.path",
        path.display()
    )]
    InUse { path: PathBuf },
    /// There is no store, and none is made: only a server does that.
    #[error(
        "there is no model store in {}{}",
        path.display(),
        if *is_java { ": a Java node's store is taken over when the server starts there" } else { "" }
    )]
    NoStore {
        path: PathBuf,
        /// A Java node's files are there.
        is_java: bool,
    },
    /// A setting makes no sense.
    #[error("{key}={value}: {cause}")]
    Setting {
        key: &'static str,
        value: String,
        cause: String,
    },
    /// The restore could not run (the runtime is shutting down, or a bug).
    #[error("model store: the restore did not finish: {0}")]
    Aborted(String),
}
