//! The table that requests read: models, bindings, and for 1.x guests the index by guest model.

use std::collections::HashMap;
use std::sync::Arc;

use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_inference::{Plan, Semantics};

use crate::in_use::Users;

/// A model of the other side, as the load request names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    pub party_id: String,
    pub role: Role,
    pub key: ModelKey,
}

/// One servable model. Immutable but for the count of its calls: a re-load publishes another one.
#[derive(Debug)]
pub struct LoadedModel {
    pub key: ModelKey,
    /// The key's name among the resources of counters and flow rules; made once, every call needs it.
    pub resource: String,
    pub role: Role,
    /// The local party.
    pub party_id: String,
    /// The parties of the other role: a guest's hosts, a host's guests.
    pub remotes: Vec<Remote>,
    /// Milliseconds since 1970.
    pub loaded_at_ms: i64,
    /// `host:port` of the transfer endpoint, for loads of type FATEFLOW (contract 01 §3.3 step 4).
    pub resource_address: Option<String>,
    pub semantics: Semantics,
    pub plan: Arc<Plan>,
    /// What the operator should know about this load, e.g. that a stored copy was used because the transfer failed.
    pub note: Option<String>,
    pub(crate) users: Users,
}

/// Features that a summary names; all of them are in queryModel's content.
const NAMED_FEATURES: usize = 8;

impl LoadedModel {
    /// The verdict in one line, for the answer to a load and the log: its own words, then what this party must supply,
    /// and where the other semantics would score differently.
    pub fn summary(&self) -> String {
        let verdict = self.plan.verdict();
        let mut text = verdict.to_string();
        let (named, others) = verdict
            .features
            .split_at(verdict.features.len().min(NAMED_FEATURES));
        if !named.is_empty() {
            text.push_str(&format!("; features {}", named.join(", ")));
        }
        if !others.is_empty() {
            text.push_str(&format!(" and {} more", others.len()));
        }
        let other = self.semantics.other();
        for difference in &verdict.differences {
            text.push_str(&format!("; {other} would differ: {difference}"));
        }
        if let Some(note) = &self.note {
            text.push_str(&format!("; {note}"));
        }
        text
    }
}

/// What a service id leads to.
#[derive(Debug, Clone)]
pub enum Binding {
    NotBound,
    /// Bound, but the model is not published.
    ModelGone(ModelKey),
    Model(Arc<LoadedModel>),
}

/// One snapshot of everything a request may see.
#[derive(Debug, Default)]
pub struct Published {
    models: HashMap<ModelKey, Arc<LoadedModel>>,
    bindings: HashMap<String, ModelKey>,
    partners: HashMap<ModelKey, Arc<LoadedModel>>,
    generation: u64,
}

impl Published {
    /// Builds a snapshot. Bindings to models that are not published are left out. The partner index is derived: every
    /// host model is found by each of its guests' keys, the one loaded last wins.
    pub(crate) fn new(
        models: HashMap<ModelKey, Arc<LoadedModel>>,
        bindings: impl Iterator<Item = (String, ModelKey)>,
        generation: u64,
    ) -> Self {
        let bindings = bindings
            .filter(|(_, key)| models.contains_key(key))
            .collect();
        let mut hosts: Vec<&Arc<LoadedModel>> = models
            .values()
            .filter(|model| model.role == Role::Host)
            .collect();
        hosts.sort_by(|a, b| (a.loaded_at_ms, &a.key).cmp(&(b.loaded_at_ms, &b.key)));
        let mut partners = HashMap::new();
        for host in hosts {
            for remote in &host.remotes {
                partners.insert(remote.key.clone(), Arc::clone(host));
            }
        }
        Published {
            models,
            bindings,
            partners,
            generation,
        }
    }

    /// The model a service id is bound to.
    pub fn bound(&self, service_id: &str) -> Binding {
        match self.bindings.get(service_id) {
            None => Binding::NotBound,
            Some(key) => match self.models.get(key) {
                Some(model) => Binding::Model(Arc::clone(model)),
                None => Binding::ModelGone(key.clone()),
            },
        }
    }

    /// The model published under this key.
    pub fn model(&self, key: &ModelKey) -> Option<&Arc<LoadedModel>> {
        self.models.get(key)
    }

    /// For guests before 2.0, which name their own model: the host model that belongs to it (contract 01 §1.5).
    pub fn partner(&self, guest_key: &ModelKey) -> Option<&Arc<LoadedModel>> {
        self.partners.get(guest_key)
    }

    /// All models, in no particular order.
    pub fn models(&self) -> impl Iterator<Item = &Arc<LoadedModel>> {
        self.models.values()
    }

    /// The service ids bound to this model, sorted.
    pub fn service_ids(&self, key: &ModelKey) -> Vec<String> {
        let mut ids: Vec<String> = self
            .bindings
            .iter()
            .filter(|(_, bound)| *bound == key)
            .map(|(id, _)| id.clone())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// All bindings, in no particular order.
    pub fn bindings(&self) -> impl Iterator<Item = (&str, &ModelKey)> {
        self.bindings.iter().map(|(id, key)| (id.as_str(), key))
    }

    /// Counts the changes since start; [`crate::Models::subscribe`] announces it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn model_table(&self) -> &HashMap<ModelKey, Arc<LoadedModel>> {
        &self.models
    }
}
