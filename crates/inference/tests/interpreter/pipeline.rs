//! What stands between a party's row and its model: random steps, and an interpreter that hands a map from one to the next.

use fate_inference::Semantics;
use fate_proto::buffer::{
    ColumnExpandMeta, ColumnExpandParam, FeatureBinningMeta, FeatureBinningParam,
    FeatureImputationMeta, FeatureImputationParam, FeatureSelectionMeta, FeatureSelectionParam,
    OneHotMeta, OneHotParam, ScaleMeta, ScaleParam,
};

use crate::{
    binning::{bin_fate, bin_java, random_binning},
    dice::Dice,
    encoding::{encode_fate, encode_java, random_one_hot, random_selection, select},
    party::Component,
    scaling::{
        expand, impute, random_expand, random_imputation, random_scale, scale_fate, scale_java,
    },
    table::Table,
    values::{Row, columns, random_row},
};

#[derive(Debug)]
pub(crate) struct Pipeline {
    version: &'static str,
    /// The table's.
    pub(crate) columns: Vec<String>,
    expand: Option<ColumnExpandMeta>,
    table: Option<Table>,
    imputation: Option<(FeatureImputationMeta, FeatureImputationParam)>,
    scale: Option<(ScaleMeta, ScaleParam)>,
    binning: Option<(FeatureBinningMeta, FeatureBinningParam)>,
    one_hot: Option<(OneHotMeta, OneHotParam)>,
    selection: Option<(&'static str, FeatureSelectionMeta, FeatureSelectionParam)>,
}

const SELECTIONS: [&str; 5] = [
    "HeteroFeatureSelectionGuest",
    "HeteroFeatureSelectionHost",
    "BaseHeteroFeatureSelection",
    "FeatureSelection",
    "HeteroFeatureSelection",
];
/// Those of them that FATE-Serving does not have.
const NOT_IN_JAVA: [&str; 2] = ["BaseHeteroFeatureSelection", "HeteroFeatureSelection"];
const BINNINGS: [&str; 3] = [
    "HeteroFeatureBinningGuest",
    "HeteroFeatureBinningHost",
    "HeteroFeatureBinning",
];

impl Pipeline {
    pub(crate) fn random(dice: &mut Dice<'_>, version: &'static str) -> Self {
        let count = 1 + dice.below(5);
        let columns = columns(dice, count);
        let table = dice.chance(80).then(|| Table::random(dice, &columns));
        // Sparse vectors are neither scaled nor encoded nor filled offline: those components read arrays.
        let is_array = !table.as_ref().is_some_and(Table::has_sparse_output);
        let expand = dice.chance(15).then(|| random_expand(dice, &columns));
        let imputation = (is_array && dice.chance(25)).then(|| random_imputation(dice, &columns));
        let scale = (is_array && dice.chance(40)).then(|| random_scale(dice, &columns));
        let binning = dice
            .chance(40)
            .then(|| random_binning(dice, &columns, version));
        let one_hot = (is_array && dice.chance(35)).then(|| random_one_hot(dice, &columns));
        let mut pipeline = Pipeline {
            version,
            columns,
            expand,
            table,
            imputation,
            scale,
            binning,
            one_hot,
            selection: None,
        };
        if dice.chance(30) {
            let (meta, param) = random_selection(dice, &pipeline.names());
            pipeline.selection = Some((dice.pick(&SELECTIONS), meta, param));
        }
        pipeline
    }

    /// The table's columns, and those that an encoder makes.
    pub(crate) fn has_sparse_rows(&self) -> bool {
        self.table.as_ref().is_some_and(Table::has_sparse_output)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let encoded = self
            .one_hot
            .iter()
            .flat_map(|(_, param)| param.col_map.values());
        let encoded = encoded.flat_map(|map| map.transformed_headers.clone());
        self.columns.iter().cloned().chain(encoded).collect()
    }

    pub(crate) fn random_row(&self, dice: &mut Dice<'_>, interesting: &[f64]) -> Row {
        let mut interesting = interesting.to_vec();
        interesting.extend(self.interesting());
        let names = match &self.table {
            Some(table) => table.row_names(&self.columns),
            None => self.columns.clone(),
        };
        random_row(dice, &names, &interesting)
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

    pub(crate) fn components(&self) -> Vec<Component> {
        let mut components = Vec::new();
        if let Some(meta) = &self.expand {
            let param = ColumnExpandParam {
                header: self.columns.clone(),
            };
            components.push(Component::new("ColumnExpand", meta, &param));
        }
        components.extend(self.table.as_ref().map(Table::component));
        if let Some((meta, param)) = &self.imputation {
            components.push(Component::new("FeatureImputation", meta, param));
        }
        if let Some((meta, param)) = &self.scale {
            components.push(Component::new("Scale", meta, param));
        }
        if let Some((meta, param)) = &self.binning {
            let class = BINNINGS[self.columns.len() % BINNINGS.len()];
            components.push(Component::new(class, meta, param));
        }
        if let Some((meta, param)) = &self.one_hot {
            components.push(Component::new("OneHotEncoder", meta, param));
        }
        if let Some((class, meta, param)) = &self.selection {
            components.push(Component::new(class, meta, param));
        }
        components
    }

    /// The model's row; an error where some step has none.
    pub(crate) fn apply(&self, row: &Row, semantics: Semantics) -> Result<Row, ()> {
        match semantics {
            Semantics::Java => self.java(row),
            Semantics::Fate => self.fate(row),
        }
    }

    /// Without `ColumnExpand` and `FeatureImputation`, which it does not know.
    fn java(&self, row: &Row) -> Result<Row, ()> {
        let mut row = row.clone();
        if let Some(table) = &self.table {
            row = table.apply(&row, self.version, Semantics::Java)?;
        }
        if let Some((meta, param)) = &self.scale {
            row = scale_java(row, meta, param);
        }
        if let Some((meta, param)) = &self.binning {
            row = bin_java(row, meta, param);
        }
        if let Some((meta, param)) = &self.one_hot {
            row = encode_java(row, meta, param);
        }
        match &self.selection {
            Some((class, meta, param)) if !NOT_IN_JAVA.contains(class) => {
                Ok(select(row, meta, param))
            }
            _ => Ok(row),
        }
    }

    fn fate(&self, row: &Row) -> Result<Row, ()> {
        let mut row = row.clone();
        let mut of_integers = false;
        if let Some(table) = &self.table {
            row = table.named(&row);
        }
        if let Some(meta) = &self.expand {
            row = expand(row, meta);
        }
        if let Some(table) = &self.table {
            row = table.apply(&row, self.version, Semantics::Fate)?;
            of_integers = table.is_of_integers();
        }
        if let Some((meta, param)) = &self.imputation {
            row = impute(row, meta, param);
        }
        if let Some((meta, param)) = &self.scale {
            row = scale_fate(row, meta, param, self.version)?;
            of_integers &= !meta.need_run;
        }
        if let Some((meta, param)) = &self.binning {
            row = bin_fate(row, meta, param, self.version, of_integers)?;
        }
        if let Some((meta, param)) = &self.one_hot {
            row = encode_fate(row, meta, param);
        }
        if let Some((_, meta, param)) = &self.selection {
            row = select(row, meta, param);
        }
        Ok(row)
    }
}
