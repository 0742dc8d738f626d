//! What a compiled pipeline does, for people: the load message, the log, `model inspect`, queryModel.

use std::fmt;

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

/// One line `servable: binary logistic regression, guest with its hosts, 12 features, FATE
/// 1.11.4, semantics fate (java would differ in 2 places)`. What must be supplied is in [`Verdict::features`].
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = if self.needs_hosts {
            " with its hosts"
        } else {
            ""
        };
        let features = counted(self.features.len(), "feature");
        write!(
            f,
            "servable: {}, {}{hosts}, {features}",
            self.kind, self.role
        )?;
        if !self.fate_version.is_empty() {
            write!(f, ", FATE {}", self.fate_version)?;
        }
        write!(f, ", semantics {}", self.semantics)?;
        match self.differences.len() {
            0 => Ok(()),
            places => write!(
                f,
                " ({} would differ in {})",
                self.semantics.other(),
                counted(places, "place")
            ),
        }
    }
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn role_text<S: serde::Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(role)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_one_line() {
        let mut verdict = Verdict {
            role: Role::Guest,
            kind: "binary logistic regression".to_owned(),
            fate_version: "1.11.4".to_owned(),
            semantics: Semantics::Fate,
            components: Vec::new(),
            features: vec!["年龄".to_owned(), "x".to_owned()],
            needs_hosts: true,
            differences: vec!["here".to_owned()],
        };
        assert_eq!(
            verdict.to_string(),
            "servable: binary logistic regression, guest with its hosts, 2 features, FATE 1.11.4, semantics fate \
             (java would differ in 1 place)"
        );
        verdict.differences.clear();
        verdict.needs_hosts = false;
        verdict.fate_version.clear();
        assert_eq!(
            verdict.to_string(),
            "servable: binary logistic regression, guest, 2 features, semantics fate"
        );
    }
}
