//! The policy `min.feature.hit.rate`: a row of which too few features are there is refused with code 131 instead of
//! being scored.

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_inference::Figures;

use crate::claim::Claim;

/// Judges a row by what is known of a party's part of it; no `min` lets everything pass.
///
/// # Errors
/// Code 131, with the party and its rate.
pub(crate) fn check(min: Option<f64>, party_id: &str, figures: &Figures) -> Result<(), Fault> {
    let rate = figures.hit_rate();
    match min {
        Some(min) if rate < min => {
            let (present, needed) = (figures.present, figures.needed);
            Err(refusal(format!(
                "party {party_id}: feature hit rate {rate} ({present} of {needed}) is below min.feature.hit.rate {min}"
            )))
        }
        _ => Ok(()),
    }
}

/// Judges a row by what a host says of its part. One that says nothing passes, as Java's hosts do; one that contradicts
/// itself does not.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_claim(min: Option<f64>, party_id: &str, claim: &Claim) -> Result<(), Fault> {
    match (min, claim) {
        (_, Claim::Given(given)) => check(min, party_id, &given.figures),
        (Some(min), Claim::Unusable) => Err(refusal(format!(
            "party {party_id}: its feature figures cannot be used, so min.feature.hit.rate {min} is not known to be met"
        ))),
        (None, Claim::Unusable) | (_, Claim::NotGiven) => Ok(()),
    }
}

fn refusal(text: String) -> Fault {
    Fault::new(ReturnCode::FILL_RATE, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(min: Option<f64>, present: usize, needed: usize) -> Option<String> {
        let figures = Figures {
            needed,
            present,
            missing: needed - present,
            ..Figures::default()
        };
        let fault = check(min, "9999", &figures).err()?;
        assert_eq!(fault.code, ReturnCode::FILL_RATE);
        Some(fault.message)
    }

    #[test]
    fn a_rate_below_the_minimum_is_refused() {
        assert_eq!(
            text(Some(0.5), 1, 4).as_deref(),
            Some("party 9999: feature hit rate 0.25 (1 of 4) is below min.feature.hit.rate 0.5")
        );
        assert_eq!(text(Some(0.25), 1, 4), None);
        assert_eq!(text(Some(1.0), 4, 4), None);
        assert_eq!(text(Some(1.0), 0, 0), None);
        assert!(text(Some(1.0), 3, 4).is_some());
        assert_eq!(text(Some(0.0), 0, 4), None);
        assert_eq!(text(None, 0, 4), None);
    }

    #[test]
    fn a_host_without_figures_passes_and_one_with_odd_figures_does_not() {
        let code = |min, claim| {
            check_claim(min, "10000", &claim)
                .err()
                .map(|fault| fault.code)
        };
        assert_eq!(code(Some(1.0), Claim::NotGiven), None);
        assert_eq!(
            code(Some(0.1), Claim::Unusable),
            Some(ReturnCode::FILL_RATE)
        );
        assert_eq!(code(None, Claim::Unusable), None);
    }
}
