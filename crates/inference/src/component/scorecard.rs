//! `Scorecard` behind a model: the probability becomes a credit score (contract 02 B4; score_transformer.py
//! `compute_credit_score`). The component leaves no buffers: its parameters stand in the job's configuration, which the
//! pipeline carries.

use fate_domain::{fault::Fault, party::Role, return_code::ReturnCode};
use serde_json::Value;

use super::{Built, Context, Output, Part, Source, forest::FLOAT_ZERO};
use crate::{Refusal, Score, Site, merge::Values};

/// Defaults are those of scorecard_param.py.
#[derive(Debug, Clone, PartialEq)]
struct Scorecard {
    offset: f64,
    factor: f64,
    factor_base: f64,
    upper: f64,
    lower: f64,
}

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    if context.role() == Role::Host {
        return Ok(Part::pass_through("a host has no score"));
    }
    let pipeline = &context.dsl.pipeline;
    let conf = [
        &pipeline.runtime_conf_on_party,
        &pipeline.train_runtime_conf,
    ]
    .into_iter()
    .find(|conf| !conf.is_empty())
    .ok_or_else(|| {
        source.refuse("its parameters stand in the runtime conf, and the pipeline carries none")
    })?;
    let conf: Value = serde_json::from_slice(conf).map_err(|error| {
        source.refuse(format!("the pipeline's runtime conf is not JSON: {error}"))
    })?;
    let settings = Settings::of(&conf, source.name, context.site);
    if settings.get("need_run") == Some(&Value::Bool(false)) {
        return Ok(Part::pass_through("switched off"));
    }
    let card = Scorecard::read(&settings).map_err(|reason| source.refuse(reason))?;
    context.differs("FATE-Serving 2.1.7 does not know Scorecard and answers the probability");
    Ok(Part {
        detail: format!(
            "credit score {} + {} / ln({}) * ln(odds)",
            card.offset, card.factor, card.factor_base
        ),
        built: Built::Output(Box::new(card)),
    })
}

/// A component's parameters: those of all parties, and those of this one, which win.
struct Settings<'a> {
    own: Vec<&'a Value>,
    common: Option<&'a Value>,
    /// Position in the role, for lists with a value per party (DSL version 1).
    place: usize,
}

impl<'a> Settings<'a> {
    fn of(conf: &'a Value, component: &str, site: &Site) -> Self {
        let role = site.role.to_string();
        let place = place_of(conf, &role, &site.party_id);
        if let Some(parameters) = conf.get("component_parameters") {
            let by_place = parameters.get("role").and_then(|roles| roles.get(&role));
            let own = by_place
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter(|(places, _)| is_among(place, places))
                .filter_map(|(_, components)| components.get(component))
                .collect();
            let common = parameters
                .get("common")
                .and_then(|common| common.get(component));
            return Settings { own, common, place };
        }
        let own = conf
            .get("role_parameters")
            .and_then(|roles| roles.get(&role))
            .and_then(|components| components.get(component));
        let common = conf
            .get("algorithm_parameters")
            .and_then(|common| common.get(component));
        Settings {
            own: own.into_iter().collect(),
            common,
            place,
        }
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        let own = self.own.iter().find_map(|own| own.get(name));
        match own.or_else(|| self.common.and_then(|common| common.get(name)))? {
            Value::Array(per_party) => per_party.get(self.place),
            value => Some(value),
        }
    }

    fn number(&self, name: &str, default: f64) -> Result<f64, String> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .filter(|number| number.is_finite())
                .ok_or_else(|| format!("its {name} is {value}, not a number")),
        }
    }
}

/// Position of the party among those of its role; the first when the configuration does not list it.
fn place_of(conf: &Value, role: &str, party_id: &str) -> usize {
    let is_ours = |id: &Value| match id {
        Value::String(id) => id == party_id,
        id => id.as_u64().map(|id| id.to_string()).as_deref() == Some(party_id),
    };
    conf.get("role")
        .and_then(|roles| roles.get(role))
        .and_then(Value::as_array)
        .and_then(|ids| ids.iter().position(is_ours))
        .unwrap_or(0)
}

/// Keys of DSL version 2 name one place or several: `0`, `0|1`, `all`.
fn is_among(place: usize, places: &str) -> bool {
    places == "all"
        || places
            .split('|')
            .any(|text| text.trim().parse() == Ok(place))
}

