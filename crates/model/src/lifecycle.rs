//! Load, bind, unload, unbind, export, import (contract 01 §3.3 to §3.8). Fetching and compiling run off the async
//! threads and for several models at once; changes are made one at a time, on the disk first, then in the table.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, Guard};
use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_domain::return_code::ReturnCode;
use fate_inference::{Buffers, Plan, Refusal, Semantics, Site};
use fate_proto::model::PublishRequest;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit, watch};

use crate::error::Error;
use crate::export::{self, Export, Imported};
use crate::flight::{Flights, LoadResult};
use crate::identity;
use crate::load_times::{LoadTimes, Way};
use crate::published::{LoadedModel, Published};
use crate::request::{self, LoadTarget};
use crate::restore::{self, ModelTable, RestoreReport};
use crate::settings::Settings;
use crate::source::url_policy::UrlPolicy;
use crate::source::{FetchError, Source, no_data};
use crate::store::{Description, Manifest, Store, StoredModel};

/// Loads that fetch and compile at the same time: each may hold a whole model twice.
const CONCURRENT_LOADS: usize = 4;

/// FATE-Flow asks again after 30 s.
const MAX_WAIT: Duration = Duration::from_secs(25);

/// The models of this node. Cloning gives another handle to the same models.
#[derive(Debug, Clone)]
pub struct Models {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    policy: UrlPolicy,
    published: ArcSwap<Published>,
    /// Whoever holds it is the one writer, of the disk and of `published`.
    store: Arc<Mutex<Store>>,
    generation: watch::Sender<u64>,
    flights: Flights,
    loading: Semaphore,
    load_times: LoadTimes,
}

impl Models {
    /// Opens the store and restores every model in it before it returns; takes over a Java node's `.fate` folder when
    /// there is no store yet. Models that cannot be restored are named in the report and kept on disk.
    pub async fn open(settings: Settings) -> Result<(Models, RestoreReport), Error> {
        let policy = UrlPolicy::new(&settings.transfer_allow)?;
        let for_restore = settings.clone();
        let restored = tokio::task::spawn_blocking(move || {
            let times = LoadTimes::default();
            let restored = restore::restore(&for_restore, &times)?;
            Ok::<_, Error>((restored, times))
        });
        let restored = restored.await;
        let ((store, table, report), load_times) =
            restored.map_err(|cause| Error::Aborted(cause.to_string()))??;
        let published = Published::new(table, bindings_of(&store), 0);
        let inner = Inner {
            settings,
            policy,
            published: ArcSwap::from_pointee(published),
            store: Arc::new(Mutex::new(store)),
            generation: watch::Sender::new(0),
            flights: Flights::default(),
            loading: Semaphore::new(CONCURRENT_LOADS),
            load_times,
        };
        Ok((
            Models {
                inner: Arc::new(inner),
            },
            report,
        ))
    }

    /// The current snapshot; it stays valid and unchanged as long as it is held.
    pub fn snapshot(&self) -> Guard<Arc<Published>> {
        self.inner.published.load()
    }

    /// How long the models took that came since this was last asked.
    pub fn take_load_times(&self) -> Vec<(Way, Duration)> {
        self.inner.load_times.take()
    }

