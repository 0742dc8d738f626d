//! Bytes of strangers without disk and network, as the fuzz targets in `tests` feed them. Not for use by servers.

use std::io::Cursor;

use fate_domain::model_key::ModelKey;
use fate_inference::Buffers;

use crate::java_store;
use crate::source::{archive, buffers_json};

/// An archive of FATE-Flow, as a FILE load reads it.
///
/// # Errors
/// Not such an archive, or more than `max_bytes` of buffers.
pub fn archive(bytes: &[u8], max_bytes: u64) -> Result<Buffers, String> {
    archive::read_zip(Cursor::new(bytes), bytes.len() as u64, max_bytes)
}

/// A cache file, as a CACHE load and a take-over read it.
///
/// # Errors
/// Not such a file, or more than `max_bytes` of buffers.
pub fn cache_file(bytes: &[u8], max_bytes: u64) -> Result<Buffers, String> {
    buffers_json::parse(bytes, max_bytes)
}

/// The cache file of these buffers, as another node gets it.
pub fn write_cache_file(buffers: &Buffers) -> Vec<u8> {
    buffers_json::write(buffers)
}

/// What a take-over learns from the two stores of a Java node.
#[derive(Debug, PartialEq, Eq)]
pub struct JavaNode {
    /// Every model with those of the other side.
    pub models: Vec<(ModelKey, Vec<ModelKey>)>,
    /// Service id and model.
    pub bindings: Vec<(String, ModelKey)>,
    /// Entries that are not taken over: what, why.
    pub problems: Vec<(String, String)>,
}

/// The stores of a Java node, as a take-over reads them.
///
/// # Errors
/// The store of models cannot be read.
pub fn java_stores(load_store: &[u8], bind_store: Vec<u8>) -> Result<JavaNode, String> {
    let store = java_store::parse(load_store, Some(Ok(bind_store)))?;
    let models = store.models.into_iter().map(|model| {
        let remotes = model.remotes.into_iter().map(|remote| remote.key);
        (model.key, remotes.collect())
    });
    Ok(JavaNode {
        models: models.collect(),
        bindings: store.bindings,
        problems: store.problems,
    })
}
