//! The table in force: loaded at start, again when its file changes, never lost (contract 04 A.5.4).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{OwnAddresses, RouteTable, Warning};
use crate::lenient_json::{self, FormatError};
use crate::watched_file;

/// How often a fault that stays is said again.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60);
/// Warnings about one table that are said one by one.
const SAID_WARNINGS: usize = 20;

/// Why the file is not in force.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file.
    #[error("route table {0} does not exist")]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("route table {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a route table.
    #[error("route table {path}: {source}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: FormatError,
    },
}

/// The table in force and the file it follows.
#[derive(Debug)]
pub struct RunningTable {
    path: PathBuf,
    own: OwnAddresses,
    current: ArcSwapOption<RouteTable>,
    file: Mutex<FileState>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct FileState {
    /// The content in force.
    applied: Option<Vec<u8>>,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Fault {
    text: String,
    is_missing: bool,
    said: Instant,
}

impl RunningTable {
    /// Reads the file for the first time. Neither a missing nor a bad file is an error: the proxy starts without
    /// routes and takes the table as soon as there is one.
    pub fn load(path: impl Into<PathBuf>, own: OwnAddresses) -> Arc<Self> {
        let table = Arc::new(Self {
            path: path.into(),
            own,
            current: ArcSwapOption::empty(),
            file: Mutex::default(),
            changes: watch::Sender::new(0),
        });
        table.reload_and_say();
        table
    }

    /// Follows the file until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let path = self.path.clone();
        watched_file::follow(path, stop, move || self.reload_and_say()).await;
    }

    /// The table in force; `None` as long as the file has never been good.
    pub fn current(&self) -> Option<Arc<RouteTable>> {
        self.current.load_full()
    }

    /// Whether there is no table because there is no file, and not because the file is bad.
    pub fn has_no_file(&self) -> bool {
        let file = self.file.lock();
        file.applied.is_none() && file.fault.as_ref().is_none_or(|fault| fault.is_missing)
    }

    /// What keeps the file's present content from being in force.
    pub fn fault(&self) -> Option<String> {
        let file = self.file.lock();
        file.fault.as_ref().map(|fault| fault.text.clone())
    }

    /// A number that grows with every new table.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The file that is followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The ports a route must not lead to.
    pub(crate) fn own_addresses(&self) -> &OwnAddresses {
        &self.own
    }

    /// Reads the file now; whether its content was new. On an error the table in force stays.
    pub fn reload(&self) -> Result<bool, LoadError> {
        let mut file = self.file.lock();
        let content = self.read()?;
        if file.applied.as_ref() == Some(&content) {
            file.fault = None;
            return Ok(false);
        }
        let table = RouteTable::parse(&content, &self.own).map_err(|source| LoadError::Format {
            path: self.path.clone(),
            source,
        })?;
        say_warnings(&self.path, table.warnings());
        tracing::info!(file = %self.path.display(), routes = table.all_routes().count(), "route table in force");
        file.applied = Some(content);
        file.fault = None;
        self.current.store(Some(Arc::new(table)));
        self.changes.send_modify(|count| *count += 1);
        Ok(true)
    }

    fn read(&self) -> Result<Vec<u8>, LoadError> {
        watched_file::read(&self.path, lenient_json::MAX_BYTES).map_err(|source| {
            let path = self.path.clone();
            match source.kind() {
                io::ErrorKind::NotFound => LoadError::Missing(path),
                _ => LoadError::Unreadable { path, source },
            }
        })
    }

    fn reload_and_say(&self) {
        let Err(error) = self.reload() else {
            return;
        };
        let text = error.to_string();
        let mut file = self.file.lock();
        let is_known = file
            .fault
            .as_ref()
            .is_some_and(|fault| fault.text == text && fault.said.elapsed() < REMINDER_INTERVAL);
        if !is_known {
            let kept = if file.applied.is_some() {
                "the table in force stays"
            } else {
                "there are no routes"
            };
            tracing::error!("{text}; {kept}");
            file.fault = Some(Fault {
                text,
                is_missing: matches!(error, LoadError::Missing(_)),
                said: Instant::now(),
            });
        }
    }
}

/// A table of ten thousand mistakes must not fill the disk with lines.
fn say_warnings(path: &Path, warnings: &[Warning]) {
    let file = path.display();
    for warning in warnings.iter().take(SAID_WARNINGS) {
        tracing::warn!(%file, "route table: {warning}");
    }
    let more = warnings.len().saturating_sub(SAID_WARNINGS);
    if more > 0 {
        tracing::warn!(%file, more, "route table: there are more warnings of this kind");
    }
}
