//! A host's features, from the source into a row of the plan.

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_features::{FeatureRow, FeatureSource};
use fate_inference::{Partial, Plan, Row};

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

/// What the host contributes for these features. A source that knows the id and has nothing to say of it gives a row of
/// missing values, which offline scores as well.
pub(super) fn partial(plan: &Plan, features: &FeatureRow) -> Result<Partial, Fault> {
    let mut row = plan.new_row();
    fill(plan, features, &mut row)?;
    plan.host_partial(&mut row)
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
