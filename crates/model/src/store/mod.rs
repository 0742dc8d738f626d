//! The store: `<model.cache.path>/.fate/serving`.
//!
//! ```text
//! lock                              held while a process uses the store
//! manifest, manifest.copy           what belongs to the store, written twice: one may rot
//! models/<hash>-<generation>.model  one file for each model, never changed once it is there
//! *.bad-<n>                         files that could not be read, set aside and reported
//! ```
//!
//! A change first puts new model files in place, under names nothing refers to yet, and then replaces the manifest:
//! that one rename commits it. A crash before leaves a file that the next start removes, a crash after it an old file
//! that the next start removes. All names are ours, so any UTF-8 in table name and namespace is safe.

mod files;
mod manifest;
mod record;
mod rescue;

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
pub(crate) use manifest::Manifest;
pub(crate) use record::{Description, StoredModel, decode as decode_record};

/// The folder below `.fate`.
const FOLDER: &str = "serving";
const MANIFEST: &str = "manifest";
const MANIFEST_COPY: &str = "manifest.copy";
const MODELS: &str = "models";
const MODEL_SUFFIX: &str = ".model";

/// The open store of this process. Only one change at a time: every method that changes takes `&mut self`.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    manifest: Manifest,
    /// Whether a manifest is on the disk.
    has_manifest: bool,
    /// Number of the newest model file; the name of a file that belongs to the store is never used again.
    last_file: u64,
    /// Held, not used: the lock goes when the process does.
    _lock: File,
}

/// What opening found besides the content.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// There is no store yet (a Java node's may be taken over).
    pub(crate) is_new: bool,
    /// Files that could not be used.
    pub(crate) damages: Vec<Damage>,
}

/// A file that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) path: PathBuf,
    pub(crate) reason: String,
    /// Where it is now, when it could be set aside.
    pub(crate) set_aside: Option<PathBuf>,
}

/// A model file that is in place but does not belong to the store until [`Store::commit`].
#[derive(Debug)]
pub(crate) struct Staged {
    key: ModelKey,
    file: String,
}

impl Store {
    /// Whether a server has worked here.
    pub(crate) fn exists(fate_folder: &Path) -> bool {
        fate_folder.join(FOLDER).join(MODELS).is_dir()
    }

    /// Opens `<fate_folder>/serving`, creating it if needed.
    pub(crate) fn open(fate_folder: &Path) -> Result<(Store, Opened), Error> {
        let folder = fate_folder.join(FOLDER);
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |cause| Error::Io {
                action,
                path,
                cause,
            }
        };
        files::create_folder(&folder.join(MODELS)).map_err(failed("create", &folder))?;
        let lock = lock(&folder)?;
        let mut opened = Opened::default();
        let names = list(&folder.join(MODELS)).map_err(failed("list", &folder.join(MODELS)))?;
        let mut store = Store {
            folder,
            manifest: Manifest::default(),
            has_manifest: false,
            last_file: 0,
            _lock: lock,
        };
        let copies = store.read_manifests(&mut opened.damages)?;
        // A crash between the two writes, or a lost file, leaves one copy alone: the other must not wait for a change.
        let is_behind = copies.len() == 1 || copies.windows(2).any(|pair| pair[0] != pair[1]);
        match copies.into_iter().max_by_key(|copy| copy.generation) {
            Some(manifest) => {
                opened.is_new = manifest.generation == 0 && manifest.models.is_empty();
                store.manifest = manifest;
                store.has_manifest = true;
            }
            None if store.has_lost_manifest()?
                || names.iter().any(|name| file_number(name).is_some()) =>
            {
                if opened.damages.is_empty() {
                    let reason = "both copies are gone; bindings must be made again".to_owned();
                    let path = store.folder.join(MANIFEST);
                    opened.damages.push(Damage::of(path, reason));
                }
                store.manifest = rescue::from_model_files(&store, &names, &mut opened.damages);
            }
            None => opened.is_new = true,
        }
        store.last_file = store.manifest.last_file();
        if is_behind || !opened.damages.is_empty() {
            store
                .write_manifest(&store.manifest)
                .map_err(failed("write", &store.folder.join(MANIFEST)))?;
            store.has_manifest = true;
        }
        store.remove_left_overs();
        Ok((store, opened))
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Puts a model's file in place, durably, without making it part of the store.
    pub(crate) fn stage(&mut self, model: &StoredModel) -> Result<Staged, Fault> {
        let key = model.description.key.clone();
        let encoded = record::encode(model).map_err(|cause| cannot_store(&key, &cause))?;
        self.begin()
            .map_err(|cause| cannot_store(&key, &cause.to_string()))?;
        let number = self
            .last_file
            .checked_add(1)
            .ok_or_else(|| cannot_store(&key, "the numbers of model files are used up"))?;
        self.last_file = number;
        let file = file_name(&key, number);
        files::write_durably(&self.model_path(&file), &encoded.parts()).map_err(|cause| {
            cannot_store(
                &key,
                &format!("{}: {cause}", self.model_path(&file).display()),
            )
        })?;
        Ok(Staged { key, file })
    }

