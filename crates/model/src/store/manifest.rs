//! What belongs to the store: the models with their files, and the bindings. Writing it is what commits a change.
//!
//! ```text
//! fate-serving-store 1 <SHA-256 of the rest, hexadecimal>\n
//! JSON
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fate_domain::model_key::ModelKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const TITLE: &str = "fate-serving-store 1 ";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Counts the changes; of two copies the higher one is newer.
    pub(crate) generation: u64,
    /// Model -> file name in the folder of models.
    pub(crate) models: BTreeMap<ModelKey, String>,
    /// Service id -> model. The model may be missing from `models` only while its binding waits for it to be loaded
    /// again.
    pub(crate) bindings: BTreeMap<String, ModelKey>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    generation: u64,
    models: Vec<ModelEntry>,
    bindings: Vec<BindingEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelEntry {
    table_name: String,
    namespace: String,
    file: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BindingEntry {
    service_id: String,
    table_name: String,
    namespace: String,
}

pub(super) fn encode(manifest: &Manifest) -> Result<Vec<u8>, String> {
    let models = manifest.models.iter().map(|(key, file)| ModelEntry {
        table_name: key.table_name.clone(),
        namespace: key.namespace.clone(),
        file: file.clone(),
    });
    let bindings = manifest
        .bindings
        .iter()
        .map(|(service_id, key)| BindingEntry {
            service_id: service_id.clone(),
            table_name: key.table_name.clone(),
            namespace: key.namespace.clone(),
        });
    let document = Document {
        generation: manifest.generation,
        models: models.collect(),
        bindings: bindings.collect(),
    };
    let body = serde_json::to_vec_pretty(&document).map_err(|cause| cause.to_string())?;
    let mut text = format!("{TITLE}{}\n", checksum(&body)).into_bytes();
    text.extend_from_slice(&body);
    Ok(text)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, String> {
    let rest = bytes
        .strip_prefix(TITLE.as_bytes())
        .ok_or("not a manifest of this version")?;
    let line_end = rest
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or("the file is cut off")?;
    let (found, body) = (&rest[..line_end], &rest[line_end + 1..]);
    if checksum(body).as_bytes() != found {
        return Err("the checksum does not match".to_owned());
    }
    let document: Document = serde_json::from_slice(body).map_err(|cause| cause.to_string())?;
    let mut manifest = Manifest {
        generation: document.generation,
        ..Manifest::default()
    };
    for entry in document.models {
        if !is_plain_file_name(&entry.file) {
            return Err(format!("{:?} is not a file name", entry.file));
        }
        let key = ModelKey::checked(&entry.table_name, &entry.namespace)
            .map_err(|fault| fault.message)?;
        manifest.models.insert(key, entry.file);
    }
    for entry in document.bindings {
        let key = ModelKey::checked(&entry.table_name, &entry.namespace)
            .map_err(|fault| fault.message)?;
        manifest.bindings.insert(entry.service_id, key);
    }
    Ok(manifest)
}

fn checksum(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn is_plain_file_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        && !name.starts_with('.')
}
