//! Reading a model file without a node: for tools that look at a model before it is published. The operator names
//! the file himself, so `model.import.path` does not apply.

use std::path::Path;

use fate_inference::Buffers;

use super::archive;

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
