//! Scale, binning, one-hot encoding and selection (contract 02 A5 to A8; B2 rows 6 to 13): random settings, and what they
//! do to a row.

use std::collections::BTreeMap;

use fate_proto::buffer::{
    ColsMap, ColumnScaleParam, FeatureBinningMeta, FeatureBinningParam, FeatureBinningResult,
    FeatureSelectionMeta, FeatureSelectionParam, IvParam, LeftCols, OneHotMeta, OneHotParam,
    ScaleMeta, ScaleParam, TransformMeta,
};

use crate::{
    dice::Dice,
    values::{Row, Value, is_missing},
};

pub(crate) fn random_scale(dice: &mut Dice<'_>, columns: &[String]) -> (ScaleMeta, ScaleParam) {
    let meta = ScaleMeta {
        method: dice.pick(&["min_max_scale", "standard_scale"]).to_owned(),
        need_run: !dice.chance(10),
        ..Default::default()
    };
    let mut random_column = |name| {
        let lower = dice.hundredths();
        let scale = ColumnScaleParam {
            column_lower: lower,
            column_upper: lower + dice.pick(&[4.5, 20.0, 1.0, 0.0, 5e-7]),
            mean: dice.hundredths(),
            std: dice.pick(&[1.5, 0.3, 0.0]),
        };
        (name, scale)
    };
    let scaled: Vec<String> = columns
        .iter()
        .skip(1)
        .chain(&columns[..1])
        .cloned()
        .collect();
    let mut col_scale_param: BTreeMap<_, _> = scaled.into_iter().map(&mut random_column).collect();
    if !meta.need_run {
        col_scale_param.clear();
    }
    (
        meta,
        ScaleParam {
            col_scale_param,
            header: columns.to_vec(),
        },
    )
}

fn is_min_max(meta: &ScaleMeta) -> bool {
    meta.method == "min_max_scale"
}

pub(crate) fn scale_java(mut row: Row, meta: &ScaleMeta, param: &ScaleParam) -> Row {
    if !meta.need_run {
        return row;
    }
    for (name, scale) in &param.col_scale_param {
        // A key that fails is logged and left as it is.
        let Some(number) = row.get(name).and_then(Value::number) else {
            continue;
        };
        let (lower, upper) = (scale.column_lower, scale.column_upper);
        let scaled = if !is_min_max(meta) {
            standard(number, scale)
        } else if number > upper {
            1.0
        } else if number < lower {
            0.0
        } else {
            (number - lower) / range(scale)
        };
        row.insert(name.clone(), Value::Double(scaled));
    }
    row
}

pub(crate) fn scale_fate(
    mut row: Row,
    meta: &ScaleMeta,
    param: &ScaleParam,
    version: &str,
) -> Result<Row, ()> {
    if !meta.need_run {
        return Ok(row);
    }
    for (name, scale) in &param.col_scale_param {
        let value = row.get(name);
        if is_missing(value) {
            continue;
        }
        let number = value.and_then(Value::number).ok_or(())?;
        let mut scaled = if is_min_max(meta) {
            (clipped(number, scale) - scale.column_lower) / range(scale)
        } else {
            standard(number, scale)
        };
        if version == "1.4.0" {
            scaled = (scaled * 1e6).round_ties_even() / 1e6;
        }
        row.insert(name.clone(), Value::Double(scaled));
    }
    Ok(row)
}

fn range(scale: &ColumnScaleParam) -> f64 {
    let range = scale.column_upper - scale.column_lower;
    if range < 1e-6 { 1.0 } else { range }
}

fn standard(number: f64, scale: &ColumnScaleParam) -> f64 {
    let std = if scale.std == 0.0 { 1.0 } else { scale.std };
    (clipped(number, scale) - scale.mean) / std
}

fn clipped(number: f64, scale: &ColumnScaleParam) -> f64 {
    if number > scale.column_upper {
        scale.column_upper
    } else if number < scale.column_lower {
        scale.column_lower
    } else {
        number
    }
}