    /// Announces [`Published::generation`] after every change.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.inner.generation.subscribe()
    }

    /// publishLoad (contract 01 §3.3): fetches, compiles, stores, publishes; replaces a model of the same key whole. A
    /// repetition of a running load shares its result. When the transfer fails and a stored copy of the model compiles,
    /// that copy is published and [`LoadedModel::note`] says so.
    ///
    /// Faults: 110 request incomplete, name refused or disk error; 123 no buffers, or a pipeline that cannot be
    /// served; 104 file missing; 124 too many loads.
    pub async fn load(&self, request: &PublishRequest) -> Result<Arc<LoadedModel>, Fault> {
        self.load_knowing(request, &[]).await
    }

    /// The same where a registry knows FATE-Flow's transfer addresses (decoded): one of them is asked when the request
    /// names none, before `model.transfer.url` (contract 03 §6.2).
    ///
    /// Faults: as [`Models::load`].
    pub async fn load_knowing(
        &self,
        request: &PublishRequest,
        transfer_addresses: &[String],
    ) -> Result<Arc<LoadedModel>, Fault> {
        let target = request::load_target(request)?;
        let source = Source::choose(
            request,
            &target.key,
            transfer_addresses,
            &self.inner.settings,
            &self.inner.policy,
        )?;
        let key = target.key.clone();
        let resource_address = if request.load_type == "FATEFLOW" {
            source.address()
        } else {
            None
        };
        let models = self.clone();
        let work = async move { models.load_now(target, source, resource_address).await };
        let is_published = |model: &Arc<LoadedModel>| {
            let published = self.snapshot();
            published
                .model(&key)
                .is_some_and(|one| Arc::ptr_eq(one, model))
        };
        let flights = &self.inner.flights;
        let result = flights.run(&key, request, is_published, work).await;
        match &result {
            Ok(model) => {
                tracing::info!(model = key.store_name(), role = %model.role, "model loaded: {}", model.summary())
            }
            Err(fault) => tracing::warn!(
                model = key.store_name(),
                code = fault.code.0,
                "model not loaded: {fault}"
            ),
        }
        result
    }

    /// publishBind and publishOnline (contract 01 §3.4): the service id leads to the model from now on.
    ///
    /// Faults: 110 bad service id, or the model is a host's; 104 the model is not loaded.
    pub async fn bind(&self, request: &PublishRequest) -> Result<(), Fault> {
        let (service_id, key) = request::bind_target(request)?;
        self.change(move |store, table| {
            let Some(model) = table.get(&key) else {
                let text = format!("model {} is not exist ", key.store_name());
                return Err(Fault::new(ReturnCode::MODEL_NULL, text));
            };
            if model.role != Role::Guest {
                return Err(Fault::new(
                    ReturnCode::SYSTEM,
                    "service id can only be bound to a guest model",
                ));
            }
            store.commit(Vec::new(), |manifest| {
                manifest.bindings.insert(service_id.clone(), key.clone());
            })?;
            tracing::info!(service_id, model = key.store_name(), "service id bound");
            Ok(())
        })
        .await
    }

    /// unload (contract 01 §3.6): removes the model, its bindings and its stored copy. A model that could not be
    /// restored can be unloaded, too.
    pub async fn unload(&self, key: &ModelKey) -> Result<(), Fault> {
        let key = key.clone();
        self.change(move |store, table| {
            let manifest = store.manifest();
            let known = manifest.models.contains_key(&key)
                || manifest.bindings.values().any(|bound| *bound == key);
            if !known {
                let text = " found model info, please check if the model is already loaded.";
                return Err(Fault::new(ReturnCode::MODEL_NULL, text));
            }
            store.commit(Vec::new(), |manifest| {
                manifest.models.remove(&key);
                manifest.bindings.retain(|_, bound| *bound != key);
            })?;
            table.remove(&key);
            tracing::info!(model = key.store_name(), "model unloaded");
            Ok(())
        })
        .await
    }

    /// unbind (contract 01 §3.6): all service ids must be bound to this model, else nothing is changed.
    pub async fn unbind(&self, key: &ModelKey, service_ids: &[String]) -> Result<(), Fault> {
        if service_ids
            .iter()
            .all(|service_id| service_id.trim().is_empty())
        {
            return Err(Fault::new(ReturnCode::SYSTEM, "param service id is blank"));
        }
        let key = key.clone();
        let service_ids = service_ids.to_vec();
        self.change(move |store, table| {
            let manifest = store.manifest();
            if !manifest.models.contains_key(&key) && !table.contains_key(&key) {
                let text = "not found model info, please check if the model is already loaded.";
                return Err(Fault::new(ReturnCode::MODEL_NULL, text));
            }
            if service_ids
                .iter()
                .any(|service_id| manifest.bindings.get(service_id) != Some(&key))
            {
                return Err(Fault::new(
                    ReturnCode::MODEL_NULL,
                    "unbind request info is error",
                ));
            }
            store.commit(Vec::new(), |manifest| {
                manifest
                    .bindings
                    .retain(|service_id, _| !service_ids.contains(service_id));
            })?;
            tracing::info!(
                ?service_ids,
                model = key.store_name(),
                "service ids unbound"
            );
            Ok(())
        })
        .await
    }

    /// The source's half of fetchModel (contract 01 §3.8). Whether synchronisation is allowed is the server's affair.
    pub async fn export(&self, key: &ModelKey) -> Result<Export, Fault> {
        let service_ids = self.snapshot().service_ids(key);
        let stored = self.read_stored(key, "model is not exist").await;
        let stored = stored.map_err(|fault| match fault.code {
            ReturnCode::MODEL_NULL => fault,
            _ => Fault::new(
                ReturnCode::MODEL_NULL,
                format!("model cache data is null: {fault}"),
            ),
        })?;
        blocking(move || export::export(&stored, service_ids)).await
    }

    /// The target's half of fetchModel: compiles, stores and publishes what a source exported, with its load time and its
    /// service ids. Either all of it happens or nothing.
    pub async fn import(
        &self,
        key: &ModelKey,
        model_json: &[u8],
        cache: &[u8],
    ) -> Result<(), Fault> {
        let started = Instant::now();
        let (key, model_json, cache) = (key.clone(), model_json.to_vec(), cache.to_vec());
        let (semantics, max_bytes) = (
            self.inner.settings.default_semantics,
            self.inner.settings.max_model_bytes,
        );
        let _permit = self.turn_to_load().await?;
        let (imported, plan) = blocking(move || {
            let imported = export::import(&key, &model_json, &cache, semantics, max_bytes)?;
            let plan = compile_model(&imported.model.buffers, &imported.model.description)
                .map_err(|refusal| refused(&imported.model.description.key, &refusal))?;
            Ok((imported, plan))
        })
        .await?;
        let Imported { model, service_ids } = imported;
        let bound = if model.description.role == Role::Guest {
            service_ids
        } else {
            Vec::new()
        };
        self.publish(model, plan, bound, None).await?;
        self.inner.load_times.note(Way::Copy, started.elapsed());
        Ok(())
    }

    /// The stored buffers of a model, e.g. for queryModel's component parameters.
    pub async fn buffers(&self, key: &ModelKey) -> Result<Buffers, Fault> {
        Ok(self.read_stored(key, "model is not exist").await?.buffers)
    }

    /// Waits until fewer than [`CONCURRENT_LOADS`] models are being fetched and compiled, but not longer than a caller
    /// would: code 124.
    pub(crate) async fn turn_to_load(&self) -> Result<SemaphorePermit<'_>, Fault> {
        match tokio::time::timeout(MAX_WAIT, self.inner.loading.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(broken_off("the node is stopping")),
            Err(_) => Err(Fault::new(
                ReturnCode::OVERLOAD,
                "other models are being loaded; try again later",
            )),
        }
    }

    async fn load_now(
        &self,
        target: LoadTarget,
        source: Source,
        resource_address: Option<String>,
    ) -> LoadResult {
        let _permit = self.turn_to_load().await?;
        let started = Instant::now();
        let fetched = source.fetch(&target.key, &self.inner.settings).await;
        let (buffers, semantics, note) = match fetched {
            Ok(buffers) => (buffers, self.inner.settings.default_semantics, None),
            Err(FetchError::Fault(fault)) => return Err(fault),
            Err(FetchError::Transfer(cause)) => self.stored_copy(&target.key, &cause).await?,
        };
        let description = Description {
            key: target.key,
            role: target.role,
            party_id: target.party_id,
            remotes: target.remotes,
            loaded_at_ms: now_ms(),
            resource_address,
            semantics,
        };
        let doubt = identity::doubt(&buffers, &description);
        if let Some(doubt) = &doubt {
            tracing::warn!(
                model = description.key.store_name(),
                "{doubt}: are they the right ones?"
            );
        }
        let is_alone = target.is_alone;
        let (model, plan) = blocking(move || {
            let plan = compile_model(&buffers, &description).map_err(|refusal| match &note {
                Some(note) => no_data(&format!("{note}, but it cannot be served: {refusal}")),
                None if is_alone => request::names_no_host(&refusal),
                None => refused(&description.key, &refusal),
            })?;
            Ok((
                StoredModel {
                    description,
                    buffers,
                },
                (plan, note),
            ))
        })
        .await?;
        let (plan, note) = plan;
        let notes: Vec<String> = note.into_iter().chain(doubt).collect();
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        let published = self.publish(model, plan, Vec::new(), note).await?;
        self.inner.load_times.note(Way::Load, started.elapsed());
        Ok(published)
    }

    /// What stands in for a failed transfer: the copy in the store, with the semantics it is stored with (contract 01
    /// §3.3 step 6; Java says nothing about it).
    async fn stored_copy(
        &self,
        key: &ModelKey,
        cause: &str,
    ) -> Result<(Buffers, Semantics, Option<String>), Fault> {
        match self.read_stored(key, "").await {
            Ok(stored) => {
                let note =
                    format!("the transfer failed ({cause}); the stored copy of the model is used");
                tracing::warn!(model = key.store_name(), "{note}");
                Ok((stored.buffers, stored.description.semantics, Some(note)))
            }
            Err(fault) if fault.code == ReturnCode::MODEL_NULL => Err(no_data(cause)),
            Err(fault) => Err(no_data(&format!(
                "{cause}; the stored copy cannot be read: {fault}"
            ))),
        }
    }

    async fn publish(
        &self,
        model: StoredModel,
        plan: Plan,
        service_ids: Vec<String>,
        note: Option<String>,
    ) -> LoadResult {
        self.change(move |store, table| {
            refuse_loss_of_role(store, &model.description)?;
            let staged = store.stage(&model)?;
            let key = model.description.key.clone();
            store.commit(vec![staged], |manifest: &mut Manifest| {
                manifest.bindings.extend(
                    service_ids
                        .into_iter()
                        .map(|service_id| (service_id, key.clone())),
                );
            })?;
            let loaded = Arc::new(LoadedModel::new(model.description, plan, note));
            table.insert(loaded.key.clone(), Arc::clone(&loaded));
            Ok(loaded)
        })
        .await
    }

    async fn read_stored(
        &self,
        key: &ModelKey,
        missing: &'static str,
    ) -> Result<StoredModel, Fault> {
        let key = key.clone();
        let store = Arc::clone(&self.inner.store).lock_owned().await;
        blocking(move || match store.read(&key) {
            Some(Ok(stored)) => Ok(stored),
            Some(Err(cause)) => Err(Fault::new(ReturnCode::SYSTEM, cause)),
            None => Err(Fault::new(ReturnCode::MODEL_NULL, missing)),
        })
        .await
    }

    /// Makes one change as the only writer: `work` commits it to the store and edits the table, which is then published
    /// whole. It runs to its end even if the caller goes away.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store, &mut ModelTable) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let mut store = Arc::clone(&self.inner.store).lock_owned().await;
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let current = inner.published.load_full();
            let mut table = current.model_table().clone();
            let result = work(&mut store, &mut table)?;
            let generation = current.generation() + 1;
            inner.published.store(Arc::new(Published::new(
                table,
                bindings_of(&store),
                generation,
            )));
            inner.generation.send_replace(generation);
            Ok(result)
        })
        .await
    }
}

