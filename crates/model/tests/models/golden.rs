//! The real models of `models/`, and the requests that publish them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fate_domain::model_key::ModelKey;
use fate_inference::Buffers;
use fate_proto::model::{LocalInfo, ModelInfo, Party, PublishRequest, RoleModelInfo};
use serde::Deserialize;

/// One party's part of a set.
#[derive(Debug, Clone)]
pub(crate) struct Golden {
    pub role: String,
    pub party_id: String,
    pub key: ModelKey,
    pub buffers: Buffers,
}

#[derive(Deserialize)]
struct Index {
    role: String,
    party_id: u64,
    namespace: String,
    name: String,
    models: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    key: String,
    file: String,
}

/// `part` is e.g. `guest_9999`.
pub(crate) fn golden(set: &str, part: &str) -> Golden {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models")
        .join(set)
        .join(part);
    let index = folder.join("index.json");
    let text =
        fs::read_to_string(&index).unwrap_or_else(|cause| panic!("{}: {cause}", index.display()));
    let index: Index = serde_json::from_str(&text).unwrap();
    let buffers = index.models.iter().map(|entry| {
        let bytes = fs::read(folder.join(&entry.file)).unwrap();
        (entry.key.clone(), bytes.into())
    });
    Golden {
        role: index.role,
        party_id: index.party_id.to_string(),
        key: ModelKey::new(&index.name, &index.namespace),
        buffers: buffers.collect(),
    }
}

pub(crate) fn guest() -> Golden {
    golden("lr_plain", "guest_9999")
}

pub(crate) fn host() -> Golden {
    golden("lr_plain", "host_10000")
}

impl Golden {
    /// The same model under another version.
    pub(crate) fn renamed(&self, table_name: &str) -> Golden {
        let key = ModelKey::new(table_name, &self.key.namespace);
        Golden {
            key,
            ..self.clone()
        }
    }

    /// A model that no core accepts: its pipeline is cut off.
    pub(crate) fn broken(&self) -> Golden {
        let mut broken = self.clone();
        let pipeline = broken
            .buffers
            .get_mut("pipeline.pipeline:Pipeline")
            .unwrap();
        *pipeline = pipeline.slice(..pipeline.len() / 2);
        broken
    }

    /// With a mark that no component reads, to tell two contents of one model apart.
    pub(crate) fn marked(&self, mark: &str) -> Golden {
        let mut marked = self.clone();
        marked
            .buffers
            .insert(MARK.to_owned(), mark.to_owned().into());
        marked
    }
}

/// A buffer that is neither a Meta nor a Param.
pub(crate) const MARK: &str = "mark_0.mark:Mark";

/// `{"<name>":"<Base64>"}`, as FATE-Flow's `data` and as a cache file.
pub(crate) fn cache_json(buffers: &Buffers) -> String {
    use base64::Engine as _;
    let members: Vec<String> = buffers
        .iter()
        .map(|(name, bytes)| {
            format!(
                "\"{name}\":\"{}\"",
                base64::engine::general_purpose::STANDARD.encode(bytes)
            )
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

/// FATE-Flow's answer.
pub(crate) fn transfer_json(buffers: &Buffers) -> String {
    format!(
        "{{\"data\":{},\"retcode\":0,\"retmsg\":\"success\"}}\n",
        cache_json(buffers)
    )
}

/// A publishLoad of guest 9999 and host 10000, as FATE-Flow 1.11 sends it, for the party of `own`.
pub(crate) fn load_request(own: &Golden, load_type: &str, file_path: &str) -> PublishRequest {
    let other_role = if own.role == "guest" { "host" } else { "guest" };
    let other_party = if own.role == "guest" { "10000" } else { "9999" };
    let other_namespace = own.key.namespace.replacen(
        &format!("{}#{}", own.role, own.party_id),
        &format!("{other_role}#{other_party}"),
        1,
    );
    let other = ModelKey::new(&own.key.table_name, other_namespace);
    PublishRequest {
        local: Some(LocalInfo {
            role: own.role.clone(),
            party_id: own.party_id.clone(),
        }),
        role: BTreeMap::from([
            parties(&own.role, &own.party_id),
            parties(other_role, other_party),
        ]),
        model: BTreeMap::from([
            model_info(&own.role, &own.party_id, &own.key),
            model_info(other_role, other_party, &other),
        ]),
        load_type: load_type.to_owned(),
        file_path: file_path.to_owned(),
        ..PublishRequest::default()
    }
}

pub(crate) fn bind_request(own: &Golden, service_id: &str) -> PublishRequest {
    let mut request = load_request(own, "", "");
    request.model.retain(|role, _| *role == own.role);
    request.service_id = service_id.to_owned();
    request
}

fn parties(role: &str, party_id: &str) -> (String, Party) {
    (
        role.to_owned(),
        Party {
            party_id: vec![party_id.to_owned()],
        },
    )
}

fn model_info(role: &str, party_id: &str, key: &ModelKey) -> (String, RoleModelInfo) {
    let info = ModelInfo {
        table_name: key.table_name.clone(),
        namespace: key.namespace.clone(),
    };
    (
        role.to_owned(),
        RoleModelInfo {
            role_model_info: BTreeMap::from([(party_id.to_owned(), info)]),
        },
    )
}
