//! `DataTransform`: random settings, and what they do to a row (contract 02 A4; B2 rows 5 and 14).

use fate_inference::Semantics;
use fate_proto::buffer::{
    DataTransformImputerMeta, DataTransformImputerParam, DataTransformMeta,
    DataTransformOutlierMeta, DataTransformOutlierParam, DataTransformParam,
};

use crate::{
    dice::Dice,
    party::Component,
    values::{Row, Value, is_missing},
};

#[derive(Debug, Clone)]
pub(crate) struct Table {
    meta: DataTransformMeta,
    param: DataTransformParam,
}

const TOKENS: [&str; 11] = [
    "", "na", "NA", "null", "None", "-9999", "1.50", "1.5", "1.0e9", "0", "nan",
];
const REPLACEMENTS: [&str; 6] = ["0", "1.5", "-2", "1.50", "1.0", "3e0"];

impl Table {
    pub(crate) fn random(dice: &mut Dice<'_>, columns: &[String], may_be_sparse: bool) -> Self {
        let tokens = |dice: &mut Dice<'_>| -> Vec<String> {
            let tokens = dice.some_of(40, &TOKENS);
            tokens.into_iter().map(str::to_owned).collect()
        };
        let replacements = |dice: &mut Dice<'_>| -> std::collections::BTreeMap<String, String> {
            let chosen = dice.some_of(85, columns);
            let replaced = chosen.into_iter();
            replaced
                .map(|column| (column, dice.pick(&REPLACEMENTS).to_owned()))
                .collect()
        };
        let is_sparse = may_be_sparse && dice.chance(25);
        let input_format = if is_sparse { "tag" } else { "dense" };
        let meta = DataTransformMeta {
            input_format: input_format.to_owned(),
            data_type: "float64".to_owned(),
            need_run: true,
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
            header: columns.to_vec(),
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
        Table { meta, param }
    }

    pub(crate) fn component(&self) -> Component {
        Component::new("DataTransform", &self.meta, &self.param)
    }

    pub(crate) fn is_sparse(&self) -> bool {
        self.meta.input_format == "tag"
    }

    pub(crate) fn apply(&self, row: &Row, semantics: Semantics) -> Result<Row, ()> {
        match semantics {
            Semantics::Java => self.java(row),
            Semantics::Fate => Ok(self.fate(row)),
        }
    }

    fn missing(&self) -> Option<(&Vec<String>, &std::collections::BTreeMap<String, String>)> {
        let meta = self.meta.imputer_meta.as_ref().unwrap();
        let param = self.param.imputer_param.as_ref().unwrap();
        meta.is_imputer
            .then_some((&meta.missing_value, &param.missing_replace_value))
    }

    fn outlier(&self) -> Option<(&Vec<String>, &std::collections::BTreeMap<String, String>)> {
        let meta = self.meta.outlier_meta.as_ref().unwrap();
        let param = self.param.outlier_param.as_ref().unwrap();
        meta.is_outlier
            .then_some((&meta.outlier_value, &param.outlier_replace_value))
    }

    fn java(&self, row: &Row) -> Result<Row, ()> {
        let mut row = row.clone();
        if self.is_sparse() {
            let fill = if self.missing().is_some() {
                Value::Text(String::new())
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
                    None => Value::Text(replacement.clone()),
                    Some(Value::Null) => return Err(()),
                    Some(value) if tokens.contains(&value.text().unwrap().to_lowercase()) => {
                        Value::Text(replacement.clone())
                    }
                    Some(value) => value.clone(),
                };
                filled.insert(name.clone(), value);
            }
            row = filled;
        }
        if let Some((tokens, replacements)) = self.outlier() {
            for (name, value) in &mut row {
                if value
                    .text()
                    .is_some_and(|text| tokens.contains(&text.to_lowercase()))
                {
                    let replacement = replacements.get(name);
                    *value = replacement.map_or(Value::Null, |text| Value::Text(text.clone()));
                }
            }
        }
        Ok(row)
    }

    fn fate(&self, row: &Row) -> Row {
        let header = &self.param.header;
        let mut row = row.clone();
        row.retain(|name, _| header.contains(name));
        if let Some((tokens, replacements)) = self.missing() {
            let tokens = or_default(tokens, &IMPUTER_DEFAULT);
            for (name, replacement) in replacements {
                let value = row.get(name);
                if is_missing(value)
                    || value.is_some_and(|value| is_blank(value) || is_token(value, &tokens))
                {
                    row.insert(name.clone(), offline_replacement(replacement));
                }
            }
        }
        if let Some((tokens, replacements)) = self.outlier() {
            let tokens = or_default(tokens, &IMPUTER_DEFAULT);
            for (name, replacement) in replacements {
                if row.get(name).is_some_and(|value| is_token(value, &tokens)) {
                    row.insert(name.clone(), offline_replacement(replacement));
                }
            }
        }
        let blanks = match self.missing() {
            Some((tokens, _)) => or_default(tokens, &IMPUTER_DEFAULT),
            None => CAST_BLANKS.map(str::to_owned).to_vec(),
        };
        row.values_mut()
            .for_each(|value| *value = cast(value, &blanks));
        if self.is_sparse() {
            for name in header {
                if is_missing(row.get(name)) {
                    row.insert(name.clone(), Value::LeftOut);
                }
            }
        }
        row
    }
}

/// imputer.py's own list, for settings without one.
const IMPUTER_DEFAULT: [&str; 6] = ["", "none", "null", "na", "None", "nan"];
/// data_transform.py's list, for tables without imputer.
const CAST_BLANKS: [&str; 4] = ["", "NULL", "null", "NA"];

fn or_default(tokens: &[String], default: &[&str]) -> Vec<String> {
    if tokens.is_empty() {
        default.iter().map(|&token| token.to_owned()).collect()
    } else {
        tokens.to_vec()
    }
}

/// A number that stands in for a missing one is not looked up among the missing tokens again.
fn offline_replacement(text: &str) -> Value {
    let text = Value::Text(text.to_owned());
    text.number().map_or(text, Value::Double)
}

fn is_blank(value: &Value) -> bool {
    *value == Value::Text(String::new())
}

/// Text by its letters, also in lower case (offline such a row has no score); numbers by value.
fn is_token(value: &Value, tokens: &[String]) -> bool {
    match value {
        Value::Text(text) => tokens.contains(text) || tokens.contains(&text.to_lowercase()),
        Value::Integer(_) | Value::Double(_) => {
            let parsed = tokens
                .iter()
                .filter_map(|token| Value::Text(token.clone()).number());
            parsed
                .into_iter()
                .any(|token| Some(token) == value.number())
        }
        Value::Null | Value::Bool(_) | Value::LeftOut => false,
    }
}

/// To float64. Text that is no number is a fault only where it is used.
fn cast(value: &Value, blanks: &[String]) -> Value {
    match value {
        Value::Text(_) if is_token(value, blanks) => Value::Null,
        Value::Text(_) => value.number().map_or(value.clone(), Value::Double),
        value => value.clone(),
    }
}
