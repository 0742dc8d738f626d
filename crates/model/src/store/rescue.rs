//! Both copies of the manifest are lost: what the model files themselves can tell. Bindings cannot be recovered.

use std::collections::BTreeMap;

use bytes::Bytes;
use fate_domain::model_key::ModelKey;

use super::manifest::Manifest;
use super::{Damage, Store, file_number, record};

/// A manifest of every readable model file, the newest for each model; unreadable ones are set aside.
pub(super) fn from_model_files(
    store: &Store,
    names: &[String],
    damages: &mut Vec<Damage>,
) -> Manifest {
    let mut newest: BTreeMap<ModelKey, (u64, String)> = BTreeMap::new();
    for name in names {
        let Some(number) = file_number(name) else {
            continue;
        };
        let path = store.model_path(name);
        let decoded = super::files::read(&path)
            .map_err(|cause| cause.to_string())
            .and_then(|bytes| record::decode(&Bytes::from(bytes)));
        match decoded {
            Ok(model) => {
                let key = model.description.key;
                if newest.get(&key).is_none_or(|(known, _)| *known < number) {
                    newest.insert(key, (number, name.clone()));
                }
            }
            Err(reason) => damages.push(Damage::of(path, reason)),
        }
    }
    Manifest {
        generation: 0,
        models: newest
            .into_iter()
            .map(|(key, (_, file))| (key, file))
            .collect(),
        bindings: BTreeMap::new(),
    }
}
