//! `FeatureImputation`: missing values after the table was read (contract 02 B4; feature_imputation.py, imputer.py).

use std::collections::HashSet;

use fate_domain::fault::Fault;
use fate_proto::buffer::{FeatureImputationMeta, FeatureImputationParam};

use super::{Context, Part, Source, Transform};
use crate::{Cell, Refusal, Row, python_number::parse_float, symbols::Column};

#[derive(Debug)]
struct Imputation {
    tokens: Tokens,
    columns: Vec<(Column, Replacement)>,
}

/// Values that count as missing. They have types: a number never equals text.
#[derive(Debug, Default)]
struct Tokens {
    /// NaN, which is what a feature without a value is by now.
    nan: bool,
    numbers: Vec<f64>,
    texts: Vec<String>,
}

#[derive(Debug)]
enum Replacement {
    Number(f64),
    Text(Box<str>),
}

/// Types of numbers in feature_imputation.py's `load_value_to_type`.
const NUMBERS: [&str; 6] = ["int", "int64", "long", "float", "float64", "double"];

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let meta: FeatureImputationMeta = source.meta()?;
    let param: FeatureImputationParam = source.param()?;
    let imputer = meta.imputer_meta.unwrap_or_default();
    if !meta.need_run || !imputer.is_imputer {
        return Ok(Part::pass_through("switched off"));
    }
    let tokens = tokens(source, &imputer.missing_value, &imputer.missing_value_type)?;
    let values = param.imputer_param.unwrap_or_default();
    let skipped: HashSet<&String> = values.skip_cols.iter().collect();
    let mut columns = Vec::new();
    for (name, text) in &values.missing_replace_value {
        if skipped.contains(name) {
            continue;
        }
        let type_name = values.missing_replace_value_type.get(name);
        let is_text = type_name.is_some_and(|name| matches!(name.as_str(), "str" | "_str"));
        let replacement = match parse_float(text) {
            Some(value) => Replacement::Number(value),
            None if is_text => Replacement::Text(text.as_str().into()),
            None => {
                return Err(source.refuse(format!(
                    "the replacement {text:?} of column {name:?} is not a number"
                )));
            }
        };
        columns.push((context.symbols.intern(name), replacement));
    }
    let detail = format!("fills {} columns", columns.len());
    Ok(Part::transform(Imputation { tokens, columns }, detail))
}

fn tokens(source: &Source<'_>, values: &[String], types: &[String]) -> Result<Tokens, Refusal> {
    let mut tokens = Tokens {
        nan: values.is_empty(),
        ..Tokens::default()
    };
    for (index, value) in values.iter().enumerate() {
        let type_name = types.get(index).map_or("str", String::as_str);
        match type_name {
            "str" | "_str" => tokens.texts.push(value.clone()),
            name if NUMBERS.contains(&name) => match parse_float(value) {
                Some(number) if number.is_nan() => tokens.nan = true,
                Some(number) => tokens.numbers.push(number),
                None => {
                    let reason = format!("its missing value {value:?} is no {name}");
                    return Err(source.refuse(reason));
                }
            },
            // Python's None, which equals no feature.
            name if matches!(name.to_lowercase().as_str(), "none" | "nonetype") => {}
            name => {
                return Err(source.refuse(format!("its missing value {value:?} is of type {name}")));
            }
        }
    }
    Ok(tokens)
}

impl Tokens {
    fn contain(&self, cell: &Cell<'_>) -> bool {
        match cell {
            cell if cell.is_missing() => self.nan,
            Cell::Number(value, _) => self.numbers.contains(value),
            Cell::ImplicitZero => self.numbers.contains(&0.0),
            Cell::Text(text) => self.texts.iter().any(|token| token == text),
            _ => false,
        }
    }
}

impl Transform for Imputation {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault> {
        for (column, replacement) in &self.columns {
            if self.tokens.contain(row.cell(*column)) {
                let cell = match replacement {
                    Replacement::Number(value) => Cell::double(*value),
                    Replacement::Text(text) => Cell::Text(text.as_ref().into()),
                };
                row.set(*column, cell);
            }
        }
        Ok(())
    }

    fn imputes(&self, row: &Row<'_>, found: &mut dyn FnMut(Column)) {
        for &(column, _) in &self.columns {
            if self.tokens.contain(row.cell(column)) {
                found(column);
            }
        }
    }
}
