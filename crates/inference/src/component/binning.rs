//! `HeteroFeatureBinning`: bin index or weight of evidence (contract 02 A7; B2 rows 8 to 11).

use std::collections::HashSet;

use fate_domain::{fault::Fault, return_code::ReturnCode};
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
    /// FATE before 1.5: no split is found that is not below.
    LastBin,
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
        _ => {
            if meta.need_run && !transform.transform_cols.is_empty() {
                context.differs("FATE leaves the values as they are (no transform_type), FATE-Serving 2.1.7 bins them");
            }
            return Ok(Part::pass_through("splits only, values stay"));
        }
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
    if woe {
        refuse_several_classes(source, &param, context)?;
    }
    note_differences(woe, context);

    let mut columns = Vec::new();
    let listed = param.header.iter().enumerate();
    for (index, name) in listed.filter(|(index, _)| transformed.contains(index)) {
        let Some(iv) = results.and_then(|results| results.get(name)) else {
            if context.java() {
                continue;
            }
            return Err(source.refuse(format!(
                "column {name:?} (number {index}) is to be binned and has no split points"
            )));
        };
        let value = if woe {
            let woe = woe_array(source, name, iv, &param)?;
            Value::Woe(if context.integers {
                truncated(woe)
            } else {
                woe
            })
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
    let missing = match context.version() {
        _ if context.java() => Missing::LastBinOrVanish,
        version if version < FateVersion(1, 5, 0) => Missing::LastBin,
        version if version < FateVersion(1, 7, 0) => Missing::FirstBin,
        _ => Missing::OwnBin,
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

/// Weights of several classes: up to FATE 1.9 those of the first class count, since 1.10 the offline job ends with an error
/// (iv_calculator.py, `woe_transformer`).
fn refuse_several_classes(
    source: &Source<'_>,
    param: &FeatureBinningParam,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let results = param.multi_class_result.as_ref();
    let several = results.is_some_and(|result| result.results.len() > 1);
    if several && context.version() >= FateVersion(1, 10, 0) {
        return Err(source.refuse(
            "weight of evidence of several classes is not defined, offline either (since FATE 1.10)",
        ));
    }
    Ok(())
}

fn note_differences(woe: bool, context: &mut Context<'_>) {
    if woe {
        context.differs("FATE-Serving 2.1.7 ignores transform_type woe and emits bin indexes");
    } else {
        context.differs(
            "a binned feature without a value has a bin all the same; FATE-Serving 2.1.7 leaves it out",
        );
    }
    if woe && context.integers {
        context.differs(
            "weights of evidence lose their fractions in FATE, as the table is one of integers",
        );
    }
    if context.sparse {
        context.differs(
            "FATE does not bin the zeros that a sparse row leaves out, FATE-Serving 2.1.7 does",
        );
    }
}

/// What numpy keeps of numbers that are written into an array of integers.
fn truncated(woe: Vec<f64>) -> Vec<f64> {
    woe.into_iter().map(f64::trunc).collect()
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
    let column = of_classes.and_then(|result| result.binning_result.get(name));
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
            Missing::LastBin | Missing::LastBinOrVanish => binned.splits.len(),
            Missing::OwnBin => binned.splits.len() + 1,
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
