//! `LocalBaseline`: a scikit-learn logistic regression of one party, in the buffers of a federated one (local_baseline.py).

use fate_domain::party::Role;

use super::{
    Context, Part, Source, alone,
    linear::{self, LinearGuest, Link, Logistic, Spread},
};
use crate::{Refusal, dsl::FateVersion};

/// The class that [`crate::compile`] serves only when there is no other model: it is trained beside one, to compare.
pub(crate) const CLASS: &str = "LocalBaseline";

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    if context.role() == Role::Host {
        return Ok(alone::unasked("local baseline"));
    }
    let Logistic {
        meta,
        sums,
        classes,
    } = linear::logistic(source, context)?;
    let (kind, link) = match classes {
        None => (
            "local baseline, binary logistic regression".to_owned(),
            Link::Sigmoid,
        ),
        Some(classes) => (
            format!(
                "local baseline, logistic regression of {} classes",
                classes.len()
            ),
            Link::Classes(classes, spread(context.version(), &meta.optimizer)),
        ),
    };
    let java = context.java();
    Ok(alone::guest(LinearGuest { sums, link, java }, kind))
}

/// `LogisticRegression.predict_proba` under scikit-learn's own default for `multi_class`, which the buffers do not keep:
/// `ovr` in 0.19 (FATE up to 1.6), `auto` in 0.24 and 1.0, where only liblinear is one-vs-rest.
fn spread(version: FateVersion, solver: &str) -> Spread {
    if version < FateVersion(1, 7, 0) || solver == "liblinear" {
        Spread::SharesOfSigmoids
    } else {
        Spread::Softmax
    }
}
