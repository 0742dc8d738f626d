//! What happens before the port opens: the store is read, or a Java node's `.fate` folder taken over, and every model
//! compiled, all in parallel (contract 01 §3.10, App. B).

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fate_domain::model_key::ModelKey;
use parking_lot::Mutex;

use crate::error::Error;
use crate::java_store;
use crate::lifecycle::compile_model;
use crate::load_times::{LoadTimes, Way};
use crate::published::LoadedModel;
use crate::settings::Settings;
use crate::store::{Damage, Manifest, Store, StoredModel};

/// What a start found. Nothing in it is a reason not to start.
#[derive(Debug, Default)]
pub struct RestoreReport {
    /// Models that are served.
    pub models: usize,
    /// Service ids that lead to a served model.
    pub bindings: usize,
    /// Models, bindings and files that could not be restored.
    pub failures: Vec<RestoreFailure>,
    /// A Java node's folder was taken over at this start.
    pub take_over: Option<TakeOver>,
    /// What the operator should know besides.
    pub notes: Vec<String>,
    pub elapsed: Duration,
}

/// Something that could not be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreFailure {
    /// A model, a service id or a file.
    pub subject: String,
    pub reason: String,
    /// Where an unreadable file was moved to.
    pub set_aside: Option<PathBuf>,
}

/// What was taken from a Java node; its files are untouched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeOver {
    pub folder: PathBuf,
    pub models: usize,
    pub bindings: usize,
}

impl fmt::Display for RestoreFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.subject, self.reason)?;
        match &self.set_aside {
            Some(path) => write!(formatter, " (set aside as {})", path.display()),
            None => Ok(()),
        }
    }
}

pub(crate) type ModelTable = HashMap<ModelKey, Arc<LoadedModel>>;

/// Opens the store and compiles everything in it. Blocks.
pub(crate) fn restore(
    settings: &Settings,
    times: &LoadTimes,
) -> Result<(Store, ModelTable, RestoreReport), Error> {
    let started = Instant::now();
    let fate_folder = settings.cache_path.join(".fate");
    let (mut store, opened) = Store::open(&fate_folder)?;
    let mut report = RestoreReport::default();
    report
        .failures
        .extend(opened.damages.into_iter().map(RestoreFailure::from));
    if opened.is_new && java_store::exists(&fate_folder) {
        take_over(&mut store, &fate_folder, settings, &mut report)?;
    }
    for path in java_store::old_stores(&settings.home) {
        let path = path.display();
        report.notes.push(format!(
            "{path} is of FATE-Serving 1.2 and is not read: publish its models again"
        ));
    }
    let table = compile_all(&store, times, &mut report);
    report.models = table.len();
    report.bindings = store
        .manifest()
        .bindings
        .values()
        .filter(|key| table.contains_key(key))
        .count();
    report.elapsed = started.elapsed();
    log(&report);
    Ok((store, table, report))
}

/// Copies a Java node's models and bindings into our store, in one commit; they are compiled afterwards like any
/// other, so that a model which cannot be served today is kept.
fn take_over(
    store: &mut Store,
    fate_folder: &Path,
    settings: &Settings,
    report: &mut RestoreReport,
) -> Result<(), Error> {
    let java = match java_store::read(fate_folder) {
        Ok(java) => java,
        Err(reason) => {
            // Our store stays new, so that the next start tries again.
            let subject = "take-over of the Java node's models".to_owned();
            report.failures.push(RestoreFailure {
                subject,
                reason,
                set_aside: None,
            });
            return Ok(());
        }
    };
    report.failures.extend(
        java.problems
            .into_iter()
            .map(|(subject, reason)| RestoreFailure {
                subject,
                reason,
                set_aside: None,
            }),
    );
    let mut staged = Vec::new();
    for description in java.models {
        let subject = describe(&description.key);
        match java_store::read_buffers(fate_folder, &description.key, settings.max_model_bytes) {
            Ok(buffers) => {
                let model = StoredModel {
                    description,
                    buffers,
                };
                staged.push(
                    store
                        .stage(&model)
                        .map_err(|fault| Error::Aborted(fault.message))?,
                );
            }
            Err(reason) => report.failures.push(RestoreFailure {
                subject,
                reason,
                set_aside: None,
            }),
        }
    }
    let bindings = java.bindings.len();
    report.take_over = Some(TakeOver {
        folder: fate_folder.to_owned(),
        models: staged.len(),
        bindings,
    });
    store
        .commit(staged, |manifest: &mut Manifest| {
            manifest.bindings.extend(java.bindings)
        })
        .map_err(|fault| Error::Aborted(fault.message))
}

fn compile_all(store: &Store, times: &LoadTimes, report: &mut RestoreReport) -> ModelTable {
    let keys: Vec<&ModelKey> = store.manifest().models.keys().collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(keys.len()));
    let workers = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(keys.len());
    let work = || {
        while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
            let started = Instant::now();
            let result = compile_stored(store, key);
            if result.is_ok() {
                times.note(Way::Restore, started.elapsed());
            }
            done.lock().push((ModelKey::clone(key), result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    let mut table = ModelTable::new();
    for (key, result) in done.into_inner() {
        match result {
            Ok(model) => {
                table.insert(key, Arc::new(model));
            }
            Err(failure) => report.failures.push(failure),
        }
    }
    table
}

fn compile_stored(store: &Store, key: &ModelKey) -> Result<LoadedModel, RestoreFailure> {
    let failed = |reason, set_aside| RestoreFailure {
        subject: describe(key),
        reason,
        set_aside,
    };
    let stored = match store.read(key) {
        Some(Ok(stored)) => stored,
        Some(Err(reason)) => return Err(failed(reason, store.set_aside(key))),
        None => return Err(failed("it is not in the store".to_owned(), None)),
    };
    let compiled = catch_unwind(AssertUnwindSafe(|| {
        compile_model(&stored.buffers, &stored.description)
    }));
    match compiled {
        Ok(Ok(plan)) => Ok(LoadedModel::new(stored.description, plan, None)),
        Ok(Err(refusal)) => Err(failed(refusal.to_string(), None)),
        Err(_) => Err(failed(
            "compiling it failed inside the inference core (a bug)".to_owned(),
            None,
        )),
    }
}

fn describe(key: &ModelKey) -> String {
    format!("model {}", key.store_name())
}

fn log(report: &RestoreReport) {
    if let Some(taken) = &report.take_over {
        tracing::info!(
            folder = %taken.folder.display(), models = taken.models, bindings = taken.bindings,
            "took over a Java node's models; its files are untouched"
        );
    }
    for failure in &report.failures {
        tracing::error!("not restored: {failure}");
    }
    for note in &report.notes {
        tracing::warn!("{note}");
    }
    tracing::info!(models = report.models, bindings = report.bindings, elapsed = ?report.elapsed, "models restored");
}

impl From<Damage> for RestoreFailure {
    fn from(damage: Damage) -> Self {
        RestoreFailure {
            subject: damage.path.display().to_string(),
            reason: damage.reason,
            set_aside: damage.set_aside,
        }
    }
}
