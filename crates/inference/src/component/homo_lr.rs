//! Homogeneous logistic regression: the guest's own weighted sum (contract 02 B4). Releases since 1.10 predict with torch
//! in single precision (homo_lr_client.py), so that their offline scores are those of here to about 1e-7.

use fate_domain::party::Role;

use super::{Context, Part, Source, alone, linear};
use crate::Refusal;

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    if context.role() == Role::Host {
        return Ok(alone::unasked("homogeneous logistic regression"));
    }
    let (model, kind) = linear::lr_guest(source, context)?;
    Ok(alone::guest(model, format!("homogeneous {kind}")))
}
