//! A host's features, from the source into a row of the plan.

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_features::{FeatureRow, FeatureSource};
use fate_inference::{Partial, Plan, Row};

use crate::watch::{Named, Told, Watch};

/// The configured source, or code 116.
pub(super) fn source(
    configured: Option<&Arc<dyn FeatureSource>>,
) -> Result<&Arc<dyn FeatureSource>, Fault> {
    configured.ok_or_else(|| Fault::new(ReturnCode::FEATURE_ADAPTOR, "adaptor not found"))
}

/// A guest learns the code; the cause, which may name files and addresses, stays in the host's log.
pub(super) fn hidden(source: &dyn FeatureSource, fault: &Fault) -> Fault {
    tracing::warn!(source = source.name(), code = fault.code.0, cause = %fault, "no features");
    Fault::new(fault.code, "adaptor return error")
}

/// A row's outcome.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) partial: Result<Partial, Fault>,
    /// What the row brought along, if it was watched.
    pub(super) told: Option<Told>,
}

impl Part {
    pub(super) fn failed(fault: Fault) -> Self {
        Part {
            partial: Err(fault),
            told: None,
        }
    }
}

/// What the host contributes for these features. A source that knows the id and has nothing to say of it gives a row of
/// missing values, which offline scores as well; code 131 if it is watched and has too few of them. `row` is one of the
/// plan's and may hold another row.
pub(super) fn part<'a>(
    plan: &'a Plan,
    features: &'a FeatureRow,
    row: &mut Row<'a>,
    watch: Option<&mut Watch<'_>>,
) -> Part {
    row.clear();
    if let Err(fault) = fill(plan, features, row) {
        return Part::failed(fault);
    }
    let Some(watch) = watch else {
        return Part {
            partial: plan.host_partial(row),
            told: None,
        };
    };
    let partial = plan.host_partial_watched(row, Some(&mut watch.coverage));
    let told = watch.told(named(features));
    Part {
        partial: watch.check(&told).and(partial),
        told: Some(told),
    }
}

fn named(features: &FeatureRow) -> Named<'_> {
    match features {
        FeatureRow::Numbers(numbers) => Named::Numbers(numbers),
        FeatureRow::Json(object) => Named::Json(object),
    }
}

fn fill<'a>(plan: &Plan, features: &'a FeatureRow, row: &mut Row<'a>) -> Result<(), Fault> {
    match features {
        FeatureRow::Numbers(numbers) => {
            for (name, value) in numbers.iter() {
                plan.set_number(name, *value, row);
            }
            Ok(())
        }
        FeatureRow::Json(object) => plan
            .read_json(object, row)
            .map_err(|fault| Fault::new(ReturnCode::FEATURE_ADAPTOR, fault.message)),
    }
}
