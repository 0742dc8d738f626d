//! Homogeneous logistic regression: the guest's own weighted sum (contract 02 B4).
//!
//! Releases since 1.10 predict with torch in single precision (homo_lr_client.py). In which order, and with how many
//! roundings, it adds depends on the processor and on how many rows a job scores at once, so that no digit behind
//! the seventh is repeatable: offline scores lie around those of here, which are what all those orders approach.

use fate_domain::party::Role;

use super::{Context, Part, Source, alone, linear};
use crate::{Refusal, dsl::FateVersion};

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    if context.role() == Role::Host {
        return Ok(alone::unasked("homogeneous logistic regression"));
    }
    let (model, kind) = linear::lr_guest(source, context)?;
    let single_precision = context.version() >= FateVersion(1, 10, 0);
    let precision = if single_precision {
        " (offline in single precision: equal to about 1e-7 of its largest term)"
    } else {
        ""
    };
    Ok(alone::guest(
        model,
        format!("homogeneous {kind}{precision}"),
    ))
}