    /// A manifest is there before the first model file: model files without one mean that it was lost.
    fn begin(&mut self) -> io::Result<()> {
        if !self.has_manifest {
            self.write_manifest(&self.manifest)?;
            self.has_manifest = true;
        }
        Ok(())
    }

    /// Makes the staged models part of the store and applies `change` to the bindings and models, in one step that
    /// happens durably or not at all.
    pub(crate) fn commit(
        &mut self,
        staged: Vec<Staged>,
        change: impl FnOnce(&mut Manifest),
    ) -> Result<(), Fault> {
        let mut next = self.manifest.clone();
        for Staged { key, file } in &staged {
            next.models.insert(key.clone(), file.clone());
        }
        change(&mut next);
        next.generation += 1;
        if let Err(cause) = self.write_manifest(&next) {
            self.discard(&staged);
            let path = self.folder.join(MANIFEST);
            return Err(Fault::new(
                ReturnCode::SYSTEM,
                format!("the model store cannot write {}: {cause}", path.display()),
            ));
        }
        let old = std::mem::replace(&mut self.manifest, next);
        self.remove_replaced(&old);
        Ok(())
    }

    /// Reads one model of the store. `None`: not in the store.
    pub(crate) fn read(&self, key: &ModelKey) -> Option<Result<StoredModel, String>> {
        let file = self.manifest.models.get(key)?;
        Some(self.read_file(key, file))
    }

    /// Renames a model's unreadable file; it stays in the manifest, so that its bindings are kept for a new load.
    pub(crate) fn set_aside(&self, key: &ModelKey) -> Option<PathBuf> {
        let path = self.model_path(self.manifest.models.get(key)?);
        files::set_aside(&path).ok()
    }

    fn read_file(&self, key: &ModelKey, file: &str) -> Result<StoredModel, String> {
        let path = self.model_path(file);
        let in_file = |cause: String| format!("{}: {cause}", path.display());
        let bytes = files::read(&path).map_err(|cause| in_file(cause.to_string()))?;
        let model = record::decode(&Bytes::from(bytes)).map_err(in_file)?;
        if model.description.key != *key {
            return Err(in_file(format!(
                "holds another model, {}",
                model.description.key.store_name()
            )));
        }
        Ok(model)
    }

    fn model_path(&self, file: &str) -> PathBuf {
        self.folder.join(MODELS).join(file)
    }

    /// The manifests that can be read; the others are set aside.
    fn read_manifests(&self, damages: &mut Vec<Damage>) -> Result<Vec<Manifest>, Error> {
        let mut copies = Vec::new();
        for name in [MANIFEST, MANIFEST_COPY] {
            let path = self.folder.join(name);
            let decoded = match files::read(&path) {
                Ok(bytes) => manifest::decode(&bytes),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
                Err(cause) if cause.kind() == io::ErrorKind::InvalidInput => Err(cause.to_string()),
                Err(cause) => {
                    return Err(Error::Io {
                        action: "read",
                        path,
                        cause,
                    });
                }
            };
            match decoded {
                Ok(manifest) => copies.push(manifest),
                Err(reason) => damages.push(Damage::of(path, reason)),
            }
        }
        Ok(copies)
    }

