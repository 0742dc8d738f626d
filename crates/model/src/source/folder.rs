//! A model's folder in FATE-Flow's model cache, `model_local_cache/<party model id>/<version>` (contract 03 §5.7): what an
//! archive is the zip of.
//!
//! Buffers are found by their place, `variables/data/<component>/<alias>/<Name>`: FATE-Flow keeps the listing of an
//! archive in its database as long as the model is not exported.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fate_inference::Buffers;

use super::archive::MAX_ENTRIES;
use super::buffers_json;
use super::import_path::read_bounded;

const DATA: &str = "variables/data";
/// FATE-Flow writes a readable twin beside every buffer.
const TWIN: &str = ".json";

/// Whether FATE-Flow keeps a model here.
pub(crate) fn is_model(folder: &Path) -> bool {
    folder.join(DATA).is_dir()
}

/// Reads every buffer, at most `max_bytes` of them.
pub(crate) fn read(folder: &Path, max_bytes: u64) -> Result<Buffers, String> {
    if !is_model(folder) {
        return Err(format!(
            "{}: there is no {DATA}, this is no model of FATE-Flow",
            folder.display()
        ));
    }
    let mut left = max_bytes;
    let mut buffers = Buffers::new();
    for (component, path) in children(&folder.join(DATA))? {
        for (alias, path) in children_of_folder(&path)? {
            for (name, path) in children_of_folder(&path)? {
                if name.ends_with(TWIN) || !path.is_file() {
                    continue;
                }
                let buffer = read_bounded(&path, left)?;
                left -= buffer.len() as u64;
                buffers.insert(format!("{component}.{alias}:{name}"), Bytes::from(buffer));
                if buffers.len() > MAX_ENTRIES {
                    return Err(format!(
                        "{}: more than {MAX_ENTRIES} buffers",
                        folder.display()
                    ));
                }
            }
        }
    }
    buffers_json::check(buffers, max_bytes)
        .map_err(|cause| format!("{}: {cause}", folder.display()))
}

fn children_of_folder(path: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    if path.is_dir() {
        children(path)
    } else {
        Ok(Vec::new())
    }
}

/// Names and paths, but for hidden files (FATE-Flow's `.lock`).
fn children(folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    let cannot = |cause: std::io::Error| format!("cannot read {}: {cause}", folder.display());
    let mut children = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| format!("{}: the name {name:?} is not UTF-8", folder.display()))?;
        if !name.starts_with('.') {
            children.push((name, entry.path()));
        }
    }
    children.sort();
    Ok(children)
}
