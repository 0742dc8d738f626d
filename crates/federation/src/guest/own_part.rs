//! The guest's own part of a row, watched when somebody wants to know what the row brought along.

use fate_domain::fault::Fault;
use fate_inference::{GuestLocal, Plan, Row};

use crate::watch::{Named, Told, Watch};

/// A row's outcome so far.
#[derive(Debug)]
pub(super) struct OwnPart {
    pub(super) local: Result<GuestLocal, Fault>,
    /// What the row brought along, if it was watched.
    pub(super) told: Option<Told>,
}

/// Computes the part from the text of the guest's features; code 131 if the row is watched and has too few of them.
/// `row` is one of the plan's and may hold another row.
pub(super) fn own_part<'a>(
    plan: &'a Plan,
    features: &'a str,
    row: &mut Row<'a>,
    watch: Option<&mut Watch<'_>>,
) -> OwnPart {
    let unwatched = |local| OwnPart { local, told: None };
    row.clear();
    if let Err(fault) = plan.read_json(features, row) {
        return unwatched(Err(fault));
    }
    let Some(watch) = watch else {
        return unwatched(plan.guest_local(row));
    };
    let local = plan.guest_local_watched(row, Some(&mut watch.coverage));
    let told = watch.told(Named::Json(features));
    OwnPart {
        local: watch.check(&told).and(local),
        told: Some(told),
    }
}
