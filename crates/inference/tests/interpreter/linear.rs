//! Logistic regression (contract 02 A9) behind every kind of preprocessing.

use fate_inference::Semantics;
use fate_proto::buffer::{LrModelMeta, LrModelParam};

use crate::{
    Expected, Model, VERSIONS, dice::Dice, party::Component, pipeline::Pipeline, values::Row,
};

#[derive(Debug)]
pub(crate) struct Linear {
    version: &'static str,
    parties: Vec<Party>,
    /// The class of a model that the guest has for itself.
    alone: Option<&'static str>,
}

#[derive(Debug)]
struct Party {
    pipeline: Pipeline,
    regression: LrModelParam,
}

impl Linear {
    pub(crate) fn random(dice: &mut Dice<'_>) -> Self {
        let version = dice.pick(&VERSIONS);
        let alone = dice
            .chance(20)
            .then(|| dice.pick(&["HomoLRGuest", "HomoLRClient", "LocalBaseline"]));
        let parties = if alone.is_some() {
            1
        } else {
            2 + dice.below(3)
        };
        let parties = (0..parties).map(|_| Party::random(dice, version)).collect();
        Linear {
            version,
            parties,
            alone,
        }
    }
}

impl Model for Linear {
    fn version(&self) -> &'static str {
        self.version
    }

    fn components(&self) -> Vec<Vec<Component>> {
        let parties = self.parties.iter().enumerate();
        parties
            .map(|(index, party)| party.components(index == 0, self.alone))
            .collect()
    }

    fn random_rows(&self, dice: &mut Dice<'_>) -> Vec<Row> {
        let parties = self.parties.iter();
        parties
            .map(|party| party.pipeline.random_row(dice, &[]))
            .collect()
    }

    fn semantics(&self) -> &'static [Semantics] {
        match self.alone {
            Some(_) => &[Semantics::Fate],
            None => &[Semantics::Java, Semantics::Fate],
        }
    }

    fn interpret(&self, rows: &[Row], semantics: Semantics) -> Expected {
        let mut total = 0.0;
        for (index, (party, row)) in self.parties.iter().zip(rows).enumerate() {
            let sum = party.sum(row, semantics).ok()?;
            if index > 0 && !sum.is_finite() {
                return None;
            }
            total += sum;
        }
        let score = 1.0 / (1.0 + (-total).exp());
        // Java answers NaN; that is no score here.
        let is_score = semantics == Semantics::Java || score.is_finite();
        is_score.then_some((vec![score], None))
    }
}

impl Party {
    fn random(dice: &mut Dice<'_>, version: &'static str) -> Self {
        let pipeline = Pipeline::random(dice, version);
        let names = pipeline.names();
        let mut header = dice.some_of(85, &names);
        if header.is_empty() {
            header.push(names[0].clone());
        }
        let weights = header
            .iter()
            .map(|name| (name.clone(), dice.hundredths() / 10.0));
        let regression = LrModelParam {
            weight: weights.collect(),
            intercept: dice.hundredths() / 10.0,
            header,
            ..Default::default()
        };
        Party {
            pipeline,
            regression,
        }
    }

    fn components(&self, is_guest: bool, alone: Option<&'static str>) -> Vec<Component> {
        let mut components = self.pipeline.components();
        let model = alone.unwrap_or(if is_guest {
            "HeteroLRGuest"
        } else {
            "HeteroLRHost"
        });
        components.push(Component::new(model, &regression_meta(), &self.regression));
        components
    }

    fn sum(&self, row: &Row, semantics: Semantics) -> Result<f64, ()> {
        let row = self.pipeline.apply(row, semantics)?;
        let mut sum = 0.0;
        // In the order of the model's header: large numbers make it matter.
        for name in &self.regression.header {
            if let Some(value) = row.get(name) {
                sum += self.regression.weight[name] * value.number().ok_or(())?;
            }
        }
        Ok(sum + self.regression.intercept)
    }
}

/// FATE writes no empty message.
fn regression_meta() -> LrModelMeta {
    LrModelMeta {
        fit_intercept: true,
        ..Default::default()
    }
}
