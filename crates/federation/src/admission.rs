//! Limits on calls, as the federation sees them.

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_model::{InUse, LoadedModel};

/// Says whether a resource (`I_…` an interface, `M_…` a model; contract 01 §1.4) may be used once more now.
pub trait Admission: Send + Sync + std::fmt::Debug {
    /// Takes `times` from the resource's rate, or refuses. A refusal is counted by the implementation.
    fn pass(&self, resource: &str, times: u32) -> bool;
}

/// Code 124 for a call over an interface's limit.
pub(crate) fn check_interface(
    admission: &dyn Admission,
    resource: &str,
    service: &str,
) -> Result<(), Fault> {
    if admission.pass(resource, 1) {
        return Ok(());
    }
    Err(over_load(format!("service name: {service}")))
}

/// The model for one more call; code 124 when it has as many as it may have.
pub(crate) fn enter_model(model: &Arc<LoadedModel>, limit: Option<usize>) -> Result<InUse, Fault> {
    model
        .enter(limit.unwrap_or(usize::MAX))
        .ok_or_else(|| over_load(format!("model resource: {}", model.resource)))
}

/// Code 124 for rows over a model's limit.
pub(crate) fn check_model(
    admission: &dyn Admission,
    model: &LoadedModel,
    rows: usize,
) -> Result<(), Fault> {
    let resource = &model.resource;
    if admission.pass(resource, u32::try_from(rows).unwrap_or(u32::MAX)) {
        return Ok(());
    }
    Err(over_load(format!("model resource: {resource}")))
}

fn over_load(what: String) -> Fault {
    Fault::new(
        ReturnCode::OVERLOAD,
        format!("request was block by over load, {what}"),
    )
}
