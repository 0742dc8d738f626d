//! Which files of this machine a load request may name (`model.import.path`). Load requests are not authenticated:
//! without a policy they could read any file the process can.

use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;

use super::no_data;

/// The real path of an existing regular file inside one of the folders. `what` opens Java's text for a missing file,
/// `<what><path> is not exist` (104); everything else is 123.
pub(crate) fn resolve(path: &str, folders: &[PathBuf], what: &str) -> Result<PathBuf, Fault> {
    if path.trim().is_empty() {
        return Err(no_data("the request has no filePath"));
    }
    let asked = std::path::absolute(path)
        .map_err(|cause| no_data(&format!("filePath {path:?}: {cause}")))?;
    if asked
        .components()
        .any(|component| component == Component::ParentDir)
    {
        return Err(no_data(&format!("filePath {path:?} must not contain '..'")));
    }
    // Before anything is said about a file's existence, its name must lie inside.
    if !folders
        .iter()
        .any(|folder| lies_below_by_name(&asked, folder))
    {
        return Err(outside(&asked, folders));
    }
    let real = match asked.canonicalize() {
        Ok(real) => real,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            let text = format!("{what}{} is not exist", asked.display());
            return Err(Fault::new(ReturnCode::MODEL_NULL, text));
        }
        Err(cause) => return Err(no_data(&format!("{}: {cause}", asked.display()))),
    };
    let inside = folders
        .iter()
        .filter_map(|folder| folder.canonicalize().ok())
        .any(|folder| real.starts_with(folder));
    if !inside {
        return Err(outside(&asked, folders));
    }
    if !real.is_file() {
        return Err(no_data(&format!(
            "{} is not a regular file",
            asked.display()
        )));
    }
    Ok(real)
}

/// Reads a whole file, at most `max_bytes` of it.
pub(crate) fn read_bounded(path: &Path, max_bytes: u64) -> Result<Vec<u8>, String> {
    let cannot = |cause: std::io::Error| format!("cannot read {}: {cause}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > max_bytes {
        return Err(format!(
            "{} is larger than {max_bytes} bytes",
            path.display()
        ));
    }
    Ok(bytes)
}

fn lies_below_by_name(asked: &Path, folder: &Path) -> bool {
    let by_name = std::path::absolute(folder).is_ok_and(|folder| asked.starts_with(folder));
    by_name
        || folder
            .canonicalize()
            .is_ok_and(|folder| asked.starts_with(folder))
}

fn outside(asked: &Path, folders: &[PathBuf]) -> Fault {
    let folders: Vec<String> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    no_data(&format!(
        "{} is outside model.import.path ({})",
        asked.display(),
        folders.join(", ")
    ))
}