impl LoadedModel {
    pub(crate) fn new(description: Description, plan: Plan, note: Option<String>) -> Self {
        LoadedModel {
            resource: description.key.resource_name(),
            key: description.key,
            role: description.role,
            party_id: description.party_id,
            remotes: description.remotes,
            loaded_at_ms: description.loaded_at_ms,
            resource_address: description.resource_address,
            semantics: description.semantics,
            plan: Arc::new(plan),
            note,
            users: Default::default(),
        }
    }
}

/// Compiles one party's buffers for the place the model is to have in the federation.
pub(crate) fn compile_model(buffers: &Buffers, description: &Description) -> Result<Plan, Refusal> {
    let hosts = match description.role {
        Role::Guest => description
            .remotes
            .iter()
            .map(|remote| remote.party_id.clone())
            .collect(),
        _ => Vec::new(),
    };
    let site = Site {
        role: description.role,
        party_id: description.party_id.clone(),
        hosts,
    };
    fate_inference::compile(buffers, &site, description.semantics)
}

pub(crate) fn refused(key: &ModelKey, refusal: &Refusal) -> Fault {
    let text = format!(
        "model initialization error: model {} cannot be served: {refusal}",
        key.store_name()
    );
    Fault::new(ReturnCode::MODEL_INIT, text)
}

/// A service id leads to a guest's model: a host's part must not take the place of one that is bound.
fn refuse_loss_of_role(store: &Store, next: &Description) -> Result<(), Fault> {
    let bound = store.manifest().bindings.iter();
    let mut ids = bound.filter(|(_, key)| **key == next.key).map(|(id, _)| id);
    match ids.next() {
        Some(service_id) if next.role != Role::Guest => Err(Fault::new(
            ReturnCode::SYSTEM,
            format!("service id {service_id} is bound to this model as a guest's; unbind it first"),
        )),
        _ => Ok(()),
    }
}

/// Bindings whose model could not be restored stay in the store, but lead nowhere.
fn bindings_of(store: &Store) -> impl Iterator<Item = (String, ModelKey)> {
    store
        .manifest()
        .bindings
        .iter()
        .map(|(service_id, key)| (service_id.clone(), key.clone()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|cause| Err(broken_off(&cause.to_string())))
}

fn broken_off(cause: &str) -> Fault {
    Fault::new(
        ReturnCode::SYSTEM,
        format!("the change was broken off: {cause}"),
    )
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
