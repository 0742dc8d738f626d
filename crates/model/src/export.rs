//! A model on its way from one node to another (contract 01 §3.8): the description as Java writes it, and a cache file.

use std::collections::BTreeMap;

use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use fate_inference::Semantics;
use serde::{Deserialize, Deserializer, Serialize};

use crate::published::Remote;
use crate::request::{check_service_id, other_side, role_of};
use crate::source::buffers_json;
use crate::store::{Description, StoredModel};

/// The answer of `modelTransfer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// `modelData`: JSON of the model, with its service ids.
    pub model_json: Vec<u8>,
    /// `cacheData`: the bytes of a cache file.
    pub cache: Vec<u8>,
}

/// What arrived from another node, checked but not compiled.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) model: StoredModel,
    pub(crate) service_ids: Vec<String>,
}

/// Java's `Model`, in the order Java writes it; stubs of the other side are of the same type.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelJson {
    /// Only written: Java builds it on first use, and old nodes send what they like.
    #[serde(skip_deserializing)]
    resource_name: String,
    timestamp: i64,
    table_name: String,
    namespace: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    part_id: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    federation_model_map: BTreeMap<String, ModelJson>,
    #[serde(default, deserialize_with = "null_is_empty")]
    service_ids: Vec<String>,
    #[serde(
        default,
        rename = "resourceAdress",
        skip_serializing_if = "Option::is_none"
    )]
    resource_address: Option<String>,
    /// Ours; Java skips it. It travels so that a model gives the same scores everywhere; a Java node does not send it,
    /// and the receiver's default for new models holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    semantics: Option<Semantics>,
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

pub(crate) fn export(stored: &StoredModel, service_ids: Vec<String>) -> Result<Export, Fault> {
    let description = &stored.description;
    let mut model = model_json(&description.key, &description.role.to_string(), description);
    model.part_id = Some(description.party_id.clone());
    model.resource_address = description.resource_address.clone();
    model.service_ids = service_ids;
    model.semantics = Some(description.semantics);
    for remote in &description.remotes {
        let mut stub = model_json(&remote.key, &remote.role.to_string(), description);
        stub.part_id = Some(remote.party_id.clone());
        model
            .federation_model_map
            .insert(remote.party_id.clone(), stub);
    }
    let model_json = serde_json::to_vec(&model).map_err(|cause| system(cause.to_string()))?;
    Ok(Export {
        model_json,
        cache: buffers_json::write(&stored.buffers),
    })
}

fn model_json(key: &ModelKey, role: &str, description: &Description) -> ModelJson {
    ModelJson {
        resource_name: key.resource_name(),
        timestamp: description.loaded_at_ms,
        table_name: key.table_name.clone(),
        namespace: key.namespace.clone(),
        role: Some(role.to_owned()),
        part_id: None,
        federation_model_map: BTreeMap::new(),
        service_ids: Vec::new(),
        resource_address: None,
        semantics: None,
    }
}

/// Reads both parts and checks them against the key that was asked for.
pub(crate) fn import(
    key: &ModelKey,
    model_json: &[u8],
    cache: &[u8],
    default_semantics: Semantics,
    max_bytes: u64,
) -> Result<Imported, Fault> {
    let model: ModelJson = serde_json::from_slice(model_json)
        .map_err(|cause| system(format!("the source's model data: {cause}")))?;
    let found = ModelKey::checked(&model.table_name, &model.namespace)?;
    if found != *key {
        let text = format!(
            "asked for model {}, the source sent {}",
            key.store_name(),
            found.store_name()
        );
        return Err(system(text));
    }
    for service_id in &model.service_ids {
        check_service_id(service_id)?;
    }
    let buffers = buffers_json::parse(cache, max_bytes).map_err(|cause| {
        Fault::new(
            ReturnCode::MODEL_INIT,
            format!("the source's cache data: {cause}"),
        )
    })?;
    let role = role_of(model.role.as_deref().unwrap_or_default());
    let mut remotes = Vec::new();
    for (party_id, stub) in model.federation_model_map {
        let key = ModelKey::checked(&stub.table_name, &stub.namespace)?;
        remotes.push(Remote {
            party_id,
            role: other_side(role),
            key,
        });
    }
    let description = Description {
        key: found,
        role,
        party_id: model.part_id.unwrap_or_default(),
        remotes,
        loaded_at_ms: model.timestamp,
        resource_address: model.resource_address,
        semantics: model.semantics.unwrap_or(default_semantics),
    };
    Ok(Imported {
        model: StoredModel {
            description,
            buffers,
        },
        service_ids: model.service_ids,
    })
}

fn system(message: String) -> Fault {
    Fault::new(ReturnCode::SYSTEM, message)
}
