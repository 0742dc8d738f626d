//! A set: the parties of one federated model and what FATE predicted for their rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use serde::Deserialize;

use crate::layout::{Layout, layout_of};
use crate::{Error, PartyModel, Predictions, Table, predictions};

/// One guest, its hosts, and the predictions.
#[derive(Debug, Clone)]
pub struct Set {
    /// Name of the directory.
    pub name: String,
    pub directory: PathBuf,
    /// The guest first, then the hosts by party id.
    pub parties: Vec<Party>,
    pub predictions: Predictions,
}

/// A guest or a host with its rows.
#[derive(Debug, Clone)]
pub struct Party {
    pub role: Role,
    pub party_id: String,
    pub key: ModelKey,
    pub directory: PathBuf,
    /// `"<component>.<alias>:<Name>"` to protobuf bytes.
    pub buffers: BTreeMap<String, Bytes>,
    /// Features only, see [`Set::open`] for the label.
    pub table: Table,
}

#[derive(Deserialize)]
struct Manifest {
    label_name: Option<String>,
}

impl Set {
    /// Reads the whole set. Arbiters are left out: they take no part in inference. So are the rows of a host that has
    /// none: a homogeneous model's host gives no part.
    ///
    /// The guest's label column is no feature. It is the one that `manifest.json` calls `label_name`, or else the one
    /// that the guest's data component names; if neither tells, it is the only column whose cells are the `label` of
    /// `predictions.csv` in every predicted row (as text or as numbers, and not all the same). Without any of these
    /// every column counts as a feature: a label in a request does no harm, a missing feature would.
    ///
    /// # Errors
    /// Anything missing, malformed or not as the index says; no guest, two guests, or a party twice.
    pub fn open(path: impl AsRef<Path>) -> Result<Set, Error> {
        Set::open_with(path, |party| PartyModel::open(party))
    }

    /// As [`Set::open`], with another reader of the parties' directories.
    ///
    /// # Errors
    /// As [`Set::open`], and those of the reader.
    pub fn open_with<E: From<Error>>(
        path: impl AsRef<Path>,
        read: impl Fn(&Path) -> Result<PartyModel, E>,
    ) -> Result<Set, E> {
        let directory = path.as_ref();
        let predictions = predictions::read(&directory.join("predictions.csv"))?;
        let label = manifest_label(&directory.join("manifest.json"))?;
        let mut parties = Vec::new();
        for model in models_in_with(directory, read)? {
            let table = read_table(&model, label.as_deref(), &predictions)?;
            parties.push(Party {
                role: model.role,
                party_id: model.party_id,
                key: model.key,
                directory: model.directory,
                buffers: model.buffers,
                table,
            });
        }
        Ok(Set {
            name: name_of(directory)?,
            directory: directory.to_owned(),
            parties,
            predictions,
        })
    }

    /// The guest.
    pub fn guest(&self) -> &Party {
        // `open` puts it first and refuses a set without one.
        &self.parties[0]
    }

    /// The hosts, by party id.
    pub fn hosts(&self) -> &[Party] {
        self.parties.get(1..).unwrap_or_default()
    }
}

/// The models of a set without rows and predictions: the guest first, then the hosts by party id, no arbiter.
///
/// # Errors
/// As [`Set::open`].
pub fn models_in(directory: impl AsRef<Path>) -> Result<Vec<PartyModel>, Error> {
    models_in_with(directory, |party| PartyModel::open(party))
}

/// As [`models_in`], with another reader of the parties' directories.
///
/// # Errors
/// As [`Set::open`], and those of the reader.
pub fn models_in_with<E: From<Error>>(
    directory: impl AsRef<Path>,
    read: impl Fn(&Path) -> Result<PartyModel, E>,
) -> Result<Vec<PartyModel>, E> {
    let directory = directory.as_ref();
    let mut models = Vec::new();
    for (role, path) in party_directories(directory)? {
        let model = read(&path)?;
        if model.role != role {
            let cause = format!(
                "the index says {} and the directory's name {role}",
                model.role
            );
            return Err(Error::whole(&path.join("index.json"), cause).into());
        }
        models.push(model);
    }
    Ok(checked(directory, models)?)
}

