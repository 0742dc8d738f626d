//! What a path holds: one party's model in any of its forms, or those of a set. `model inspect`, `model verify` and `load`
//! read models through here.
//!
//! | form | who makes it |
//! |---|---|
//! | `index.json` with `model/*.pb` | golden sets |
//! | a zip | FATE-Flow's export of a model |
//! | `variables/data/…`, in a folder `<party model id>/<version>` | FATE-Flow's model cache |
//! | `*.model` | the store of this server |
//! | a JSON object of Base64 texts | the store of a Java server |

mod identity;

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_golden::PartyModel;
use fate_inference::{Buffers, PIPELINE_KEY, Semantics};
use fate_model::{Settings, Stored};
use fate_proto::buffer::Pipeline;
use prost::Message as _;

use crate::exit::Failure;

/// How a record of the store begins.
const RECORD: &[u8] = b"FATEMDL1";
const RECORD_SUFFIX: &str = "model";
const ARCHIVE_SUFFIX: &str = "zip";

/// One party's model with what is known about it. An archive or a cache file says little by itself: the rest is
/// what FATE-Flow wrote into the pipeline.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) buffers: Buffers,
    /// None when neither an index, a name nor the pipeline tells.
    pub(crate) role: Option<Role>,
    pub(crate) party_id: Option<String>,
    pub(crate) key: Option<ModelKey>,
    /// Party ids of the hosts.
    pub(crate) hosts: Vec<String>,
    /// None when there is no readable pipeline.
    pub(crate) pipeline: Option<Pipeline>,
    /// What a record of a store says.
    pub(crate) semantics: Option<Semantics>,
}

/// All models at a path, of a set the guest's first.
pub(crate) fn open(path: &Path) -> Result<Vec<Opened>, Failure> {
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
    if found.len() == 0 {
        return Err(Failure::usage(format!("{} is empty", path.display())));
    }
    if path.file_name().is_some_and(|name| name == "index.json") {
        // A bare `index.json` has the empty parent.
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        return Ok(open_directory(parent.unwrap_or(Path::new(".")))?);
    }
    Ok(vec![open_file(path)?])
}

/// One party's directory in a set: with an index, or with FATE-Flow's archive or folder of the model instead.
pub(crate) fn open_party(directory: &Path) -> anyhow::Result<PartyModel> {
    let archives = files_with(directory, ARCHIVE_SUFFIX)?;
    if directory.join("index.json").exists() {
        return Ok(PartyModel::open(directory)?);
    }
    let opened = match archives.as_slice() {
        [archive] => open_file(archive)?,
        [] if is_flow_folder(directory) => open_flow_folder(directory)?,
        // Says what is missing.
        [] => return Ok(PartyModel::open(directory)?),
        several => anyhow::bail!(
            "{}: {} archives; a party has one model",
            directory.display(),
            several.len()
        ),
    };
    let (named_role, named_id) = identity::of_party_directory(directory);
    let unknown = |what: &str| format!("{}: {what} is not known", opened.path.display());
    let role = opened.role.or(named_role);
    let party_id = opened.party_id.or(named_id);
    Ok(PartyModel {
        role: role.with_context(|| unknown("the role"))?,
        party_id: party_id.with_context(|| unknown("the party id"))?,
        key: opened
            .key
            .with_context(|| unknown("the model's id and version"))?,
        directory: directory.to_owned(),
        buffers: opened.buffers,
    })
}

fn open_directory(path: &Path) -> anyhow::Result<Vec<Opened>> {
    if path.join("index.json").exists() {
        return Ok(vec![Opened::from_party(PartyModel::open(path)?)]);
    }
    if is_flow_folder(path) {
        return Ok(vec![open_flow_folder(path)?]);
    }
    let records = files_with(path, RECORD_SUFFIX)?;
    if !records.is_empty() {
        return records.iter().map(|record| open_file(record)).collect();
    }
    let mut opened = Vec::new();
    for set in fate_golden::sets_below(path)? {
        let models = fate_golden::models_in_with(&set, open_party)?;
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

/// A node's own limit, so that what can be inspected can be loaded.
fn max_bytes() -> u64 {
    Settings::new("").max_model_bytes
}

/// An archive begins with the signature of a zip, a record of a store with its own; anything else is tried as a cache
/// file.
fn open_file(path: &Path) -> anyhow::Result<Opened> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(RECORD.len() as u64).read_to_end(&mut start))
        .with_context(|| format!("cannot read {}", path.display()))?;
    if start == RECORD {
        let stored = fate_model::read_stored(path, max_bytes())?;
        return Ok(Opened::from_record(path, stored));
    }
    let (buffers, named) = if start.starts_with(b"PK") {
        let buffers = fate_model::read_archive(path, max_bytes())?;
        (buffers, identity::of_archive(path))
    } else {
        let buffers = fate_model::read_cache_file(path, max_bytes())?;
        (buffers, identity::of_cache_file(path))
    };
    let opened = Opened::from_pipeline(path, buffers);
    Ok(match (&opened.key, named) {
        (None, Some(key)) => opened.named(key),
        _ => opened,
    })
}

fn is_flow_folder(directory: &Path) -> bool {
    directory.join("variables").join("data").is_dir()
}

/// The folder's name is what FATE-Flow publishes the model as, whatever the pipeline inside calls itself.
fn open_flow_folder(directory: &Path) -> anyhow::Result<Opened> {
    let buffers = fate_model::read_folder(directory, max_bytes())?;
    let opened = Opened::from_pipeline(directory, buffers);
    Ok(match identity::of_flow_folder(directory) {
        Some(key) => opened.named(key),
        None => opened,
    })
}

/// Sorted by name.
fn files_with(directory: &Path, suffix: &str) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        if path.extension().is_some_and(|found| found == suffix) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
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

    fn from_record(path: &Path, stored: Stored) -> Opened {
        let of_remotes = stored.remotes.into_iter().map(|remote| remote.party_id);
        let hosts = if stored.role == Role::Guest {
            of_remotes.collect()
        } else {
            Vec::new()
        };
        Opened {
            role: Some(stored.role),
            party_id: Some(stored.party_id),
            key: Some(stored.key),
            hosts,
            semantics: Some(stored.semantics),
            ..Opened::from_pipeline(path, stored.buffers)
        }
    }

    fn from_pipeline(path: &Path, buffers: Buffers) -> Opened {
        let pipeline = buffers
            .get(PIPELINE_KEY)
            .and_then(|bytes| Pipeline::decode(bytes.clone()).ok());
        let local = pipeline.as_ref().and_then(identity::local_party);
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
            hosts: pipeline.as_ref().map(identity::hosts).unwrap_or_default(),
            pipeline,
            buffers,
            semantics: None,
        }
    }

    /// A name from outside tells role and party, too: a namespace is `role#party#model_id`.
    fn named(self, key: ModelKey) -> Opened {
        let (role, party_id) = identity::of_namespace(&key.namespace);
        Opened {
            role: role.or(self.role),
            party_id: party_id.or(self.party_id),
            key: Some(key),
            ..self
        }
    }
}
