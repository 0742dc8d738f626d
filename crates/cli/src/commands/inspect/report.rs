//! Facts about one model, in the form of `--output json`.

use std::collections::BTreeMap;

use fate_domain::party::Role;
use fate_inference::{PIPELINE_KEY, Plan, Refusal, Semantics, Site, Treatment, Verdict, compile};
use fate_proto::buffer::Pipeline;
use serde::Serialize;
use serde_json::Value;

use super::sizes::{Size, size_of};
use crate::party_models::Opened;

/// One party's model. Fields that only a servable model has are empty when it is refused.
#[derive(Debug, Serialize)]
pub(super) struct ModelReport {
    pub(super) path: String,
    pub(super) role: Option<&'static str>,
    pub(super) party_id: Option<String>,
    /// Model version.
    pub(super) table_name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) hosts: Vec<String>,
    pub(super) fate_version: Option<String>,
    pub(super) buffers: usize,
    pub(super) bytes: usize,
    pub(super) verdict: Answer,
    /// The verdict with the other semantics.
    pub(super) otherwise: Answer,
    /// In order of execution; by name when the model is refused.
    pub(super) components: Vec<Component>,
    /// Names that this party's rows must have.
    pub(super) features: Vec<String>,
    /// Where the two semantics give this model different scores.
    pub(super) differences: Vec<String>,
}

/// Whether the model can be served.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) semantics: Semantics,
    pub(super) servable: bool,
    /// Of a servable model.
    pub(super) kind: Option<String>,
    /// Of a servable model: whether a score takes the hosts' parts.
    pub(super) needs_hosts: Option<bool>,
    /// What stands in the way of a refused one.
    pub(super) component: Option<String>,
    pub(super) reason: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Component {
    pub(super) name: String,
    /// Last segment of `CodePath`; none when the DSL has no such component or no `CodePath` for it.
    pub(super) class: Option<String>,
    /// None when the model is refused.
    pub(super) treatment: Option<Treatment>,
    pub(super) detail: Option<String>,
    pub(super) size: Option<Size>,
    pub(super) buffers: usize,
    pub(super) bytes: usize,
}

impl ModelReport {
    /// `semantics` is the user's wish; without one the record's own, or the default, counts.
    pub(super) fn new(model: Opened, semantics: Option<Semantics>) -> ModelReport {
        let semantics = semantics.or(model.semantics).unwrap_or_default();
        let other = semantics.other();
        let (role, compiled) = compile_as(&model, semantics);
        let (_, compiled_otherwise) = compile_as(&model, other);
        let verdict = compiled.as_ref().ok().map(Plan::verdict);
        let (table_name, namespace) = model
            .key
            .clone()
            .map(|key| (key.table_name, key.namespace))
            .unzip();
        ModelReport {
            path: model.path.display().to_string(),
            role: role.map(Role::as_str),
            party_id: model.party_id.clone(),
            table_name,
            namespace,
            hosts: model.hosts.clone(),
            fate_version: model
                .pipeline
                .as_ref()
                .map(|pipeline| pipeline.fate_version.clone())
                .filter(|version| !version.is_empty()),
            buffers: model.buffers.len(),
            bytes: model.buffers.values().map(|buffer| buffer.len()).sum(),
            verdict: Answer::new(semantics, &compiled),
            otherwise: Answer::new(other, &compiled_otherwise),
            components: components(&model, verdict),
            features: verdict
                .map(|verdict| verdict.features.clone())
                .unwrap_or_default(),
            differences: verdict
                .map(|verdict| verdict.differences.clone())
                .unwrap_or_default(),
        }
    }

    pub(super) fn is_servable(&self) -> bool {
        self.verdict.servable
    }
}

/// Compiles as the party it is of. Pipelines of old FATE-Flow versions do not tell: then as the role that fits.
fn compile_as(model: &Opened, semantics: Semantics) -> (Option<Role>, Result<Plan, Refusal>) {
    let as_role = |role: Role| {
        let site = Site {
            role,
            party_id: model.party_id.clone().unwrap_or_default(),
            hosts: if role == Role::Guest {
                model.hosts.clone()
            } else {
                Vec::new()
            },
        };
        compile(&model.buffers, &site, semantics)
    };
    if let Some(role) = model.role {
        return (Some(role), as_role(role));
    }
    match as_role(Role::Guest) {
        Ok(plan) => (Some(Role::Guest), Ok(plan)),
        Err(refusal) => match as_role(Role::Host) {
            Ok(plan) => (Some(Role::Host), Ok(plan)),
            Err(_) => (None, Err(refusal)),
        },
    }
}

impl Answer {
    fn new(semantics: Semantics, compiled: &Result<Plan, Refusal>) -> Answer {
        let verdict = compiled.as_ref().ok().map(Plan::verdict);
        let refusal = compiled.as_ref().err();
        Answer {
            semantics,
            servable: compiled.is_ok(),
            kind: verdict.map(|verdict| verdict.kind.clone()),
            needs_hosts: verdict.map(|verdict| verdict.needs_hosts),
            component: refusal.and_then(|refusal| refusal.component.clone()),
            reason: refusal.map(|refusal| refusal.reason.clone()),
        }
    }
}

/// Components of the plan, or of the DSL when there is no plan; then buffers that belong to none of them.
fn components(model: &Opened, verdict: Option<&Verdict>) -> Vec<Component> {
    let mut components: Vec<Component> = match verdict {
        Some(verdict) => verdict
            .components
            .iter()
            .map(|report| Component {
                treatment: Some(report.treatment),
                detail: (!report.detail.is_empty()).then(|| report.detail.clone()),
                ..Component::new(model, &report.name, Some(report.class.clone()))
            })
            .collect(),
        None => dsl_classes(model.pipeline.as_ref())
            .into_iter()
            .map(|(name, class)| Component::new(model, &name, class))
            .collect(),
    };
    let pipeline = component_of(PIPELINE_KEY);
    for name in model.buffers.keys().map(|key| component_of(key)) {
        if name != pipeline && !components.iter().any(|component| component.name == name) {
            components.push(Component::new(model, name, None));
        }
    }
    components
}

impl Component {
    fn new(model: &Opened, name: &str, class: Option<String>) -> Component {
        let own = || {
            model
                .buffers
                .iter()
                .filter(|(key, _)| component_of(key) == name)
        };
        Component {
            name: name.to_owned(),
            treatment: None,
            detail: None,
            size: class.as_deref().and_then(|class| size_of(class, own())),
            buffers: own().count(),
            bytes: own().map(|(_, buffer)| buffer.len()).sum(),
            class,
        }
    }
}

/// `<component>.<alias>:<Name>`
fn component_of(key: &str) -> &str {
    key.split_once('.').map_or(key, |(component, _)| component)
}

/// As far as the DSL can be read: it may be the reason for the refusal.
fn dsl_classes(pipeline: Option<&Pipeline>) -> BTreeMap<String, Option<String>> {
    let dsl: Option<Value> =
        pipeline.and_then(|pipeline| serde_json::from_slice(&pipeline.inference_dsl).ok());
    let components = dsl
        .as_ref()
        .and_then(|dsl| dsl.get("components")?.as_object());
    let class = |body: &Value| {
        let path = body.get("CodePath")?.as_str()?;
        Some(path.rsplit('/').next().unwrap_or(path).to_owned())
    };
    components
        .into_iter()
        .flatten()
        .map(|(name, body)| (name.clone(), class(body)))
        .collect()
}
