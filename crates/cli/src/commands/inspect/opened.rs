//! What a path holds: one party's model, or those of a set.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_golden::PartyModel;
use fate_inference::{Buffers, PIPELINE_KEY};
use fate_model::Settings;
use fate_proto::buffer::Pipeline;
use prost::Message as _;
use serde_json::Value;

use crate::exit::Failure;

/// One party's model with what is known about it. An archive or a cache file says little by itself: the rest is
/// what FATE-Flow wrote into the pipeline.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) buffers: Buffers,
    /// None when neither an index nor the pipeline tells.
    pub(super) role: Option<Role>,
    pub(super) party_id: Option<String>,
    pub(super) key: Option<ModelKey>,
    /// Party ids of the hosts.
    pub(super) hosts: Vec<String>,
    /// None when there is no readable pipeline.
    pub(super) pipeline: Option<Pipeline>,
}

/// All models at a path, the guest's first.
pub(super) fn open(path: &Path) -> Result<Vec<Opened>, Failure> {
    let found = fs::metadata(path)
        .map_err(|cause| Failure::usage(format!("cannot read {}: {cause}", path.display())))?;
    if found.is_dir() {
        return Ok(open_directory(path)?);
    }
    if !found.is_file() {
        return Err(Failure::usage(format!(
            "{} is neither a file nor a directory",
            path.display()
        )));
    }
    if path.file_name().is_some_and(|name| name == "index.json") {
        // A bare `index.json` has the empty parent.
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        return Ok(open_directory(parent.unwrap_or(Path::new(".")))?);
    }
    let mut opened = Opened::from_pipeline(path, read_file(path)?);
    if let (None, Some(key)) = (&opened.key, key_in_name(path)) {
        let mut namespace = key.namespace.split('#');
        opened.role = namespace.next().and_then(|role| role.parse().ok());
        opened.party_id = namespace.next().map(str::to_owned);
        opened.key = Some(key);
    }
    Ok(vec![opened])
}

fn open_directory(path: &Path) -> Result<Vec<Opened>, fate_golden::Error> {
    if path.join("index.json").exists() {
        return Ok(vec![Opened::from_party(PartyModel::open(path)?)]);
    }
    let mut opened = Vec::new();
    for set in fate_golden::sets_below(path)? {
        let models = fate_golden::models_in(&set)?;
        let of_host = |model: &&PartyModel| model.role == Role::Host;
        let hosts: Vec<String> = models
            .iter()
            .filter(of_host)
            .map(|host| host.party_id.clone())
            .collect();
        opened.extend(models.into_iter().map(|model| Opened {
            hosts: hosts.clone(),
            ..Opened::from_party(model)
        }));
    }
    Ok(opened)
}

/// An archive begins with the signature of a zip; anything else is tried as a cache file.
fn read_file(path: &Path) -> anyhow::Result<Buffers> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(2).read_to_end(&mut start))
        .with_context(|| format!("cannot read {}", path.display()))?;
    // A node's own limit, so that what can be inspected can be loaded.
    let max_bytes = Settings::new("").max_model_bytes;
    Ok(if start == b"PK" {
        fate_model::read_archive(path, max_bytes)?
    } else {
        fate_model::read_cache_file(path, max_bytes)?
    })
}

/// Java names its cache files `model_<table name>_<namespace>_cache`; a namespace begins with the role.
fn key_in_name(path: &Path) -> Option<ModelKey> {
    let name = path.file_name()?.to_str()?;
    let key = name.strip_prefix("model_")?.strip_suffix("_cache")?;
    let border = [Role::Guest, Role::Host]
        .iter()
        .find_map(|role| key.find(&format!("_{role}#")))?;
    Some(ModelKey::new(&key[..border], &key[border + 1..]))
}

impl Opened {
    fn from_party(model: PartyModel) -> Opened {
        Opened {
            role: Some(model.role),
            party_id: Some(model.party_id),
            key: Some(model.key),
            ..Opened::from_pipeline(&model.directory, model.buffers)
        }
    }

    fn from_pipeline(path: &Path, buffers: Buffers) -> Opened {
        let pipeline = buffers
            .get(PIPELINE_KEY)
            .and_then(|bytes| Pipeline::decode(bytes.clone()).ok());
        let local = pipeline.as_ref().and_then(local_party);
        let key = pipeline
            .as_ref()
            .zip(local.as_ref())
            .map(|(pipeline, (role, party_id))| {
                let namespace = format!("{role}#{party_id}#{}", pipeline.model_id);
                ModelKey::new(pipeline.model_version.as_str(), namespace)
            });
        let (role, party_id) = local.unzip();
        Opened {
            path: path.to_owned(),
            role,
            party_id,
            key,
            hosts: pipeline.as_ref().map(hosts).unwrap_or_default(),
            pipeline,
            buffers,
        }
    }
}

/// FATE-Flow's `local`: whose copy of the pipeline this is.
fn local_party(pipeline: &Pipeline) -> Option<(Role, String)> {
    confs(pipeline).find_map(|conf| {
        let local = conf.get("local")?;
        let role = local.get("role")?.as_str()?.parse().ok()?;
        Some((role, party_id(local.get("party_id")?)?))
    })
}

/// The hosts of the training job.
fn hosts(pipeline: &Pipeline) -> Vec<String> {
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
