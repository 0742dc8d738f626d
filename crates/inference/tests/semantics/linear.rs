//! Logistic regression behind scale, binning, one-hot and selection (contract 02 A5 to A9; B2 rows 6 to 14): random
//! pipelines, and a slow interpreter that hands a map from step to step.

use fate_inference::Semantics;
use fate_proto::buffer::{
    FeatureBinningMeta, FeatureBinningParam, FeatureSelectionMeta, FeatureSelectionParam,
    LrModelMeta, LrModelParam, OneHotMeta, OneHotParam, ScaleMeta, ScaleParam,
};

use crate::{
    Expected, Model,
    dice::Dice,
    party::Component,
    steps::{
        bin_fate, bin_java, encode_fate, encode_java, random_binning, random_one_hot, random_scale,
        random_selection, scale_fate, scale_java, select,
    },
    table::Table,
    values::{Row, columns, random_row},
};

const VERSIONS: [&str; 4] = ["1.11.4", "", "1.6.1", "1.4.0"];

#[derive(Debug)]
pub(crate) struct Linear {
    version: &'static str,
    parties: Vec<Pipeline>,
}

#[derive(Debug)]
struct Pipeline {
    columns: Vec<String>,
    table: Option<Table>,
    scale: Option<(ScaleMeta, ScaleParam)>,
    binning: Option<(FeatureBinningMeta, FeatureBinningParam)>,
    one_hot: Option<(OneHotMeta, OneHotParam)>,
    selection: Option<(FeatureSelectionMeta, FeatureSelectionParam)>,
    regression: LrModelParam,
}

impl Linear {
    pub(crate) fn random(dice: &mut Dice<'_>) -> Self {
        let version = dice.pick(&VERSIONS);
        let parties = 2 + dice.below(3);
        let parties = (0..parties).map(|_| Pipeline::random(dice)).collect();
        Linear { version, parties }
    }
}

impl Model for Linear {
    fn version(&self) -> &'static str {
        self.version
    }

    fn components(&self) -> Vec<Vec<Component>> {
        let parties = self.parties.iter().enumerate();
        parties
            .map(|(index, party)| party.components(index == 0))
            .collect()
    }

    fn random_rows(&self, dice: &mut Dice<'_>) -> Vec<Row> {
        let parties = self.parties.iter();
        parties
            .map(|party| random_row(dice, &party.columns, &party.interesting()))
            .collect()
    }

    fn interpret(&self, rows: &[Row], semantics: Semantics) -> Expected {
        let mut total = 0.0;
        for (index, (party, row)) in self.parties.iter().zip(rows).enumerate() {
            let sum = party.sum(row, self.version, semantics).ok()?;
            if index > 0 && !sum.is_finite() {
                return None;
            }
            total += sum;
        }
        let score = 1.0 / (1.0 + (-total).exp());
        // Java answers NaN; that is no score here.
        let is_score = semantics == Semantics::Java || !score.is_nan();
        is_score.then_some((vec![score], None))
    }
}

impl Pipeline {
    fn random(dice: &mut Dice<'_>) -> Self {
        let count = 1 + dice.below(5);
        let columns = columns("x", count);
        let table = dice.chance(80).then(|| Table::random(dice, &columns, true));
        // Scaling and encoding of sparse rows is not what FATE's serving was made for, and contract 02 says nothing on it.
        let dense = !table.as_ref().is_some_and(Table::is_sparse);
        let scale = (dense && dice.chance(50)).then(|| random_scale(dice, &columns));
        let binning = dice.chance(50).then(|| random_binning(dice, &columns));
        let one_hot = (dense && dice.chance(40)).then(|| random_one_hot(dice, &columns));
        let mut names = columns.clone();
        if let Some((_, param)) = &one_hot {
            names.extend(
                param
                    .col_map
                    .values()
                    .flat_map(|map| map.transformed_headers.clone()),
            );
        }
        let selection = dice.chance(30).then(|| random_selection(dice, &names));
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
        Pipeline {
            columns,
            table,
            scale,
            binning,
            one_hot,
            selection,
            regression,
        }
    }

    /// Values on which something turns.
    fn interesting(&self) -> Vec<f64> {
        let scales = self
            .scale
            .iter()
            .flat_map(|(_, param)| param.col_scale_param.values());
        let bounds = scales.flat_map(|scale| [scale.column_lower, scale.column_upper]);
        let results = self
            .binning
            .iter()
            .filter_map(|(_, param)| param.binning_result.as_ref());
        let columns = results.flat_map(|result| result.binning_result.values());
        bounds
            .chain(columns.flat_map(|iv| iv.split_points.clone()))
            .collect()
    }

    fn components(&self, is_guest: bool) -> Vec<Component> {
        let mut components = Vec::new();
        components.extend(self.table.as_ref().map(Table::component));
        components.extend(
            self.scale
                .as_ref()
                .map(|(meta, param)| Component::new("Scale", meta, param)),
        );
        let binning = if is_guest {
            "HeteroFeatureBinningGuest"
        } else {
            "HeteroFeatureBinningHost"
        };
        components.extend(
            self.binning
                .as_ref()
                .map(|(meta, param)| Component::new(binning, meta, param)),
        );
        components.extend(
            self.one_hot
                .as_ref()
                .map(|(meta, param)| Component::new("OneHotEncoder", meta, param)),
        );
        let selection = if is_guest {
            "HeteroFeatureSelectionGuest"
        } else {
            "HeteroFeatureSelectionHost"
        };
        components.extend(
            self.selection
                .as_ref()
                .map(|(meta, param)| Component::new(selection, meta, param)),
        );
        let model = if is_guest {
            "HeteroLRGuest"
        } else {
            "HeteroLRHost"
        };
        components.push(Component::new(model, &regression_meta(), &self.regression));
        components
    }

    fn sum(&self, row: &Row, version: &str, semantics: Semantics) -> Result<f64, ()> {
        let java = semantics == Semantics::Java;
        let mut row = row.clone();
        if let Some(table) = &self.table {
            row = table.apply(&row, semantics)?;
        }
        if let Some((meta, param)) = &self.scale {
            row = if java {
                scale_java(row, meta, param)
            } else {
                scale_fate(row, meta, param, version)?
            };
        }
        if let Some((meta, param)) = &self.binning {
            row = if java {
                bin_java(row, meta, param)
            } else {
                bin_fate(row, meta, param, version)?
            };
        }
        if let Some((meta, param)) = &self.one_hot {
            row = if java {
                encode_java(row, meta, param)
            } else {
                encode_fate(row, meta, param)
            };
        }
        if let Some((meta, param)) = &self.selection {
            row = select(row, meta, param);
        }
        let mut sum = 0.0;
        for (name, weight) in &self.regression.weight {
            if let Some(value) = row.get(name) {
                sum += weight * value.number().ok_or(())?;
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
