//! The files of a Java node. Input: a mode, then the store of models as a part and the store of bindings, or a cache
//! file.
//!
//! Promises: what is taken over has names that a published model may have, bindings lead to models that are there, and
//! buffers survive being written and read again.

use fate_domain::model_key::ModelKey;
use fate_model::foreign;

use super::{is_repeated, take_byte, take_part};

const MAX_BYTES: u64 = 64 << 10;

/// Mode of an input with the two stores.
pub(super) const STORES: u8 = 0;
/// Mode of an input with a cache file.
pub(super) const CACHE_FILE: u8 = 1;

pub(super) fn run(mut input: &[u8]) {
    let is_repeated = is_repeated(input);
    if take_byte(&mut input) == STORES {
        let load_store = take_part(&mut input);
        stores(load_store, input, is_repeated);
    } else {
        cache_file(input);
    }
}

fn stores(load_store: &[u8], bind_store: &[u8], is_repeated: bool) {
    let read = || foreign::java_stores(load_store, bind_store.to_vec());
    let node = read();
    if is_repeated {
        assert_eq!(node, read());
    }
    let node = match node {
        Ok(node) => node,
        Err(cause) => return assert!(!cause.is_empty()),
    };
    for (key, remotes) in &node.models {
        remotes.iter().chain([key]).for_each(check_key);
    }
    for (service_id, key) in &node.bindings {
        assert!(!service_id.trim().is_empty());
        assert!(!service_id.contains(['/', '?', ':', '&']));
        assert!(node.models.iter().any(|(known, _)| known == key));
    }
    assert!(node.problems.iter().all(|(_, why)| !why.is_empty()));
}

fn check_key(key: &ModelKey) {
    assert!(ModelKey::checked(&key.table_name, &key.namespace).is_ok());
}

fn cache_file(text: &[u8]) {
    let Ok(buffers) = foreign::cache_file(text, MAX_BYTES) else {
        return;
    };
    assert!(!buffers.is_empty());
    let written = foreign::write_cache_file(&buffers);
    assert_eq!(foreign::cache_file(&written, MAX_BYTES), Ok(buffers));
}
