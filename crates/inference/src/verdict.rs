//! What a compiled pipeline does, for people: the load message, the log, `model inspect`, queryModel.

use fate_domain::party::Role;
use serde::Serialize;

use crate::Semantics;

/// What the plan makes of one component of the DSL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// Changes feature values.
    Transform,
    /// Gives the score.
    Model,
    /// Changes the score's form after the model.
    Output,
    /// Has no effect on a single row (Intersection, Evaluation, …), or is not on the way to the score.
    PassThrough,
}

/// One component of the pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// Name in the DSL, for example `hetero_lr_0`.
    pub name: String,
    /// Last segment of `CodePath`, for example `HeteroLRGuest`.
    pub class: String,
    /// What becomes of it.
    pub treatment: Treatment,
    /// One line of detail, for example `24 trees, 310 nodes of ours`.
    pub detail: String,
}

/// The verdict on a servable pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whose part this is.
    #[serde(serialize_with = "role_text")]
    pub role: Role,
    /// Kind of model, for example `binary logistic regression`.
    pub kind: String,
    /// `Pipeline.fate_version`, empty when the model does not tell.
    pub fate_version: String,
    /// Semantics this plan was compiled with.
    pub semantics: Semantics,
    /// Components in order of execution.
    pub components: Vec<ComponentReport>,
    /// Feature names that this party has to supply, sorted.
    pub features: Vec<String>,
    /// Whether a score takes the hosts' parts.
    pub needs_hosts: bool,
    /// Places where the two semantics differ for this model, one sentence each.
    pub differences: Vec<String>,
}

fn role_text<S: serde::Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(role)
}
