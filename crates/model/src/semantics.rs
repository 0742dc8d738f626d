//! Another semantics for a model that is loaded already: its stored buffers are compiled anew, its record is written
//! anew, and the manifest's rename makes the change, as for a load. Before that point nothing has changed, after it
//! everything has, also through `kill -9`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use fate_inference::Semantics;

use crate::error::Error;
use crate::java_store;
use crate::lifecycle::{Models, compile_model, refused};
use crate::published::LoadedModel;
use crate::store::Store;

/// What a change of semantics did.
#[derive(Debug, Clone)]
pub struct SemanticsChange {
    /// What the model had before; equal to `model.semantics` when there was nothing to do.
    pub before: Semantics,
    /// The model as it is stored now.
    pub model: Arc<LoadedModel>,
}

/// Why the semantics in a store was not changed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no store, or it cannot be opened; a running server holds its own.
    #[error(transparent)]
    Store(#[from] Error),
    /// 104 no such model, 123 the semantics cannot serve it, 110 the disk.
    #[error(transparent)]
    Model(#[from] Fault),
}

impl fmt::Display for SemanticsChange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.before, self.model.semantics);
        let name = self.model.key.store_name();
        if before == after {
            write!(out, "model {name} has semantics {after} already")
        } else {
            write!(out, "model {name}: semantics {before} -> {after}")
        }
    }
}

impl Models {
    /// Gives a model of this node another semantics; requests see the old model or the new one, never a mixture.
    ///
    /// # Errors
    /// 104 the model is not loaded; 123 it cannot be served with that semantics; 110 the disk; 124 too many loads.
    pub async fn set_semantics(
        &self,
        key: &ModelKey,
        semantics: Semantics,
    ) -> Result<SemanticsChange, Fault> {
        let key = key.clone();
        let _permit = self.turn_to_load().await?;
        let change = self
            .change(move |store, table| {
                let change = rewrite(store, &key, semantics)?;
                // Also when nothing was written: a model that a start could not restore may compile now.
                table.insert(key, Arc::clone(&change.model));
                Ok(change)
            })
            .await?;
        tracing::info!("{change}");
        Ok(change)
    }
}

/// The same in a store that no server holds: `<cache_path>/.fate/serving`. Blocks.
///
/// # Errors
/// [`Error::InUse`] when a server holds the store: ask that server, or stop it.
pub fn set_stored_semantics(
    cache_path: &Path,
    key: &ModelKey,
    semantics: Semantics,
) -> Result<SemanticsChange, ChangeError> {
    let fate_folder = cache_path.join(".fate");
    if !Store::exists(&fate_folder) {
        return Err(Error::NoStore {
            path: fate_folder.clone(),
            is_java: java_store::exists(&fate_folder),
        }
        .into());
    }
    let (mut store, opened) = Store::open(&fate_folder)?;
    for damage in opened.damages {
        tracing::warn!(path = %damage.path.display(), "a damaged file of the store: {}", damage.reason);
    }
    Ok(rewrite(&mut store, key, semantics)?)
}

fn rewrite(
    store: &mut Store,
    key: &ModelKey,
    semantics: Semantics,
) -> Result<SemanticsChange, Fault> {
    let mut stored = match store.read(key) {
        Some(Ok(stored)) => stored,
        Some(Err(cause)) => return Err(Fault::new(ReturnCode::SYSTEM, cause)),
        None => {
            let text = format!("model {} is not exist ", key.store_name());
            return Err(Fault::new(ReturnCode::MODEL_NULL, text));
        }
    };
    let before = std::mem::replace(&mut stored.description.semantics, semantics);
    let plan = compile_model(&stored.buffers, &stored.description)
        .map_err(|refusal| refused(key, &refusal))?;
    if before != semantics {
        let staged = store.stage(&stored)?;
        store.commit(vec![staged], |_| {})?;
    }
    Ok(SemanticsChange {
        before,
        model: Arc::new(LoadedModel::new(stored.description, plan, None)),
    })
}
