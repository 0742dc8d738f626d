//! `DataIO` and `DataTransform`: random settings, and what FATE-Serving does to a row with them (contract 02 A4).

use std::collections::BTreeMap;

use fate_inference::Semantics;
use fate_proto::buffer::{
    DataTransformImputerMeta, DataTransformImputerParam, DataTransformMeta,
    DataTransformOutlierMeta, DataTransformOutlierParam, DataTransformParam,
};

use crate::{
    dice::Dice,
    party::Component,
    values::{Row, Value},
};

#[derive(Debug, Clone)]
pub(crate) struct Table {
    class: &'static str,
    pub(crate) meta: DataTransformMeta,
    pub(crate) param: DataTransformParam,
}

const TOKENS: [&str; 13] = [
    "", "na", "NA", "null", "None", "-9999", "1.50", "1.5", "1.0e9", "0", "nan", "abc", "inf",
];
const REPLACEMENTS: [&str; 8] = ["0", "1.5", "-2", "1.50", "1.0", "3e0", "-9999", "nan"];

impl Table {
    pub(crate) fn random(dice: &mut Dice<'_>, columns: &[String]) -> Self {
        let tokens = |dice: &mut Dice<'_>| -> Vec<String> {
            let tokens = dice.some_of(40, &TOKENS);
            tokens.into_iter().map(str::to_owned).collect()
        };
        let replacements = |dice: &mut Dice<'_>| -> BTreeMap<String, String> {
            let chosen = dice.some_of(85, columns);
            let replaced = chosen.into_iter();
            replaced
                .map(|column| (column, dice.pick(&REPLACEMENTS).to_owned()))
                .collect()
        };
        let input_format = dice.pick(&["dense", "dense", "dense", "tag", "tag", "sparse"]);
        // Without a header nobody knows which names a sparse row leaves out.
        let header = match input_format {
            "dense" if dice.chance(5) => Vec::new(),
            "dense" => dice.some_of(95, columns),
            _ => columns.to_vec(),
        };
        let meta = DataTransformMeta {
            input_format: input_format.to_owned(),
            output_format: dice.pick(&["dense", "dense", "sparse"]).to_owned(),
            tag_with_value: dice.chance(50),
            data_type: random_type(dice),
            exclusive_data_type: random_exclusive_types(dice, columns),
            imputer_meta: Some(DataTransformImputerMeta {
                is_imputer: dice.chance(40),
                missing_value: tokens(dice),
                ..Default::default()
            }),
            outlier_meta: Some(DataTransformOutlierMeta {
                is_outlier: dice.chance(40),
                outlier_value: tokens(dice),
                ..Default::default()
            }),
            ..Default::default()
        };
        let param = DataTransformParam {
            header,
            imputer_param: Some(DataTransformImputerParam {
                missing_replace_value: replacements(dice),
                ..Default::default()
            }),
            outlier_param: Some(DataTransformOutlierParam {
                outlier_replace_value: replacements(dice),
                ..Default::default()
            }),
            ..Default::default()
        };
        Table {
            class: dice.pick(&["DataTransform", "DataIO"]),
            meta,
            param,
        }
    }

    /// Both classes write the same fields.
    pub(crate) fn component(&self) -> Component {
        Component::new(self.class, &self.meta, &self.param)
    }

    pub(crate) fn is_dense(&self) -> bool {
        self.meta.input_format == "dense"
    }

    pub(crate) fn has_sparse_output(&self) -> bool {
        self.meta.output_format == "sparse"
    }

    /// Names that a row may have: in a sparse table a column's number too.
    pub(crate) fn row_names(&self, columns: &[String]) -> Vec<String> {
        let mut names = columns.to_vec();
        if self.meta.input_format == "sparse" {
            names.extend((0..columns.len()).map(|number| number.to_string()));
        }
        names
    }

    pub(crate) fn apply(&self, row: &Row, version: &str, semantics: Semantics) -> Result<Row, ()> {
        match semantics {
            Semantics::Java => self.java(row),
            Semantics::Fate => Ok(self.fate(row, version)),
        }
    }

    /// Tokens and replacements, if there is an imputer.
    pub(crate) fn missing(&self) -> Option<(&Vec<String>, &BTreeMap<String, String>)> {
        let meta = self.meta.imputer_meta.as_ref().unwrap();
        let param = self.param.imputer_param.as_ref().unwrap();
        meta.is_imputer
            .then_some((&meta.missing_value, &param.missing_replace_value))
    }

    pub(crate) fn outlier(&self) -> Option<(&Vec<String>, &BTreeMap<String, String>)> {
        let meta = self.meta.outlier_meta.as_ref().unwrap();
        let param = self.param.outlier_param.as_ref().unwrap();
        meta.is_outlier
            .then_some((&meta.outlier_value, &param.outlier_replace_value))
    }

    fn java(&self, row: &Row) -> Result<Row, ()> {
        let mut row = row.clone();
        if !self.is_dense() {
            let fill = if self.missing().is_some() {
                Value::text_of("")
            } else {
                Value::Integer(0)
            };
            let header = self.param.header.iter();
            row = header
                .map(|name| (name.clone(), row.get(name).unwrap_or(&fill).clone()))
                .collect();
        }
        if let Some((tokens, replacements)) = self.missing() {
            let mut filled = Row::new();
            for (name, replacement) in replacements {
                let value = match row.get(name) {
                    None => Value::text_of(replacement),
                    Some(Value::Null) => return Err(()),
                    Some(value) if is_token(value, tokens) => Value::text_of(replacement),
                    Some(value) => value.clone(),
                };
                filled.insert(name.clone(), value);
            }
            row = filled;
        }
        if let Some((tokens, replacements)) = self.outlier() {
            for (name, value) in &mut row {
                if is_token(value, tokens) {
                    let replacement = replacements.get(name);
                    *value = replacement.map_or(Value::Null, |text| Value::text_of(text));
                }
            }
        }
        Ok(row)
    }
}

fn is_token(value: &Value, tokens: &[String]) -> bool {
    let text = value.text();
    text.is_some_and(|text| tokens.contains(&text.to_lowercase()))
}

fn random_type(dice: &mut Dice<'_>) -> String {
    let types = [
        "float64", "float64", "float64", "float", "int", "int64", "long", "float32", "str",
    ];
    dice.pick(&types).to_owned()
}

fn random_exclusive_types(dice: &mut Dice<'_>, columns: &[String]) -> BTreeMap<String, String> {
    if !dice.chance(25) {
        return BTreeMap::new();
    }
    let columns = dice.some_of(40, columns);
    let types = columns.into_iter().map(|column| {
        let data_type = dice.pick(&["str", "str", "int", "float32", "float64"]);
        // FATE writes the names in lower case.
        (column.to_lowercase(), data_type.to_owned())
    });
    types.collect()
}
