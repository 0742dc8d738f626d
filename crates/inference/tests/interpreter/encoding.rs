//! One-hot encoding and selection (contract 02 A6, A8; B2 rows 12 and 13): random settings, and what they do to a row.

use std::collections::BTreeMap;

use fate_proto::buffer::{
    ColsMap, FeatureSelectionMeta, FeatureSelectionParam, LeftCols, OneHotMeta, OneHotParam,
};

use crate::{
    dice::Dice,
    values::{Row, Value},
};

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
            &["0", "1", "2", "-2", "3", "1.5", "abc", "男", "1_0"].map(str::to_owned),
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
            // The only number among the categories that Java does not read.
            let known_number = if known == "1_0" {
                Some(10.0)
            } else {
                Value::text_of(known).number()
            };
            let is_hit = match (&value, known_number) {
                (Some(Value::Text(text)), None) => text == known,
                (Some(value), Some(known)) if value.is_number() || *value == Value::LeftOut => {
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