impl Scorecard {
    fn read(settings: &Settings<'_>) -> Result<Self, String> {
        match settings
            .get("method")
            .map(|method| method.as_str().unwrap_or(""))
        {
            None => {}
            Some(method) if method.eq_ignore_ascii_case("credit") => {}
            Some(method) => {
                return Err(format!(
                    "its method is {method:?}, and only credit is known"
                ));
            }
        }
        let offset = settings.number("offset", 500.0)?;
        let card = Scorecard {
            offset,
            factor: settings.number("factor", 20.0)?,
            factor_base: settings.number("factor_base", 2.0)?,
            upper: settings.number("upper_limit_ratio", 3.0)? * offset,
            lower: settings.number("lower_limit_value", 0.0)?,
        };
        let scale = card.factor / card.factor_base.ln();
        if card.factor_base <= 0.0 || !scale.is_finite() || !card.upper.is_finite() {
            return Err(format!(
                "its factor {} to the base {} is not a scale",
                card.factor, card.factor_base
            ));
        }
        Ok(card)
    }

    fn credit(&self, probability: f64) -> f64 {
        let credit = if (0.0..=FLOAT_ZERO).contains(&probability) {
            self.upper
        } else if probability > 0.0 && (probability - 1.0).abs() <= FLOAT_ZERO {
            self.lower
        } else if !(0.0..=1.0).contains(&probability) {
            -1.0
        } else {
            let odds = (1.0 - probability) / probability;
            self.offset + self.factor / self.factor_base.ln() * odds.ln()
        };
        let credit = if credit > self.upper {
            self.upper
        } else {
            credit
        };
        let credit = if credit < self.lower {
            self.lower
        } else {
            credit
        };
        // numpy's `round(x, 2)`.
        (credit * 100.0).round_ties_even() / 100.0
    }
}

impl Output for Scorecard {
    /// Offline the probability of several classes is that of the predicted one.
    fn apply(&self, score: Score) -> Result<Score, Fault> {
        let probability = score
            .scores()
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        if score.scores().iter().any(|score| score.is_nan()) {
            return Err(Fault::new(
                ReturnCode::SYSTEM,
                "the probability under the credit score is not a number",
            ));
        }
        Ok(Score {
            values: Values::One([self.credit(probability)]),
            ..score
        })
    }
}

#[cfg(test)]
mod tests {
    use fate_domain::party::Role;
    use serde_json::json;

    use super::*;

    fn card(conf: &Value, party_id: &str) -> Result<Scorecard, String> {
        let site = Site {
            role: Role::Guest,
            party_id: party_id.to_owned(),
            hosts: Vec::new(),
        };
        Scorecard::read(&Settings::of(conf, "scorecard_0", &site))
    }

    #[test]
    fn a_partys_own_parameters_win_over_those_of_all() {
        let conf = json!({
        "role": {"guest": [9999], "host": [10000]},
        "component_parameters": {
            "common": {"scorecard_0": {"offset": 600, "factor": 30}},
            "role": {"guest": {"0": {"scorecard_0": {"factor": 40.5}}, "1": {"scorecard_0": {"factor": 1}}}},
        }});
        let found = card(&conf, "9999").unwrap();
        assert_eq!(
            (found.offset, found.factor, found.upper),
            (600.0, 40.5, 1800.0)
        );
        let old = json!({
            "role": {"guest": ["8888", "9999"]},
            "algorithm_parameters": {"scorecard_0": {"upper_limit_ratio": 2}},
            "role_parameters": {"guest": {"scorecard_0": {"offset": [400, 450]}}}});
        let found = card(&old, "9999").unwrap();
        assert_eq!(
            (found.offset, found.factor, found.upper),
            (450.0, 20.0, 900.0)
        );
        assert_eq!(card(&json!({}), "9999").unwrap().offset, 500.0);
    }

    #[test]
    fn parameters_that_make_no_score_are_refused() {
        for parameters in [
            json!({"offset": "many"}),
            json!({"factor_base": 1}),
            json!({"factor_base": -2}),
            json!({"method": "other"}),
        ] {
            let conf = json!({"component_parameters": {"common": {"scorecard_0": parameters}}});
            assert!(card(&conf, "9999").is_err(), "{conf}");
        }
    }

    /// 500 + 20/ln(2)*ln(odds): odds of 1, 2 and 1/4 are 0, 1 and -2 steps of 20 from 500.
    #[test]
    fn every_doubling_of_the_odds_is_a_step() {
        let card = card(&json!({}), "9999").unwrap();
        for (probability, credit) in [
            (0.5, 500.0),
            (1.0 / 3.0, 520.0),
            (0.8, 460.0),
            (0.0, 1500.0),
            (5e-9, 1500.0),
            (1.0, 0.0),
            (1.0 - 5e-9, 0.0),
            (1.5, 0.0),
            (-0.5, 0.0),
            // 500 + 20 * log2(0.9/0.1) = 563.3985...
            (0.1, 563.4),
        ] {
            assert_eq!(card.credit(probability), credit, "{probability}");
        }
    }
}
