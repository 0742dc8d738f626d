//! `FeatureImputation`: missing values after the table was read (contract 02 B4; feature_imputation.py).

use std::collections::HashSet;

use fate_domain::{fault::Fault, java_number::parse_double};
use fate_proto::buffer::{FeatureImputationMeta, FeatureImputationParam};

use super::{Context, Part, Source, Transform};
use crate::{Cell, Refusal, Row, symbols::Column};

#[derive(Debug)]
struct Imputation {
    /// NaN itself counts as missing only when the token list says so (`None` in Python's memory).
    fills_nan: bool,
    tokens: Vec<f64>,
    columns: Vec<(Column, f64)>,
}

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let meta: FeatureImputationMeta = source.meta()?;
    let param: FeatureImputationParam = source.param()?;
    context
        .differs("FATE-Serving 2.1.7 skips FeatureImputation: missing features stay missing there");
    let imputer = meta.imputer_meta.unwrap_or_default();
    let values = param.imputer_param.unwrap_or_default();
    if !meta.need_run || !imputer.is_imputer {
        return Ok(Part::pass_through("switched off"));
    }

    let mut columns = Vec::new();
    let skipped: HashSet<&String> = values.skip_cols.iter().collect();
    for (name, text) in &values.missing_replace_value {
        if skipped.contains(name) {
            continue;
        }
        let value = parse_double(text).ok_or_else(|| {
            source.refuse(format!(
                "the replacement {text:?} of column {name:?} is not a number"
            ))
        })?;
        columns.push((context.symbols.intern(name), value));
    }
    let kind_of = |index: usize| {
        imputer
            .missing_value_type
            .get(index)
            .map_or("str", String::as_str)
    };
    let mut fills_nan = imputer.missing_value.is_empty();
    let mut tokens = Vec::new();
    for (index, token) in imputer.missing_value.iter().enumerate() {
        match (kind_of(index), parse_double(token)) {
            // Python loads these as None, which is what NaN features become before they are compared.
            ("none" | "None" | "NoneType" | "_NoneType", _) => fills_nan = true,
            ("int" | "int64" | "long" | "float" | "float64" | "double", Some(value)) => {
                tokens.push(value)
            }
            ("float" | "float64" | "double", None) => fills_nan = true,
            _ => {}
        }
    }
    let detail = format!("fills {} columns", columns.len());
    Ok(Part::transform(
        Imputation {
            fills_nan: fills_nan || tokens.iter().any(|token| token.is_nan()),
            tokens,
            columns,
        },
        detail,
    ))
}

impl Imputation {
    fn is_missing(&self, cell: &Cell<'_>) -> bool {
        match cell.number() {
            Some(value) => self.tokens.contains(&value) || (value.is_nan() && self.fills_nan),
            None => cell.is_missing() && self.fills_nan,
        }
    }
}

impl Transform for Imputation {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault> {
        for &(column, replacement) in &self.columns {
            if self.is_missing(row.cell(column)) {
                row.set(column, Cell::double(replacement));
            }
        }
        Ok(())
    }

    fn imputes(&self, row: &Row<'_>, found: &mut dyn FnMut(Column)) {
        for &(column, _) in &self.columns {
            if self.is_missing(row.cell(column)) {
                found(column);
            }
        }
    }
}
