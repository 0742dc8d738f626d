//! The life of models from outside: loading from every source, binding, restoring, sharing, take-over from Java, damage.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod archives;
mod binding;
mod damage;
mod endpoint;
mod golden;
mod java;
mod limits;
mod loading;
mod restoring;
mod semantics;
mod sharing;
mod take_over;
mod transfer;

use fate_domain::fault::Fault;
use fate_model::{Models, Settings};
use tempfile::TempDir;

/// A node's folder, and settings that let it import from there.
fn node() -> (TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings_in(&folder);
    (folder, settings)
}

fn settings_in(folder: &TempDir) -> Settings {
    let mut settings = Settings::new(folder.path());
    settings.home = folder.path().join("home");
    settings.import_path = vec![folder.path().join("import")];
    std::fs::create_dir_all(folder.path().join("import")).unwrap();
    settings
}

/// Opens a node that must come up without any failure.
async fn open(settings: &Settings) -> Models {
    let (models, report) = Models::open(settings.clone()).await.unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    models
}

/// Writes a cache file of the model into the import folder; returns its path.
fn cache_file(folder: &TempDir, name: &str, model: &golden::Golden) -> String {
    let path = folder.path().join("import").join(name);
    std::fs::write(&path, golden::cache_json(&model.buffers)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn code_and_text<T: std::fmt::Debug>(result: Result<T, Fault>) -> (i32, String) {
    let fault = result.unwrap_err();
    (fault.code.0, fault.message)
}
