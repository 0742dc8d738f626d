//! Whose model it is: from the pipeline inside, or from the names that FATE-Flow and the Java server give.

use std::path::Path;

use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_proto::buffer::Pipeline;
use serde_json::Value;

/// FATE-Flow's `local`: whose copy of the pipeline this is.
pub(super) fn local_party(pipeline: &Pipeline) -> Option<(Role, String)> {
    confs(pipeline).find_map(|conf| {
        let local = conf.get("local")?;
        let role = local.get("role")?.as_str()?.parse().ok()?;
        Some((role, party_id(local.get("party_id")?)?))
    })
}

/// The hosts of the training job.
pub(super) fn hosts(pipeline: &Pipeline) -> Vec<String> {
    let of_conf = |conf: Value| {
        let hosts = conf.get("role")?.get("host")?.as_array()?;
        Some(hosts.iter().filter_map(party_id).collect())
    };
    confs(pipeline).find_map(of_conf).unwrap_or_default()
}

fn confs(pipeline: &Pipeline) -> impl Iterator<Item = Value> {
    [
        &pipeline.runtime_conf_on_party,
        &pipeline.train_runtime_conf,
    ]
    .into_iter()
    .filter_map(|conf| serde_json::from_slice(conf).ok())
}

/// FATE-Flow writes party ids as numbers or as text.
fn party_id(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// `role#party#model_id`.
pub(super) fn of_namespace(namespace: &str) -> (Option<Role>, Option<String>) {
    let mut parts = namespace.splitn(3, '#');
    let role = parts.next().and_then(|role| role.parse().ok());
    let party_id = parts.next().map(str::to_owned);
    (role, party_id)
}

/// `<role>_<party id>`, a party's directory in a set.
pub(super) fn of_party_directory(directory: &Path) -> (Option<Role>, Option<String>) {
    let name = directory.file_name().and_then(|name| name.to_str());
    match name.and_then(|name| name.split_once('_')) {
        Some((role, party_id)) => (role.parse().ok(), Some(party_id.to_owned())),
        None => (None, None),
    }
}

/// Java names its cache files `model_<table name>_<namespace>_cache`.
pub(super) fn of_cache_file(path: &Path) -> Option<ModelKey> {
    let name = path.file_name()?.to_str()?;
    let key = name.strip_prefix("model_")?.strip_suffix("_cache")?;
    let border = [Role::Guest, Role::Host]
        .iter()
        .find_map(|role| key.find(&format!("_{role}#")))?;
    Some(ModelKey::new(&key[..border], &key[border + 1..]))
}

/// FATE-Flow names its exports `<party model id>_<version>.zip`.
pub(super) fn of_archive(path: &Path) -> Option<ModelKey> {
    let name = path.file_stem()?.to_str()?;
    let (namespace, version) = name.rsplit_once('_')?;
    of_flow_names(namespace, version)
}

/// `<party model id>/<version>`.
pub(super) fn of_flow_folder(path: &Path) -> Option<ModelKey> {
    let path = path.canonicalize().ok()?;
    let version = path.file_name()?.to_str()?;
    let namespace = path.parent()?.file_name()?.to_str()?;
    of_flow_names(namespace, version)
}

fn of_flow_names(namespace: &str, version: &str) -> Option<ModelKey> {
    let (role, party_id) = of_namespace(namespace);
    (role.is_some() && party_id.is_some()).then(|| ModelKey::new(version, namespace))
}
