//! Why a model is not loaded.

use fate_domain::{fault::Fault, return_code::ReturnCode};

/// A pipeline that cannot be served, with the component that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Refusal {
    /// Component name and class, for example `hetero_nn_0 (HeteroNNGuest)`; none when the pipeline itself is broken.
    pub component: Option<String>,
    /// What is wrong, and what would help.
    pub reason: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.component {
            Some(component) => write!(f, "component {component}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl Refusal {
    /// A refusal of the pipeline as a whole.
    pub(crate) fn pipeline(reason: impl Into<String>) -> Self {
        Refusal {
            component: None,
            reason: reason.into(),
        }
    }

    /// A refusal because of one component.
    pub(crate) fn component(component: impl Into<String>, reason: impl Into<String>) -> Self {
        Refusal {
            component: Some(component.into()),
            reason: reason.into(),
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault::new(ReturnCode::MODEL_INIT, refusal.to_string())
    }
}
