//! The `.fate` folder of a Java node (contract 01 §3.9, App. B): read once, at take-over, and never written to.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_inference::{Buffers, Semantics};

use crate::java_stream::{Object, Stream, Value};
use crate::published::Remote;
use crate::request::{check_service_id, other_side, role_of};
use crate::source::import_path::read_bounded;
use crate::source::read_cache_file;
use crate::store::Description;

const LOAD_STORE: &str = "loadModelStore.cache";
const BIND_STORE: &str = "bindModelStore.cache";
const MODEL_CLASS: &str = "com.webank.ai.fate.serving.common.model.Model";
/// About 700 bytes a model: room for tens of thousands.
const MAX_STORE_BYTES: u64 = 32 << 20;
/// FATE-Serving 1.2 kept these in the user's home; they hold requests, not models.
const OLD_STORES: [&str; 2] = ["publishLoadStore.cache", "publishOnlineStore.cache"];

/// What a Java node knew, without the buffers.
#[derive(Debug, Default)]
pub(crate) struct JavaStore {
    pub(crate) models: Vec<Description>,
    pub(crate) bindings: Vec<(String, ModelKey)>,
    /// Entries that cannot be taken over: what, why.
    pub(crate) problems: Vec<(String, String)>,
}

/// Whether a Java node worked in this folder.
pub(crate) fn exists(fate_folder: &Path) -> bool {
    fate_folder.join(LOAD_STORE).exists() || fate_folder.join(BIND_STORE).exists()
}

/// Files of FATE-Serving 1.2, which we do not read.
pub(crate) fn old_stores(home: &Path) -> Vec<PathBuf> {
    OLD_STORES
        .iter()
        .map(|name| home.join(".fate").join(name))
        .filter(|path| path.exists())
        .collect()
}

/// Reads both stores. An error means that nothing is known about the node's models.
pub(crate) fn read(fate_folder: &Path) -> Result<JavaStore, String> {
    let load_store = read_bounded(&fate_folder.join(LOAD_STORE), MAX_STORE_BYTES)?;
    let bind_store = fate_folder.join(BIND_STORE);
    let bind_store = bind_store
        .exists()
        .then(|| read_bounded(&bind_store, MAX_STORE_BYTES));
    parse(&load_store, bind_store).map_err(|cause| format!("{}: {cause}", fate_folder.display()))
}

/// The same for the bytes of the two files; the second may be missing or unreadable.
pub(crate) fn parse(
    load_store: &[u8],
    bind_store: Option<Result<Vec<u8>, String>>,
) -> Result<JavaStore, String> {
    let mut store = JavaStore::default();
    let keys = read_models(load_store, &mut store)?;
    let bindings =
        bind_store.map(|bytes| bytes.and_then(|bytes| read_bindings(&bytes, &keys, &mut store)));
    if let Some(Err(cause)) = bindings {
        // The models can be served to guests elsewhere; the bindings of this node must be made again.
        store.problems.push((BIND_STORE.to_owned(), cause));
    }
    Ok(store)
}

/// The buffers of one of the models.
pub(crate) fn read_buffers(
    fate_folder: &Path,
    key: &ModelKey,
    max_bytes: u64,
) -> Result<Buffers, String> {
    read_cache_file(
        &fate_folder.join(format!("model_{}_cache", key.store_name())),
        max_bytes,
    )
}

/// Fills in the models; returns Java's text key of each, for the bindings.
fn read_models(bytes: &[u8], store: &mut JavaStore) -> Result<HashMap<String, ModelKey>, String> {
    let stream = Stream::parse(bytes).map_err(|cause| format!("{LOAD_STORE}: {cause}"))?;
    let entries = stream
        .map_entries(stream.root())
        .ok_or_else(|| format!("{LOAD_STORE}: not a map"))?;
    let mut keys = HashMap::new();
    for (key, value) in entries {
        let text_key = stream.text(key).unwrap_or_default().to_owned();
        match describe(&stream, value) {
            Ok(description) => {
                keys.insert(text_key, description.key.clone());
                store.models.push(description);
            }
            Err(cause) => store
                .problems
                .push((format!("model {text_key} in {LOAD_STORE}"), cause)),
        }
    }
    Ok(keys)
}

fn read_bindings(
    bytes: &[u8],
    keys: &HashMap<String, ModelKey>,
    store: &mut JavaStore,
) -> Result<(), String> {
    let stream = Stream::parse(bytes)?;
    let entries = stream.map_entries(stream.root()).ok_or("not a map")?;
    for (service_id, text_key) in entries {
        let (Some(service_id), Some(text_key)) = (stream.text(service_id), stream.text(text_key))
        else {
            store.problems.push((
                format!("an entry of {BIND_STORE}"),
                "not a pair of texts".to_owned(),
            ));
            continue;
        };
        let found = keys.get(text_key);
        match (check_service_id(service_id), found) {
            (Ok(()), Some(key)) => store.bindings.push((service_id.to_owned(), key.clone())),
            (Ok(()), None) => {
                let cause = format!("its model {text_key} is not in {LOAD_STORE}");
                store
                    .problems
                    .push((format!("service id {service_id}"), cause));
            }
            (Err(fault), _) => store
                .problems
                .push((format!("service id {service_id:?}"), fault.message)),
        }
    }
    Ok(())
}

fn describe(stream: &Stream, value: &Value) -> Result<Description, String> {
    let model = model_object(stream, value)?;
    let role = role_of(text(stream, model, "role").unwrap_or_default());
    let loaded_at_ms = match model.field("timestamp") {
        Some(Value::Integer(milliseconds)) => *milliseconds,
        _ => return Err("it has no timestamp".to_owned()),
    };
    Ok(Description {
        key: key_of(stream, model)?,
        role,
        party_id: text(stream, model, "partId").unwrap_or_default().to_owned(),
        remotes: remotes(stream, model, other_side(role))?,
        loaded_at_ms,
        resource_address: text(stream, model, "resourceAdress").map(str::to_owned),
        semantics: Semantics::Java,
    })
}

/// The stubs of the other side; old files have them without a role (contract 01 §3.10).
fn remotes(stream: &Stream, model: &Object, role: Role) -> Result<Vec<Remote>, String> {
    let Some(entries) = model
        .field("federationModelMap")
        .and_then(|map| stream.map_entries(map))
    else {
        return Ok(Vec::new());
    };
    let mut remotes = Vec::new();
    for (party_id, stub) in entries {
        let party_id = stream.text(party_id).ok_or("a party id is not a text")?;
        let key = key_of(stream, model_object(stream, stub)?)
            .map_err(|cause| format!("party {party_id}: {cause}"))?;
        remotes.push(Remote {
            party_id: party_id.to_owned(),
            role,
            key,
        });
    }
    Ok(remotes)
}

fn model_object<'a>(stream: &'a Stream, value: &Value) -> Result<&'a Object, String> {
    let object = stream.object(value).ok_or("not an object")?;
    if object.class_name() != MODEL_CLASS {
        return Err(format!("an object of class {}", object.class_name()));
    }
    Ok(object)
}

fn key_of(stream: &Stream, model: &Object) -> Result<ModelKey, String> {
    let table_name = text(stream, model, "tableName").ok_or("it has no tableName")?;
    let namespace = text(stream, model, "namespace").ok_or("it has no namespace")?;
    ModelKey::checked(table_name, namespace).map_err(|fault| fault.message)
}

fn text<'a>(stream: &'a Stream, object: &Object, field: &str) -> Option<&'a str> {
    object.field(field).and_then(|value| stream.text(value))
}
