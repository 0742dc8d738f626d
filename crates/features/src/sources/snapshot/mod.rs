//! `csv` and `parquet`: a file with a row for each key, held in memory by key.
//!
//! The file is looked at once a second. A changed one is read beside the table that is in use and takes its place when
//! all of it is good; until then, and if it is not, calls get what was there. Whoever writes it does best to write another
//! file and rename it; one that was changed less than a second ago is left alone, since it may still be written.

mod csv;
mod parquet;
mod table;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use self::table::Table;
use super::columns::{Answer, ColumnMapping};
use super::gate::Outcome;
use crate::data_file::{self, DataFile, Stamp};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Age at which a changed file counts as written.
const QUIET: Duration = Duration::from_secs(1);

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotSettings {
    pub path: PathBuf,
    pub form: SnapshotForm,
    /// The column that holds the keys; its values are unique.
    pub id_column: String,
    /// Most bytes of the file, and of the texts that are made of it.
    pub max_bytes: u64,
}

/// How the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotForm {
    /// UTF-8, commas, a line of names at the beginning.
    Csv,
    /// Columns that are not nested.
    Parquet,
}

#[derive(Debug)]
pub(crate) struct Snapshot {
    source: String,
    file: DataFile,
    form: SnapshotForm,
    id_column: String,
    columns: ColumnMapping,
    table: ArcSwapOption<Table>,
    tried: Mutex<Tried>,
}

/// The last look at the file.
#[derive(Debug, Default)]
struct Tried {
    /// What was read; `None`: nothing yet, or the file is not there.
    stamp: Option<Stamp>,
    /// Why it was no good.
    cause: Option<Arc<str>>,
}

impl Snapshot {
    /// Reads nothing yet.
    pub(crate) fn new(source: &str, settings: &SnapshotSettings, columns: &ColumnMapping) -> Self {
        Self {
            source: source.to_owned(),
            file: DataFile {
                path: settings.path.clone(),
                max_bytes: settings.max_bytes,
            },
            form: settings.form,
            id_column: settings.id_column.clone(),
            columns: columns.clone(),
            table: ArcSwapOption::empty(),
            tried: Mutex::default(),
        }
    }

    pub(crate) fn ask(&self, keys: &[Arc<str>]) -> Vec<Outcome> {
        let table = self.table.load();
        let Some(table) = table.as_ref() else {
            let cause = self.tried.lock().cause.clone();
            let cause = cause.unwrap_or_else(|| "the file has not been read yet".into());
            return vec![Err(cause); keys.len()];
        };
        let row = |key: &Arc<str>| match table.row(key) {
            Some(features) => Ok(Answer::Row(Arc::new(features))),
            None => Ok(Answer::Nothing),
        };
        keys.iter().map(row).collect()
    }

    /// Reads the file, then again whenever it changes, as long as the snapshot is in use.
    pub(crate) async fn start(self: &Arc<Self>) {
        self.look().await;
        let snapshot = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                match snapshot.upgrade() {
                    Some(snapshot) => snapshot.look().await,
                    None => return,
                }
            }
        });
    }

    async fn look(self: &Arc<Self>) {
        let Some(stamp) = self.news() else { return };
        let reader = Arc::clone(self);
        let before = stamp.clone();
        let read = data_file::off_thread(move || {
            let table = reader.read();
            let is_same = reader
                .file
                .metadata()
                .is_ok_and(|now| Stamp::of(&now) == before);
            Ok(is_same.then_some(table))
        });
        let outcome = match read.await {
            // It changed meanwhile: the next look is for the next state.
            Ok(None) => return,
            Ok(Some(outcome)) => outcome,
            Err(fault) => Err(fault.message),
        };
        // A file that is this young may change again under the same stamp: the next look is for it, too.
        let stamp = stamp.age().is_none_or(|age| age >= QUIET).then_some(stamp);
        match outcome {
            Ok(table) => {
                let (source, rows) = (self.source.as_str(), table.len());
                tracing::info!(source, rows, "the snapshot of features is in use");
                self.table.store(Some(Arc::new(table)));
                *self.tried.lock() = Tried { stamp, cause: None };
            }
            Err(cause) => self.failed(stamp, &cause),
        }
    }

    /// The state of the file that is to be read; `None`: there is nothing new.
    fn news(&self) -> Option<Stamp> {
        let stamp = match self.file.metadata() {
            Ok(metadata) => Stamp::of(&metadata),
            Err(fault) => {
                self.failed(None, &fault.message);
                return None;
            }
        };
        if self.tried.lock().stamp.as_ref() == Some(&stamp) {
            return None;
        }
        let may_grow = self.table.load().is_some() && stamp.age().is_some_and(|age| age < QUIET);
        (!may_grow).then_some(stamp)
    }

    /// Said once for each cause.
    fn failed(&self, stamp: Option<Stamp>, cause: &str) {
        let mut tried = self.tried.lock();
        tried.stamp = stamp;
        if tried.cause.as_deref() == Some(cause) {
            return;
        }
        tried.cause = Some(cause.into());
        let source = self.source.as_str();
        if self.table.load().is_some() {
            tracing::warn!(source, cause, "the new snapshot of features is not used");
        } else {
            tracing::warn!(source, cause, "there is no snapshot of features");
        }
    }

    fn read(&self) -> Result<Table, String> {
        let table = match self.form {
            SnapshotForm::Csv => csv::read(&self.file, &self.id_column, &self.columns),
            SnapshotForm::Parquet => parquet::read(&self.file, &self.id_column, &self.columns),
        };
        let path = self.file.path.display();
        match table.map_err(|cause| format!("{path}: {cause}"))? {
            table if table.len() == 0 => Err(format!("{path}: there is no row")),
            table => Ok(table),
        }
    }
}
