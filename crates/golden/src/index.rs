//! `index.json` and the buffers it lists: one party's part of a model.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::Error;

/// A party's buffers without rows: all that is needed to look at a model or to load it.
#[derive(Debug, Clone)]
pub struct PartyModel {
    pub role: Role,
    /// As in the index: the directory's name only tells the role.
    pub party_id: String,
    /// `name` is the table name (model version), `namespace` the party model id.
    pub key: ModelKey,
    /// Where it was read from.
    pub directory: PathBuf,
    /// `"<component>.<alias>:<Name>"` to protobuf bytes.
    pub buffers: BTreeMap<String, Bytes>,
}

#[derive(Deserialize)]
struct Index {
    role: String,
    party_id: PartyId,
    namespace: String,
    name: String,
    models: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PartyId {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
struct Entry {
    key: String,
    file: String,
    /// Checked when they are there.
    size: Option<u64>,
    sha256: Option<String>,
}

/// A buffer of a set, unless the index tells its size.
const MAX_BUFFER_BYTES: u64 = 1 << 30;

impl PartyModel {
    /// Reads `<directory>/index.json` and every buffer it lists.
    ///
    /// # Errors
    /// A missing or malformed index, a buffer listed twice, a file outside the directory, a wrong size or checksum.
    pub fn open(directory: impl AsRef<Path>) -> Result<PartyModel, Error> {
        let directory = directory.as_ref();
        let path = directory.join("index.json");
        let text = fs::read(&path).map_err(Error::io(&path))?;
        let index: Index =
            serde_json::from_slice(&text).map_err(|cause| Error::json(&path, &cause))?;
        let at = |needle: &str, cause: String| Error::line(&path, line_of(&text, needle), cause);
        let role: Role = index
            .role
            .parse()
            .map_err(|cause| at("role", format!("{cause}")))?;
        let mut buffers = BTreeMap::new();
        for entry in index.models {
            let file = inside(directory, &entry.file).map_err(|cause| at(&entry.file, cause))?;
            let buffer = read_checked(&file, &entry)?;
            if buffers.insert(entry.key.clone(), buffer).is_some() {
                return Err(at(&entry.key, format!("{:?} is listed twice", entry.key)));
            }
        }
        if buffers.is_empty() {
            return Err(at("models", "models is empty".to_owned()));
        }
        Ok(PartyModel {
            role,
            party_id: match index.party_id {
                PartyId::Number(number) => number.to_string(),
                PartyId::Text(text) => text,
            },
            key: ModelKey::new(index.name, index.namespace),
            directory: directory.to_owned(),
            buffers,
        })
    }
}

/// The line that holds a string of the index, for errors that the JSON reader does not find.
fn line_of(text: &[u8], needle: &str) -> u64 {
    let quoted = serde_json::Value::from(needle).to_string();
    let text = String::from_utf8_lossy(text);
    text.lines()
        .position(|line| line.contains(&quoted))
        .map_or(1, |line| line as u64 + 1)
}

/// The listed file, if neither its name nor a link leads out of the directory.
fn inside(directory: &Path, file: &str) -> Result<PathBuf, String> {
    let leads_out = || format!("the file {file:?} is not inside the party's directory");
    let relative = Path::new(file);
    let mut components = relative.components();
    if file.is_empty() || !components.all(|component| matches!(component, Component::Normal(_))) {
        return Err(leads_out());
    }
    let path = directory.join(relative);
    let real = |path: &Path| {
        path.canonicalize()
            .map_err(|cause| format!("the file {file:?}: {cause}"))
    };
    if real(&path)?.starts_with(real(directory)?) {
        Ok(path)
    } else {
        Err(leads_out())
    }
}

fn read_checked(path: &Path, entry: &Entry) -> Result<Bytes, Error> {
    let found = fs::metadata(path).map_err(Error::io(path))?;
    if !found.is_file() {
        return Err(Error::whole(path, "not a regular file"));
    }
    let mut bytes = Vec::new();
    let limit = entry.size.unwrap_or(MAX_BUFFER_BYTES);
    File::open(path)
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(Error::io(path))?;
    let length = bytes.len() as u64;
    if entry.size.map_or(length > limit, |size| size != length) {
        let cause = format!("{} bytes where the index says {limit}", found.len());
        return Err(Error::whole(path, cause));
    }
    if let Some(sha256) = &entry.sha256 {
        let digest = hex(&Sha256::digest(&bytes));
        if !digest.eq_ignore_ascii_case(sha256) {
            let cause = format!("SHA-256 {digest} where the index says {sha256}");
            return Err(Error::whole(path, cause));
        }
    }
    Ok(bytes.into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
