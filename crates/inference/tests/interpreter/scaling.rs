//! `ColumnExpand`, `FeatureImputation` and `Scale` (contract 02 A5, B4; B2 rows 6 and 7): random settings, and what they do
//! to a row.

use std::collections::BTreeMap;

use fate_proto::buffer::{
    ColumnExpandMeta, ColumnScaleParam, FeatureImputationMeta, FeatureImputationParam,
    FeatureImputerMeta, FeatureImputerParam, ScaleMeta, ScaleParam,
};

use crate::{
    dice::Dice,
    values::{Row, Value, is_missing, release},
};

/// Appends some of the columns.
pub(crate) fn random_expand(dice: &mut Dice<'_>, columns: &[String]) -> ColumnExpandMeta {
    let append_header = dice.some_of(30, columns);
    let mut fill_value = vec![dice.pick(&["1e-08", "3", "na"]).to_owned()];
    if dice.chance(50) && !append_header.is_empty() {
        let values = append_header.iter();
        fill_value = values.map(|_| dice.hundredths().to_string()).collect();
    }
    ColumnExpandMeta {
        append_header,
        method: "manual".to_owned(),
        fill_value,
        need_run: !dice.chance(10),
    }
}

pub(crate) fn expand(mut row: Row, meta: &ColumnExpandMeta) -> Row {
    if meta.need_run {
        let values = meta.fill_value.iter().cycle();
        for (name, value) in meta.append_header.iter().zip(values) {
            row.insert(name.clone(), Value::text_of(value));
        }
    }
    row
}

type Imputation = (FeatureImputationMeta, FeatureImputationParam);

pub(crate) fn random_imputation(dice: &mut Dice<'_>, columns: &[String]) -> Imputation {
    let typed = [
        ("nan", "float"),
        ("-9999", "int"),
        ("1.5", "float64"),
        ("abc", "str"),
        ("0", "int64"),
        ("None", "NoneType"),
        ("2", "str"),
    ];
    let tokens = dice.some_of(40, &typed);
    let imputer_meta = FeatureImputerMeta {
        is_imputer: !dice.chance(5),
        missing_value: tokens
            .iter()
            .map(|(value, _)| (*value).to_owned())
            .collect(),
        missing_value_type: tokens.iter().map(|(_, name)| (*name).to_owned()).collect(),
        ..Default::default()
    };
    let mut imputer_param = FeatureImputerParam {
        skip_cols: dice.some_of(10, columns),
        ..Default::default()
    };
    for column in dice.some_of(85, columns) {
        let (value, kind) = dice.pick(&[("0", "int"), ("2.5", "float"), ("abc", "str")]);
        let types = &mut imputer_param.missing_replace_value_type;
        types.insert(column.clone(), kind.to_owned());
        let values = &mut imputer_param.missing_replace_value;
        values.insert(column, value.to_owned());
    }
    (
        FeatureImputationMeta {
            imputer_meta: Some(imputer_meta),
            need_run: !dice.chance(5),
        },
        FeatureImputationParam {
            header: columns.to_vec(),
            imputer_param: Some(imputer_param),
        },
    )
}

pub(crate) fn impute(
    mut row: Row,
    meta: &FeatureImputationMeta,
    param: &FeatureImputationParam,
) -> Row {
    let imputer = meta.imputer_meta.as_ref().unwrap();
    let values = param.imputer_param.as_ref().unwrap();
    if !meta.need_run || !imputer.is_imputer {
        return row;
    }
    for (name, replacement) in &values.missing_replace_value {
        if values.skip_cols.contains(name) || !is_imputed(row.get(name), imputer) {
            continue;
        }
        let value = Value::text_of(replacement);
        let value = value.number().map_or(value, Value::Double);
        row.insert(name.clone(), value);
    }
    row
}

/// A typed token equals values of its type only; nothing equals None, and NaN is what is missing by now.
fn is_imputed(value: Option<&Value>, imputer: &FeatureImputerMeta) -> bool {
    let mut tokens = imputer
        .missing_value
        .iter()
        .zip(&imputer.missing_value_type);
    if is_missing(value) {
        return imputer.missing_value.is_empty() || tokens.any(|(token, _)| token == "nan");
    }
    let Some(value) = value else { return false };
    tokens.any(|(token, kind)| match (kind.as_str(), value) {
        ("str", Value::Text(text)) => text == token,
        ("int" | "int64" | "float" | "float64", value) if value.is_number() => {
            token.parse().ok() == value.number()
        }
        _ => false,
    })
}

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
        if release(version) <= (1, 4, 0) {
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
