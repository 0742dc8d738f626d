//! `HeteroFeatureBinning` (contract 02 A7; B2 rows 8 to 11): random settings, and what they do to a row.

use std::collections::BTreeMap;

use fate_proto::buffer::{
    FeatureBinningMeta, FeatureBinningParam, FeatureBinningResult, IvParam, MultiClassResult,
    TransformMeta,
};

use crate::{
    dice::Dice,
    values::{Row, Value, is_missing, release},
};

pub(crate) fn random_binning(
    dice: &mut Dice<'_>,
    columns: &[String],
    version: &str,
) -> (FeatureBinningMeta, FeatureBinningParam) {
    let is_selected: Vec<bool> = columns.iter().map(|_| dice.chance(75)).collect();
    let selected = (0..columns.len()).filter(|&index| is_selected[index]);
    let meta = FeatureBinningMeta {
        need_run: !dice.chance(10),
        transform_param: Some(TransformMeta {
            transform_cols: selected.map(|index| index as i64).collect(),
            transform_type: dice.pick(&["bin_num", "woe", "woe", ""]).to_owned(),
        }),
        ..Default::default()
    };
    let mut random_bins = |name: &String| {
        let mut split_points: Vec<f64> =
            (0..1 + dice.below(5)).map(|_| dice.hundredths()).collect();
        split_points.sort_by(f64::total_cmp);
        split_points.dedup();
        // Trained with missing values there is one weight more than there are bins.
        let weights = split_points.len() + dice.below(2);
        let woe_array = (0..weights).map(|_| dice.hundredths() / 4.0).collect();
        (
            name.clone(),
            IvParam {
                split_points,
                woe_array,
                ..Default::default()
            },
        )
    };
    let mut binning_result: BTreeMap<_, _> = columns.iter().map(&mut random_bins).collect();
    if !meta.need_run {
        binning_result.clear();
    }
    let result = FeatureBinningResult {
        binning_result,
        ..Default::default()
    };
    let param = FeatureBinningParam {
        multi_class_result: random_classes(dice, &result, version),
        binning_result: Some(result),
        header: columns.to_vec(),
        ..Default::default()
    };
    (meta, param)
}

/// Since FATE 1.7 each class has a result, whose weights count; since 1.10 there are none for several classes.
fn random_classes(
    dice: &mut Dice<'_>,
    result: &FeatureBinningResult,
    version: &str,
) -> Option<MultiClassResult> {
    let most = match release(version) {
        release if release < (1, 7, 0) => 0,
        release if release < (1, 10, 0) => 3,
        _ => 1,
    };
    let classes = dice.below(most + 1);
    let mut of_class = || {
        let mut result = result.clone();
        for iv in result.binning_result.values_mut() {
            iv.woe_array
                .iter_mut()
                .for_each(|woe| *woe = dice.hundredths() / 3.0);
        }
        result
    };
    let results: Vec<_> = (0..classes).map(|_| of_class()).collect();
    (classes > 0).then_some(MultiClassResult {
        results,
        ..Default::default()
    })
}

fn weights<'a>(param: &'a FeatureBinningParam, name: &str) -> &'a [f64] {
    let classes = param.multi_class_result.as_ref();
    let first = classes.and_then(|classes| classes.results.first());
    let result = first.or(param.binning_result.as_ref()).unwrap();
    &result.binning_result[name].woe_array
}

/// The columns that are binned.
fn bins<'a>(
    meta: &'a FeatureBinningMeta,
    param: &'a FeatureBinningParam,
) -> Vec<(&'a String, &'a IvParam)> {
    let columns = &meta.transform_param.as_ref().unwrap().transform_cols;
    let results = &param.binning_result.as_ref().unwrap().binning_result;
    let names = columns.iter().map(|&column| &param.header[column as usize]);
    names.map(|name| (name, &results[name])).collect()
}

/// The first bin whose split is not below the number; the last one has no upper end.
fn bin(number: f64, iv: &IvParam) -> usize {
    let last = iv.split_points.len() - 1;
    iv.split_points
        .iter()
        .position(|split| number <= *split)
        .unwrap_or(last)
}

pub(crate) fn bin_java(
    mut row: Row,
    meta: &FeatureBinningMeta,
    param: &FeatureBinningParam,
) -> Row {
    if !meta.need_run {
        return row;
    }
    for (name, iv) in bins(meta, param) {
        match row.get(name).map(Value::number) {
            None => {}
            Some(Some(number)) => {
                drop(row.insert(name.clone(), Value::Integer(bin(number, iv) as i64)))
            }
            Some(None) => drop(row.remove(name)),
        }
    }
    row
}

pub(crate) fn bin_fate(
    mut row: Row,
    meta: &FeatureBinningMeta,
    param: &FeatureBinningParam,
    version: &str,
    of_integers: bool,
) -> Result<Row, ()> {
    let kind = meta
        .transform_param
        .as_ref()
        .unwrap()
        .transform_type
        .as_str();
    if !meta.need_run || kind.is_empty() {
        return Ok(row);
    }
    let bin_of_missing = |iv: &IvParam| match release(version) {
        release if release < (1, 5, 0) => iv.split_points.len() - 1,
        release if release < (1, 7, 0) => 0,
        _ => iv.split_points.len(),
    };
    for (name, iv) in bins(meta, param) {
        let value = row.get(name);
        let bin = match value {
            Some(Value::LeftOut) => continue,
            value if is_missing(value) => bin_of_missing(iv),
            value => bin(value.and_then(Value::number).ok_or(())?, iv),
        };
        let binned = match kind {
            "woe" => {
                let woe = *weights(param, name).get(bin).ok_or(())?;
                Value::Double(if of_integers { woe.trunc() } else { woe })
            }
            _ => Value::Integer(bin as i64),
        };
        row.insert(name.clone(), binned);
    }
    Ok(row)
}
