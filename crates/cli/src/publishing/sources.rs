//! Where the buffers of a job's parties come from: FATE-Flow's model cache, its exports, or any other form of a model.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use fate_domain::model_key::ModelKey;
use fate_inference::Buffers;

use super::requests::PartyPart;
use crate::exit::Failure;
use crate::party_models;

/// Where FATE-Flow keeps its models, in its own directory.
const FLOW_CACHE: &str = "model_local_cache";

/// By the name that they are published under.
pub(crate) type Sources = HashMap<ModelKey, Buffers>;

/// The models of these parties, as far as they are at the paths; without a path FATE-Flow's cache is looked for in the
/// working directory.
///
/// # Errors
/// Wrong usage when a path cannot be read, or holds models, but none of the job's.
pub(crate) fn find<'a>(
    paths: &[PathBuf],
    parties: impl Iterator<Item = &'a PartyPart>,
) -> Result<Sources, Failure> {
    let default = [PathBuf::from(FLOW_CACHE)];
    let paths = match paths {
        [] if default[0].is_dir() => &default,
        [] => {
            return Err(Failure::usage(format!(
                "say with --models where the models are: FATE-Flow's {FLOW_CACHE}, or an exported .zip"
            )));
        }
        given => given,
    };
    let wanted: Vec<&ModelKey> = parties.map(|party| &party.key).collect();
    let mut sources = Sources::new();
    for path in paths {
        fs::metadata(path)
            .map_err(|cause| Failure::usage(format!("cannot read {}: {cause}", path.display())))?;
        if !add_of_cache(path, &wanted, &mut sources)? {
            add_of_path(path, &wanted, &mut sources)?;
        }
    }
    Ok(sources)
}

/// `<path>/<party model id>/<version>`; whether the path is such a cache at all.
fn add_of_cache(path: &Path, wanted: &[&ModelKey], sources: &mut Sources) -> Result<bool, Failure> {
    for key in wanted {
        // Names that lead elsewhere are no names of models.
        if ModelKey::checked(key.table_name.as_str(), key.namespace.as_str()).is_err() {
            continue;
        }
        let folder = path.join(&key.namespace).join(&key.table_name);
        if folder.is_dir() {
            for opened in party_models::open(&folder)? {
                sources.insert((*key).clone(), opened.buffers);
            }
        }
    }
    Ok(is_cache(path))
}

/// Folders in it are named `role#party#model_id`.
fn is_cache(path: &Path) -> bool {
    let is_of_party = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        ["guest#", "host#", "arbiter#"]
            .iter()
            .any(|role| name.starts_with(role))
            && entry.path().is_dir()
    };
    fs::read_dir(path).is_ok_and(|entries| entries.flatten().any(is_of_party))
}

fn add_of_path(path: &Path, wanted: &[&ModelKey], sources: &mut Sources) -> Result<(), Failure> {
    let opened = party_models::open(path)?;
    let mut others = Vec::new();
    for model in opened {
        match model.key {
            Some(key) if wanted.contains(&&key) => {
                sources.insert(key, model.buffers);
            }
            Some(key) => others.push(format!("version {} of {}", key.table_name, key.namespace)),
            None => others.push(
                "a model that does not tell its party; name the file <party model id>_<version>.zip"
                    .to_owned(),
            ),
        }
    }
    if !others.is_empty() && wanted.iter().all(|key| !sources.contains_key(*key)) {
        return Err(Failure::usage(format!(
            "{} holds none of the job's models, but {}",
            path.display(),
            others.join(", ")
        )));
    }
    Ok(())
}