pub(crate) fn random_binning(
    dice: &mut Dice<'_>,
    columns: &[String],
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
        binning_result: Some(result),
        header: columns.to_vec(),
        ..Default::default()
    };
    (meta, param)
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
    let missing_is_first = matches!(version, "1.6.1" | "1.4.0");
    for (name, iv) in bins(meta, param) {
        let value = row.get(name);
        let bin = match value {
            Some(Value::LeftOut) => continue,
            value if is_missing(value) && missing_is_first => 0,
            value if is_missing(value) => iv.split_points.len(),
            value => bin(value.and_then(Value::number).ok_or(())?, iv),
        };
        let binned = match kind {
            "woe" => Value::Double(*iv.woe_array.get(bin).ok_or(())?),
            _ => Value::Integer(bin as i64),
        };
        row.insert(name.clone(), binned);
    }
    Ok(row)
}

pub(crate) fn random_one_hot(dice: &mut Dice<'_>, columns: &[String]) -> (OneHotMeta, OneHotParam) {
    let meta = OneHotMeta {
        transform_col_names: dice.some_of(60, columns),
        header: columns.to_vec(),
        need_run: !dice.chance(10),
    };
    let mut col_map = BTreeMap::new();
    let encoded = meta.transform_col_names.iter();
    for name in encoded.take_while(|_| meta.need_run) {
        let values: Vec<String> = dice.some_of(
            70,
            &["0", "1", "2", "-2", "3", "1.5", "abc"].map(str::to_owned),
        );
        let transformed_headers = values
            .iter()
            .map(|value| format!("{name}_{value}"))
            .collect();
        col_map.insert(
            name.clone(),
            ColsMap {
                values,
                transformed_headers,
            },
        );
    }
    (
        meta,
        OneHotParam {
            col_map,
            result_header: columns.to_vec(),
        },
    )
}

pub(crate) fn encode_java(row: Row, meta: &OneHotMeta, param: &OneHotParam) -> Row {
    if !meta.need_run {
        return row;
    }
    let mut encoded = Row::new();
    for (name, value) in row {
        if !meta.transform_col_names.contains(&name) {
            encoded.insert(name, value);
            continue;
        }
        let category: i32 = value.text().and_then(|text| text.parse().ok()).unwrap_or(0);
        let Some(map) = param.col_map.get(&name) else {
            continue;
        };
        for (known, output) in map.values.iter().zip(&map.transformed_headers) {
            // The first category that is no integer ends the column.
            let Ok(known) = known.parse::<i32>() else {
                break;
            };
            let hit = if known == category { 1.0 } else { 0.0 };
            encoded.insert(output.clone(), Value::Double(hit));
        }
    }
    encoded
}

pub(crate) fn encode_fate(mut row: Row, meta: &OneHotMeta, param: &OneHotParam) -> Row {
    if !meta.need_run {
        return row;
    }
    for name in &meta.transform_col_names {
        let value = row.remove(name);
        let Some(map) = param.col_map.get(name) else {
            continue;
        };
        for (known, output) in map.values.iter().zip(&map.transformed_headers) {
            let known_number = Value::Text(known.clone()).number();
            let is_hit = match (&value, known_number) {
                (Some(Value::Text(text)), None) => text == known,
                (Some(value @ (Value::Integer(_) | Value::Double(_))), Some(known)) => {
                    value.number() == Some(known)
                }
                _ => false,
            };
            row.insert(
                output.clone(),
                Value::Double(if is_hit { 1.0 } else { 0.0 }),
            );
        }
    }
    row
}

pub(crate) fn random_selection(
    dice: &mut Dice<'_>,
    names: &[String],
) -> (FeatureSelectionMeta, FeatureSelectionParam) {
    let meta = FeatureSelectionMeta {
        need_run: !dice.chance(10),
        filter_methods: vec!["manually".to_owned()],
        ..Default::default()
    };
    let mut listed = dice.some_of(90, names);
    if listed.is_empty() {
        listed.push(names[0].clone());
    }
    let left_cols = listed
        .into_iter()
        .map(|name| (name, !dice.chance(25)))
        .collect();
    let final_left_cols = Some(LeftCols {
        left_cols,
        ..Default::default()
    });
    (
        meta,
        FeatureSelectionParam {
            final_left_cols,
            ..Default::default()
        },
    )
}

pub(crate) fn select(
    mut row: Row,
    meta: &FeatureSelectionMeta,
    param: &FeatureSelectionParam,
) -> Row {
    if meta.need_run {
        let left = &param.final_left_cols.as_ref().unwrap().left_cols;
        row.retain(|name, _| left.get(name) == Some(&true));
    }
    row
}