    /// Both copies are gone, but a damaged one shows that there was a store.
    fn has_lost_manifest(&self) -> Result<bool, Error> {
        let names = list(&self.folder).map_err(|cause| Error::Io {
            action: "list",
            path: self.folder.clone(),
            cause,
        })?;
        Ok(names
            .iter()
            .any(|name| name.starts_with(MANIFEST) && files::is_set_aside(name)))
    }

    fn write_manifest(&self, manifest: &Manifest) -> io::Result<()> {
        let text = manifest::encode(manifest).map_err(io::Error::other)?;
        files::write_durably(&self.folder.join(MANIFEST), &[&text])?;
        if let Err(cause) = files::write_durably(&self.folder.join(MANIFEST_COPY), &[&text]) {
            // The change is durable; only the second copy is behind, and the newer one is read.
            tracing::warn!(%cause, folder = %self.folder.display(), "the copy of the store's manifest was not written");
        }
        Ok(())
    }

    /// Removes the files of a commit that failed: a full disk must not fill up further with every new attempt.
    fn discard(&self, staged: &[Staged]) {
        let on_disk = match fs::read(self.folder.join(MANIFEST)) {
            Ok(bytes) => manifest::decode(&bytes),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(Manifest::default()),
            Err(cause) => Err(cause.to_string()),
        };
        // When only the last fsync failed the new manifest is in place, and the next start may find it.
        let Ok(on_disk) = on_disk else { return };
        for Staged { key, file } in staged {
            if on_disk.models.get(key) != Some(file) {
                remove_file(&self.model_path(file));
            }
        }
    }

    fn remove_replaced(&self, old: &Manifest) {
        for (key, file) in &old.models {
            if self.manifest.models.get(key) != Some(file) {
                remove_file(&self.model_path(file));
            }
        }
    }

    /// Removes what a crash left: temporary files and model files that no manifest names.
    fn remove_left_overs(&self) {
        for name in [MANIFEST, MANIFEST_COPY] {
            remove_file(&self.folder.join(format!("{name}.{}", files::TEMPORARY)));
        }
        let wanted: HashSet<&String> = self.manifest.models.values().collect();
        for name in list(&self.folder.join(MODELS)).unwrap_or_default() {
            let is_ours = file_number(name.strip_suffix(".tmp").unwrap_or(&name)).is_some();
            if is_ours && !wanted.contains(&name) {
                remove_file(&self.model_path(&name));
            }
        }
    }
}

impl Manifest {
    fn last_file(&self) -> u64 {
        let numbers = self.models.values().filter_map(|file| file_number(file));
        numbers.max().unwrap_or(0)
    }
}

impl Damage {
    fn of(path: PathBuf, reason: String) -> Damage {
        let set_aside = files::set_aside(&path).ok();
        Damage {
            path,
            reason,
            set_aside,
        }
    }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let failed = |cause| Error::Io {
        action: "lock",
        path: path.clone(),
        cause,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

fn remove_file(path: &Path) {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%cause, path = %path.display(), "an old file of the store was not removed; the next start tries again");
        }
        _ => {}
    }
}

fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        // A name that is not UTF-8 is none of ours.
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

fn file_name(key: &ModelKey, number: u64) -> String {
    let mut hash = Sha256::new();
    hash.update((key.table_name.len() as u64).to_le_bytes());
    hash.update(&key.table_name);
    hash.update(&key.namespace);
    format!(
        "{}-{number:016x}{MODEL_SUFFIX}",
        manifest::hex(&hash.finalize()[..16])
    )
}

/// The number in a model file's name; `None`: not a model file.
fn file_number(name: &str) -> Option<u64> {
    let (hash, number) = name.strip_suffix(MODEL_SUFFIX)?.split_once('-')?;
    let is_hash = hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hash || number.len() != 16 {
        return None;
    }
    u64::from_str_radix(number, 16).ok()
}

fn cannot_store(key: &ModelKey, cause: &str) -> Fault {
    Fault::new(
        ReturnCode::SYSTEM,
        format!("model {} cannot be stored: {cause}", key.store_name()),
    )
}
