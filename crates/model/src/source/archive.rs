//! FATE-Flow's exported model archive (contract 01 §3.7 FILE, contract 03 §5.7): a zip of the model's folder.
//! `define/define_meta.yaml` lists the buffers under `model_proto` in every version (1.4 to 1.6 also write a line
//! `describe`, 1.7 and later `component_define`); their bytes are in `variables/data/<component>/<alias>/<Name>`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use bytes::Bytes;
use fate_inference::Buffers;
use serde::Deserialize;
use serde::de::IgnoredAny;
use zip::ZipArchive;
use zip::result::ZipError;

use super::buffers_json;

const META: &str = "define/define_meta.yaml";
const MAX_META_BYTES: u64 = 4 << 20;
/// A model has some ten files for each component.
const MAX_ENTRIES: usize = 100_000;

#[derive(Deserialize)]
struct DefineMeta {
    #[serde(default)]
    model_proto: Option<BTreeMap<String, Aliases>>,
}

/// alias -> buffer name -> protobuf class; an alias without buffers may be empty.
type Aliases = Option<BTreeMap<String, Option<BTreeMap<String, IgnoredAny>>>>;

/// Reads the listed buffers, at most `max_bytes` of them; nothing is unpacked to the disk.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<Buffers, String> {
    let in_archive = |cause: String| format!("archive {}: {cause}", path.display());
    let file = File::open(path).map_err(|cause| in_archive(cause.to_string()))?;
    let length = file
        .metadata()
        .map_err(|cause| in_archive(cause.to_string()))?
        .len();
    // The archive also holds JSON twins and checkpoints, which are not read; but its directory is.
    if length > max_bytes.saturating_mul(4) {
        return Err(in_archive(format!(
            "{length} bytes is more than four times the limit of a model ({max_bytes})"
        )));
    }
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|cause| in_archive(not_a_zip(&cause)))?;
    check_names(&archive).map_err(in_archive)?;
    read_buffers(&mut archive, max_bytes).map_err(in_archive)
}

fn not_a_zip(cause: &ZipError) -> String {
    format!("not a zip file: {cause}")
}

/// We write nothing to the disk, so no name can do harm; but an archive with such names is not FATE-Flow's.
fn check_names<R: Read + Seek>(archive: &ZipArchive<R>) -> Result<(), String> {
    if archive.len() > MAX_ENTRIES {
        return Err(format!(
            "{} entries, the limit is {MAX_ENTRIES}",
            archive.len()
        ));
    }
    match archive.file_names().find(|name| is_unsafe(name)) {
        Some(name) => Err(format!(
            "the entry name {name:?} leads out of the archive's folder"
        )),
        None => Ok(()),
    }
}

fn is_unsafe(name: &str) -> bool {
    name.starts_with(['/', '\\'])
        || name.contains(['\0', ':'])
        || name.split(['/', '\\']).any(|segment| segment == "..")
}

fn read_buffers<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    max_bytes: u64,
) -> Result<Buffers, String> {
    let meta = read_entry(archive, META, MAX_META_BYTES)?
        .ok_or_else(|| format!("{META} is missing: not a FATE-Flow model archive"))?;
    let meta: DefineMeta =
        serde_yaml_ng::from_slice(&meta).map_err(|cause| format!("{META}: {cause}"))?;
    let components = meta
        .model_proto
        .ok_or_else(|| format!("{META} has no model_proto"))?;
    let mut left = max_bytes;
    let mut buffers = Buffers::new();
    for (component, aliases) in components {
        for (alias, names) in aliases.unwrap_or_default() {
            for name in names.unwrap_or_default().into_keys() {
                let entry = format!("variables/data/{component}/{alias}/{name}");
                let Some(buffer) = read_entry(archive, &entry, left)? else {
                    tracing::warn!(entry, "the archive lists a buffer that it does not hold");
                    continue;
                };
                left -= buffer.len() as u64;
                buffers.insert(format!("{component}.{alias}:{name}"), Bytes::from(buffer));
            }
        }
    }
    buffers_json::check(buffers, max_bytes)
}

/// `None` when there is no such entry. The size in the directory is not trusted.
fn read_entry<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    max_bytes: u64,
) -> Result<Option<Vec<u8>>, String> {
    let entry = match archive.by_name(name) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(cause) => return Err(format!("{name}: {cause}")),
    };
    let mut bytes = Vec::new();
    entry
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|cause| format!("{name}: {cause}"))?;
    if bytes.len() as u64 > max_bytes {
        return Err(format!(
            "{name}: the unpacked buffers exceed the limit of {max_bytes} bytes"
        ));
    }
    Ok(Some(bytes))
}