/// One guest, no party twice; sorted.
fn checked(directory: &Path, mut models: Vec<PartyModel>) -> Result<Vec<PartyModel>, Error> {
    models.sort_by(|one, other| (one.role, &one.party_id).cmp(&(other.role, &other.party_id)));
    let guests = models
        .iter()
        .filter(|model| model.role == Role::Guest)
        .count();
    if guests != 1 {
        let cause = format!("a set has one directory guest_<party id>, here are {guests}");
        return Err(Error::whole(directory, cause));
    }
    let mut hosts = BTreeSet::new();
    match models
        .iter()
        .find(|model| !hosts.insert((model.role, &model.party_id)))
    {
        Some(twice) => Err(Error::whole(
            &twice.directory,
            format!("{} {:?} is there twice", twice.role, twice.party_id),
        )),
        None => Ok(models),
    }
}

/// The sets at a path, by name: the path itself if it is a set, otherwise the sets directly below it.
///
/// # Errors
/// The path cannot be read, or there is no set.
pub fn sets_below(path: impl AsRef<Path>) -> Result<Vec<PathBuf>, Error> {
    let path = path.as_ref();
    if is_set(path)? {
        return Ok(vec![path.to_owned()]);
    }
    let mut sets = Vec::new();
    for directory in directories(path)? {
        if is_set(&directory)? {
            sets.push(directory);
        }
    }
    if sets.is_empty() {
        let cause = "neither a set (guest_<party id>/index.json and predictions.csv) nor a directory of sets";
        return Err(Error::whole(path, cause));
    }
    Ok(sets)
}

fn is_set(directory: &Path) -> Result<bool, Error> {
    Ok(party_directories(directory)?
        .iter()
        .any(|(role, _)| *role == Role::Guest))
}

/// `guest_<party id>` and `host_<party id>`.
fn party_directories(directory: &Path) -> Result<Vec<(Role, PathBuf)>, Error> {
    let of_party = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy();
        let (role, _) = name.split_once('_')?;
        let role: Role = role.parse().ok()?;
        (role != Role::Arbiter).then_some((role, path))
    };
    Ok(directories(directory)?
        .into_iter()
        .filter_map(of_party)
        .collect())
}

fn directories(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(path).map_err(Error::io(path))? {
        let entry = entry.map_err(Error::io(path))?.path();
        if entry.is_dir() {
            directories.push(entry);
        }
    }
    directories.sort();
    Ok(directories)
}

fn name_of(directory: &Path) -> Result<String, Error> {
    let real = directory.canonicalize().map_err(Error::io(directory))?;
    let name = real.file_name().unwrap_or(real.as_os_str());
    Ok(name.to_string_lossy().into_owned())
}

fn read_table(
    model: &PartyModel,
    label: Option<&str>,
    predictions: &Predictions,
) -> Result<Table, Error> {
    let path = model.directory.join("features.csv");
    if model.role == Role::Host && !path.exists() {
        return Ok(Table::default());
    }
    let layout = layout_of(&model.buffers);
    let mut table = Table::read(&path, &layout, |id| predictions.contains_key(id))?;
    let of_component = match layout {
        Layout::Dense { label, .. } => label,
        // A row's label was told from its features when it was read.
        Layout::Named(_) => return Ok(table),
    };
    if model.role == Role::Guest {
        let find = |name: &str| table.columns.iter().position(|column| column == name);
        let column = match label {
            Some(label) => find(label),
            None => of_component
                .and_then(|label| find(&label))
                .or_else(|| only_column_of_labels(&table, predictions)),
        };
        column
            .into_iter()
            .for_each(|column| table.take_label(column));
    }
    Ok(table)
}

fn manifest_label(path: &Path) -> Result<Option<String>, Error> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Error::io(path)(cause)),
    };
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|cause| Error::json(path, &cause))?;
    Ok(manifest.label_name)
}

fn only_column_of_labels(table: &Table, predictions: &Predictions) -> Option<usize> {
    let labels: BTreeSet<&str> = predictions
        .values()
        .map(|expected| expected.label.as_str())
        .collect();
    if labels.len() < 2 {
        return None;
    }
    let rows = table.by_id();
    let holds_labels = |column: &usize| {
        predictions.iter().all(|(id, expected)| {
            let cell = rows.get(id.as_str()).and_then(|row| row.cell(*column));
            cell.is_some_and(|cell| same_label(cell, &expected.label))
        })
    };
    let mut columns = (0..table.columns.len()).filter(holds_labels);
    let column = columns.next()?;
    columns.next().is_none().then_some(column)
}

/// FATE writes the label `0` of a regression as `0.0`.
fn same_label(cell: &str, label: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    cell == label || number(cell).is_some_and(|cell| number(label) == Some(cell))
}
