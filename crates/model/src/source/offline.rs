//! Reading a model file without a node: for tools that look at a model before it is published. The operator names
//! the file himself, so `model.import.path` does not apply.

use std::path::Path;

use bytes::Bytes;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_inference::{Buffers, Semantics};

use super::import_path::read_bounded;
use super::{archive, folder};
use crate::published::Remote;
use crate::store::decode_record;

/// Why a file cannot be read as a model; the text names the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// The buffers of a FATE-Flow archive, as a FILE load reads it.
///
/// # Errors
/// Not an archive of FATE-Flow, or the buffers are more than `max_bytes`.
pub fn read_archive(path: &Path, max_bytes: u64) -> Result<Buffers, Unreadable> {
    archive::read(path, max_bytes).map_err(Unreadable)
}

/// The buffers of a model cache file, as a CACHE load reads it.
///
/// # Errors
/// Not a JSON object of Base64 texts, or the buffers are more than `max_bytes`.
pub fn read_cache_file(path: &Path, max_bytes: u64) -> Result<Buffers, Unreadable> {
    super::read_cache_file(path, max_bytes).map_err(Unreadable)
}

/// The buffers in a model's folder of FATE-Flow's model cache, `model_local_cache/<party model id>/<version>`.
///
/// # Errors
/// Not a folder of FATE-Flow, or the buffers are more than `max_bytes`.
pub fn read_folder(path: &Path, max_bytes: u64) -> Result<Buffers, Unreadable> {
    folder::read(path, max_bytes).map_err(Unreadable)
}

/// A model as a server's store keeps it.
#[derive(Debug, Clone)]
pub struct Stored {
    pub key: ModelKey,
    pub role: Role,
    /// The local party.
    pub party_id: String,
    pub remotes: Vec<Remote>,
    pub semantics: Semantics,
    pub buffers: Buffers,
}

/// One record of a store, `<model.cache.path>/.fate/serving/models/*.model`; a server may hold the store meanwhile.
///
/// # Errors
/// Not such a record, a damaged one, or one larger than `max_bytes`.
pub fn read_stored(path: &Path, max_bytes: u64) -> Result<Stored, Unreadable> {
    let bytes = read_bounded(path, max_bytes.saturating_add(1 << 20)).map_err(Unreadable)?;
    let model = decode_record(&Bytes::from(bytes))
        .map_err(|cause| Unreadable(format!("{}: {cause}", path.display())))?;
    let description = model.description;
    Ok(Stored {
        key: description.key,
        role: description.role,
        party_id: description.party_id,
        remotes: description.remotes,
        semantics: description.semantics,
        buffers: model.buffers,
    })
}
