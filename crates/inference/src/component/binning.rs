//! `HeteroFeatureBinning`: bin index or weight of evidence (contract 02 A7; B2 rows 8 to 11).

use std::collections::{BTreeMap, HashSet};

use fate_domain::{fault::Fault, party::Role, return_code::ReturnCode};
use fate_proto::buffer::{FeatureBinningMeta, FeatureBinningParam, IvParam};

use super::{Context, Part, Source, Transform};
use crate::{Cell, Refusal, Row, cell::Spelling, dsl::FateVersion, symbols::Column};

#[derive(Debug)]
struct Binning {
    columns: Vec<Binned>,
    missing: Missing,
}

/// What becomes of a value that is missing or no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// FATE-Serving: the last bin for NaN; the column vanishes for text and null.
    LastBinOrVanish,
    /// FATE before 1.7: bisect finds no smaller split.
    FirstBin,
    /// FATE since 1.7: a bin of its own behind the others.
    OwnBin,
}

#[derive(Debug)]
struct Binned {
    column: Column,
    /// All but the last split point: the last bin has no upper end.
    splits: Vec<f64>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Index,
    Woe(Vec<f64>),
}

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let meta: FeatureBinningMeta = source.meta()?;
    let param: FeatureBinningParam = source.param()?;
    let results = param.binning_result.as_ref();
    if meta.need_run && meta.transform_param.is_none() && !context.java() {
        return Err(
            source.refuse("its Meta does not say what becomes of the values (transform_param)")
        );
    }
    let transform = meta.transform_param.unwrap_or_default();
    let woe = match transform.transform_type.as_str() {
        _ if context.java() => false,
        "woe" => true,
        "bin_num" => false,
        _ => return Ok(Part::pass_through("splits only, values stay")),
    };
    let results = results.map(|result| &result.binning_result);
    if !meta.need_run {
        source.refuse_results_without_run(results.is_some_and(|results| !results.is_empty()))?;
        return Ok(Part::pass_through("switched off"));
    }
    let transformed: HashSet<usize> = transform
        .transform_cols
        .iter()
        .filter_map(|&column| usize::try_from(column).ok())
        .collect();
    let is_beyond = |column: &usize| *column >= param.header.len();
    if !context.java() && transformed.iter().any(is_beyond) {
        return Err(source.refuse("a column that is to be binned is not in the header"));
    }
    let selected = |index: usize| transformed.contains(&index);
    if woe {
        refuse_multi_class(source, &param, context.role())?;
        context.differs("FATE-Serving 2.1.7 ignores transform_type woe and emits bin indexes");
    }

    let mut columns = Vec::new();
    for (index, name) in param
        .header
        .iter()
        .enumerate()
        .filter(|(index, _)| selected(*index))
    {
        let Some(iv) = results.and_then(|results| results.get(name)) else {
            if context.java() {
                continue;
            }
            return Err(source.refuse(format!(
                "column {name:?} (number {index}) is to be binned and has no split points"
            )));
        };
        let value = if woe {
            Value::Woe(woe_array(source, name, iv, &param)?)
        } else {
            Value::Index
        };
        let splits = splits_of(source, name, iv)?;
        columns.push(Binned {
            column: context.symbols.intern(name),
            splits,
            value,
        });
    }
    let missing = match (context.java(), context.version() < FateVersion(1, 7, 0)) {
        (true, _) => Missing::LastBinOrVanish,
        (false, true) => Missing::FirstBin,
        (false, false) => Missing::OwnBin,
    };
    let detail = format!(
        "{} of {} columns",
        if woe {
            "weight of evidence"
        } else {
            "bin index"
        },
        columns.len()
    );
    Ok(Part::transform(Binning { columns, missing }, detail))
}

fn refuse_multi_class(
    source: &Source<'_>,
    param: &FeatureBinningParam,
    role: Role,
) -> Result<(), Refusal> {
    let several = param
        .multi_class_result
        .as_ref()
        .is_some_and(|result| result.results.len() > 1);
    if several && role == Role::Guest {
        return Err(
            source.refuse("weight of evidence of several classes is not defined, offline either")
        );
    }
    Ok(())
}

fn splits_of(source: &Source<'_>, name: &str, iv: &IvParam) -> Result<Vec<f64>, Refusal> {
    let Some((_, splits)) = iv.split_points.split_last() else {
        return Err(source.refuse(format!("column {name:?} has an empty list of split points")));
    };
    if splits.iter().any(|split| split.is_nan()) || !splits.is_sorted() {
        return Err(source.refuse(format!(
            "the split points of column {name:?} are not in order"
        )));
    }
    Ok(splits.to_vec())
}

/// The weights of class 0's result, which is where offline looks; older models have them in `binning_result` only.
fn woe_array(
    source: &Source<'_>,
    name: &str,
    iv: &IvParam,
    param: &FeatureBinningParam,
) -> Result<Vec<f64>, Refusal> {
    let of_classes = param
        .multi_class_result
        .as_ref()
        .and_then(|result| result.results.first());
    let column: Option<&IvParam> =
        of_classes.and_then(|result: &_| lookup(&result.binning_result, name));
    let woe = match column {
        Some(column) if !column.woe_array.is_empty() => &column.woe_array,
        _ => &iv.woe_array,
    };
    if woe.len() < iv.split_points.len() {
        return Err(source.refuse(format!(
            "column {name:?} has {} weights of evidence for {} bins: woe is not available at this party",
            woe.len(),
            iv.split_points.len()
        )));
    }
    Ok(woe.clone())
}

fn lookup<'a>(map: &'a BTreeMap<String, IvParam>, name: &str) -> Option<&'a IvParam> {
    map.get(name)
}

impl Transform for Binning {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault> {
        for binned in &self.columns {
            let bin = match row.cell(binned.column) {
                Cell::ImplicitZero => continue,
                Cell::Absent if self.missing == Missing::LastBinOrVanish => continue,
                cell if cell.is_missing() && self.missing != Missing::LastBinOrVanish => {
                    self.missing_bin(binned)
                }
                cell => match cell.number() {
                    Some(value) => binned.bin(value),
                    None if self.missing == Missing::LastBinOrVanish => {
                        row.set(binned.column, Cell::Absent);
                        continue;
                    }
                    None => {
                        return Err(Fault::new(
                            ReturnCode::SYSTEM,
                            "a feature that is binned is not a number",
                        ));
                    }
                },
            };
            row.set(binned.column, binned.cell(bin)?);
        }
        Ok(())
    }
}

impl Binning {
    fn missing_bin(&self, binned: &Binned) -> usize {
        match self.missing {
            Missing::FirstBin => 0,
            Missing::OwnBin | Missing::LastBinOrVanish => binned.splits.len() + 1,
        }
    }
}

impl Binned {
    /// First bin whose split is not below the value; NaN is in the last.
    fn bin(&self, value: f64) -> usize {
        if value.is_nan() {
            self.splits.len()
        } else {
            self.splits.partition_point(|split| *split < value)
        }
    }

    fn cell(&self, bin: usize) -> Result<Cell<'static>, Fault> {
        match &self.value {
            Value::Index => Ok(Cell::Number(bin as f64, Spelling::Integer)),
            Value::Woe(woe) => woe.get(bin).map(|&woe| Cell::double(woe)).ok_or_else(|| {
                Fault::new(ReturnCode::SYSTEM, "a feature is missing, and its weights of evidence were trained without missing values")
            }),
        }
    }
}
