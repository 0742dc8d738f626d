//! One stored model as bytes: description and buffers, checksummed as a whole.
//!
//! ```text
//! "FATEMDL1" | length of the header, u32 little endian | header, JSON | buffers, in the header's order | SHA-256 of all before
//! ```

use bytes::Bytes;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_inference::{Buffers, Semantics};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::published::Remote;
use crate::request::role_of;

const MAGIC: &[u8; 8] = b"FATEMDL1";
const CHECKSUM_BYTES: usize = 32;

/// Everything about a model but its buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) key: ModelKey,
    pub(crate) role: Role,
    pub(crate) party_id: String,
    pub(crate) remotes: Vec<Remote>,
    pub(crate) loaded_at_ms: i64,
    pub(crate) resource_address: Option<String>,
    pub(crate) semantics: Semantics,
}

/// A model as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredModel {
    pub(crate) description: Description,
    pub(crate) buffers: Buffers,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    table_name: String,
    namespace: String,
    role: String,
    party_id: String,
    remotes: Vec<RemoteHeader>,
    loaded_at_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource_address: Option<String>,
    semantics: Semantics,
    buffers: Vec<BufferHeader>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoteHeader {
    party_id: String,
    role: String,
    table_name: String,
    namespace: String,
}

#[derive(Serialize, Deserialize)]
struct BufferHeader {
    name: String,
    bytes: u64,
}

/// The bytes of a record in the order they are written; the buffers are not copied.
pub(super) struct Encoded {
    pub(super) head: Vec<u8>,
    pub(super) buffers: Vec<Bytes>,
    pub(super) checksum: [u8; CHECKSUM_BYTES],
}

impl Encoded {
    pub(super) fn parts(&self) -> Vec<&[u8]> {
        let mut parts: Vec<&[u8]> = vec![&self.head];
        parts.extend(self.buffers.iter().map(|buffer| buffer.as_ref()));
        parts.push(&self.checksum);
        parts
    }
}

pub(super) fn encode(model: &StoredModel) -> Result<Encoded, String> {
    let header = serde_json::to_vec(&header_of(model)).map_err(|cause| cause.to_string())?;
    let length = u32::try_from(header.len())
        .map_err(|_| "the description is larger than 4 GiB".to_owned())?;
    let mut head = Vec::with_capacity(MAGIC.len() + 4 + header.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&length.to_le_bytes());
    head.extend_from_slice(&header);
    let buffers: Vec<Bytes> = model.buffers.values().cloned().collect();
    let mut hash = Sha256::new();
    hash.update(&head);
    for buffer in &buffers {
        hash.update(buffer);
    }
    Ok(Encoded {
        head,
        buffers,
        checksum: hash.finalize().into(),
    })
}

/// The opposite; the buffers are slices of `bytes`.
pub(crate) fn decode(bytes: &Bytes) -> Result<StoredModel, String> {
    let header_at = MAGIC.len() + 4;
    if bytes.len() < header_at + CHECKSUM_BYTES {
        return Err("the file is cut off".to_owned());
    }
    let end = bytes.len() - CHECKSUM_BYTES;
    if Sha256::digest(&bytes[..end]).as_slice() != &bytes[end..] {
        return Err("the checksum does not match".to_owned());
    }
    if !bytes.starts_with(MAGIC) {
        return Err("not a stored model of this version".to_owned());
    }
    let mut length = [0u8; 4];
    length.copy_from_slice(&bytes[MAGIC.len()..header_at]);
    let buffers_at = header_at.saturating_add(u32::from_le_bytes(length) as usize);
    if buffers_at > end {
        return Err("the header is longer than the file".to_owned());
    }
    let header: Header = serde_json::from_slice(&bytes[header_at..buffers_at])
        .map_err(|cause| format!("bad header: {cause}"))?;
    let buffers = slice_buffers(&bytes.slice(buffers_at..end), &header.buffers)?;
    Ok(StoredModel {
        description: describe(header)?,
        buffers,
    })
}

fn slice_buffers(bytes: &Bytes, headers: &[BufferHeader]) -> Result<Buffers, String> {
    let mut at = 0usize;
    let mut buffers = Buffers::new();
    for header in headers {
        let end = usize::try_from(header.bytes)
            .ok()
            .and_then(|length| at.checked_add(length));
        let Some(end) = end.filter(|end| *end <= bytes.len()) else {
            return Err(format!("buffer {} is longer than the file", header.name));
        };
        buffers.insert(header.name.clone(), bytes.slice(at..end));
        at = end;
    }
    if at != bytes.len() {
        return Err("there are bytes after the last buffer".to_owned());
    }
    Ok(buffers)
}

fn header_of(model: &StoredModel) -> Header {
    let description = &model.description;
    let remotes = description.remotes.iter().map(|remote| RemoteHeader {
        party_id: remote.party_id.clone(),
        role: remote.role.to_string(),
        table_name: remote.key.table_name.clone(),
        namespace: remote.key.namespace.clone(),
    });
    let buffers = model.buffers.iter();
    Header {
        table_name: description.key.table_name.clone(),
        namespace: description.key.namespace.clone(),
        role: description.role.to_string(),
        party_id: description.party_id.clone(),
        remotes: remotes.collect(),
        loaded_at_ms: description.loaded_at_ms,
        resource_address: description.resource_address.clone(),
        semantics: description.semantics,
        buffers: buffers
            .map(|(name, b)| BufferHeader {
                name: name.clone(),
                bytes: b.len() as u64,
            })
            .collect(),
    }
}

fn describe(header: Header) -> Result<Description, String> {
    let key = |table: &str, namespace: &str| {
        ModelKey::checked(table, namespace).map_err(|fault| fault.message)
    };
    let remotes = header.remotes.iter().map(|remote| {
        Ok(Remote {
            party_id: remote.party_id.clone(),
            role: role_of(&remote.role),
            key: key(&remote.table_name, &remote.namespace)?,
        })
    });
    Ok(Description {
        key: key(&header.table_name, &header.namespace)?,
        role: role_of(&header.role),
        remotes: remotes.collect::<Result<_, String>>()?,
        party_id: header.party_id,
        loaded_at_ms: header.loaded_at_ms,
        resource_address: header.resource_address,
        semantics: header.semantics,
    })
}
