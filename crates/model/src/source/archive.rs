//! FATE-Flow's exported model archive (contract 01 §3.7 FILE, contract 03 §5.7): a zip of the model's folder.
//! `define/define_meta.yaml` lists the buffers under `model_proto` in every version (1.4 to 1.6 also write a line
//! `describe`, 1.7 and later `component_define`); their bytes are in `variables/data/<component>/<alias>/<Name>`.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use bytes::Bytes;
use fate_inference::Buffers;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use zip::ZipArchive;
use zip::result::ZipError;

use super::buffers_json;

const META: &str = "define/define_meta.yaml";
/// Some 150 bytes a component.
const MAX_META_BYTES: u64 = 256 << 10;
/// The YAML parser takes time by depth times length; FATE-Flow opens at most one bracket for each alias.
const MAX_META_BRACKETS: usize = 2048;
/// A model has some ten files for each component.
pub(crate) const MAX_ENTRIES: usize = 100_000;
/// A component, an alias and a buffer's name make one file name each in FATE-Flow's folder.
const MAX_NAME_BYTES: usize = 255;

#[derive(Deserialize)]
struct DefineMeta {
    #[serde(default)]
    model_proto: Option<Listing>,
}

/// Component, alias and name of every buffer. Not plain maps: YAML's references let a short text stand for more maps
/// than any memory holds, so everything is counted while it is read.
struct Listing(Vec<ListedBuffer>);

struct ListedBuffer {
    component: String,
    alias: String,
    name: String,
}

impl<'de> Deserialize<'de> for Listing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut listing = Level::default();
        Branch(&mut listing).deserialize(deserializer)?;
        Ok(Listing(listing.found))
    }
}

/// Where the reading of a listing is.
#[derive(Default)]
struct Level {
    /// The names above: none, a component, or a component and an alias.
    above: Vec<String>,
    names_read: usize,
    found: Vec<ListedBuffer>,
}

impl Level {
    fn check(&mut self, name: &str) -> Result<(), String> {
        self.names_read += 1;
        if self.names_read > MAX_ENTRIES {
            return Err(format!("model_proto has more than {MAX_ENTRIES} names"));
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(format!(
                "model_proto has a name longer than {MAX_NAME_BYTES} bytes"
            ));
        }
        Ok(())
    }
}

/// One map of the listing; an alias without buffers may be empty (`null`).
struct Branch<'a>(&'a mut Level);

impl<'de> DeserializeSeed<'de> for Branch<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Branch<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("component: {alias: {buffer: class}}")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Branch(level) = self;
        while let Some(name) = map.next_key::<String>()? {
            level.check(&name).map_err(A::Error::custom)?;
            if let [component, alias] = &level.above[..] {
                let (component, alias) = (component.clone(), alias.clone());
                level.found.push(ListedBuffer {
                    component,
                    alias,
                    name,
                });
                map.next_value::<IgnoredAny>()?;
            } else {
                level.above.push(name);
                map.next_value_seed(Branch(&mut *level))?;
                level.above.pop();
            }
        }
        Ok(())
    }
}

/// Reads the listed buffers, at most `max_bytes` of them; nothing is unpacked to the disk.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<Buffers, String> {
    let in_archive = |cause: String| format!("archive {}: {cause}", path.display());
    let file = File::open(path).map_err(|cause| in_archive(cause.to_string()))?;
    let length = file
        .metadata()
        .map_err(|cause| in_archive(cause.to_string()))?
        .len();
    read_zip(BufReader::new(file), length, max_bytes).map_err(in_archive)
}

/// The same for an archive that is open already.
pub(crate) fn read_zip<R: Read + Seek>(
    zip: R,
    length: u64,
    max_bytes: u64,
) -> Result<Buffers, String> {
    // The archive also holds JSON twins and checkpoints, which are not read; but its directory is.
    if length > max_bytes.saturating_mul(4) {
        return Err(format!(
            "{length} bytes is more than four times the limit of a model ({max_bytes})"
        ));
    }
    if length == 0 {
        return Err("the file is empty".to_owned());
    }
    let mut archive = ZipArchive::new(zip).map_err(|cause| not_a_zip(&cause))?;
    if archive.is_empty() {
        return Err("the archive holds no files".to_owned());
    }
    check_names(&archive)?;
    read_buffers(&mut archive, max_bytes)
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
    let listed = listed_buffers(&meta).map_err(|cause| format!("{META} {cause}"))?;
    let mut left = max_bytes;
    let mut buffers = Buffers::new();
    for ListedBuffer {
        component,
        alias,
        name,
    } in listed
    {
        let entry = format!("variables/data/{component}/{alias}/{name}");
        let Some(buffer) = read_entry(archive, &entry, left)? else {
            tracing::warn!(entry, "the archive lists a buffer that it does not hold");
            continue;
        };
        left -= buffer.len() as u64;
        buffers.insert(format!("{component}.{alias}:{name}"), Bytes::from(buffer));
    }
    buffers_json::check(buffers, max_bytes)
}

fn listed_buffers(meta: &[u8]) -> Result<Vec<ListedBuffer>, String> {
    let brackets = meta.iter().filter(|byte| matches!(byte, b'[' | b'{'));
    if brackets.count() > MAX_META_BRACKETS {
        return Err(format!("has more than {MAX_META_BRACKETS} brackets"));
    }
    let meta: DefineMeta =
        serde_yaml_ng::from_slice(meta).map_err(|cause| format!("cannot be read: {cause}"))?;
    let Listing(listed) = meta.model_proto.ok_or("has no model_proto")?;
    Ok(listed)
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
