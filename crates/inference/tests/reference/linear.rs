//! Random pipelines before a logistic regression: imputer, scale, binning, selection.

use fate_inference::Plan;
use fate_proto::buffer::{
    ColumnScaleParam, DataTransformImputerMeta, DataTransformImputerParam, DataTransformMeta,
    DataTransformParam, FeatureBinningMeta, FeatureBinningParam, FeatureBinningResult,
    FeatureSelectionMeta, FeatureSelectionParam, IvParam, LeftCols, LrModelMeta, LrModelParam,
    ScaleMeta, ScaleParam, TransformMeta,
};
use prost::Message as _;
use serde_json::{Value, json};

use crate::random::{Random, number, spelled};
use crate::{Row, assert_equal, buffers, guest_plan, host_plan, online, sigmoid};

#[derive(Debug, Clone)]
struct Column {
    name: String,
    replacement: f64,
    /// Lower and upper bound, mean and deviation.
    scale: Option<[f64; 4]>,
    bins: Option<Bins>,
    is_selected: bool,
    weight: f64,
}

#[derive(Debug, Clone)]
struct Bins {
    splits: Vec<f64>,
    woe: Vec<f64>,
}

#[derive(Debug)]
struct Party {
    columns: Vec<Column>,
    is_min_max: bool,
    is_woe: bool,
    intercept: f64,
}

fn column(random: &mut Random, name: String) -> Column {
    let bins = random.chance(40).then(|| {
        let mut splits: Vec<f64> = (0..2 + random.below(5)).map(|_| random.short()).collect();
        splits.sort_by(f64::total_cmp);
        splits.dedup();
        let woe = splits.iter().map(|_| random.unit()).collect();
        Bins { splits, woe }
    });
    let scale = random.chance(50).then(|| {
        let lower = random.short();
        let range = if random.chance(15) {
            0.0
        } else {
            random.unit().abs() * 4.0
        };
        let deviation = if random.chance(15) {
            0.0
        } else {
            random.unit().abs() + 0.01
        };
        [lower, lower + range, random.short(), deviation]
    });
    Column {
        name,
        replacement: random.short(),
        scale,
        bins,
        is_selected: random.chance(80),
        weight: random.unit(),
    }
}

fn party(random: &mut Random, index: usize) -> Party {
    let mut columns: Vec<Column> = (0..1 + random.below(8))
        .map(|c| column(random, format!("p{index}c{c}")))
        .collect();
    // FATE trains no model without features.
    if columns.iter().all(|column| !column.is_selected) {
        columns[0].is_selected = true;
    }
    Party {
        columns,
        is_min_max: random.chance(50),
        is_woe: index == 0 && random.chance(50),
        intercept: if index == 0 { random.unit() } else { 0.0 },
    }
}

fn names(party: &Party) -> Vec<String> {
    party
        .columns
        .iter()
        .map(|column| column.name.clone())
        .collect()
}

fn data_transform(party: &Party) -> (Vec<u8>, Vec<u8>) {
    let meta = DataTransformMeta {
        input_format: "dense".to_owned(),
        data_type: "float64".to_owned(),
        output_format: "dense".to_owned(),
        need_run: true,
        imputer_meta: Some(DataTransformImputerMeta {
            is_imputer: true,
            missing_value: vec!["".to_owned(), "missing".to_owned(), "-1".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    };
    let replacements = party
        .columns
        .iter()
        .map(|column| (column.name.clone(), column.replacement.to_string()));
    let param = DataTransformParam {
        header: names(party),
        imputer_param: Some(DataTransformImputerParam {
            missing_replace_value: replacements.collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    (meta.encode_to_vec(), param.encode_to_vec())
}

fn scale(party: &Party) -> (Vec<u8>, Vec<u8>) {
    let meta = ScaleMeta {
        method: if party.is_min_max {
            "min_max_scale"
        } else {
            "standard_scale"
        }
        .to_owned(),
        mode: "normal".to_owned(),
        with_mean: true,
        with_std: true,
        need_run: true,
        ..Default::default()
    };
    let scaled = party.columns.iter().filter_map(|column| {
        let [lower, upper, mean, std] = column.scale?;
        let param = ColumnScaleParam {
            column_upper: upper,
            column_lower: lower,
            mean,
            std,
        };
        Some((column.name.clone(), param))
    });
    let param = ScaleParam {
        col_scale_param: scaled.collect(),
        header: names(party),
    };
    (meta.encode_to_vec(), param.encode_to_vec())
}

fn binning(party: &Party) -> (Vec<u8>, Vec<u8>) {
    let binned = (0..)
        .zip(&party.columns)
        .filter(|(_, column)| column.bins.is_some());
    let meta = FeatureBinningMeta {
        need_run: true,
        transform_param: Some(TransformMeta {
            transform_cols: binned.clone().map(|(index, _)| index).collect(),
            transform_type: if party.is_woe { "woe" } else { "bin_num" }.to_owned(),
        }),
        ..Default::default()
    };
    let results = binned.map(|(_, column)| {
        let bins = column.bins.clone().unwrap();
        let iv = IvParam {
            split_points: bins.splits,
            woe_array: bins.woe,
            ..Default::default()
        };
        (column.name.clone(), iv)
    });
    let param = FeatureBinningParam {
        header: names(party),
        binning_result: Some(FeatureBinningResult {
            binning_result: results.collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    (meta.encode_to_vec(), param.encode_to_vec())
}

fn selection(party: &Party) -> (Vec<u8>, Vec<u8>) {
    let meta = FeatureSelectionMeta {
        need_run: true,
        ..Default::default()
    };
    let left = party
        .columns
        .iter()
        .map(|column| (column.name.clone(), column.is_selected));
    let param = FeatureSelectionParam {
        final_left_cols: Some(LeftCols {
            original_cols: names(party),
            left_cols: left.collect(),
        }),
        ..Default::default()
    };
    (meta.encode_to_vec(), param.encode_to_vec())
}

fn regression(party: &Party) -> (Vec<u8>, Vec<u8>) {
    let meta = LrModelMeta {
        fit_intercept: true,
        ..Default::default()
    };
    let selected = party.columns.iter().filter(|column| column.is_selected);
    let param = LrModelParam {
        header: selected.clone().map(|column| column.name.clone()).collect(),
        weight: selected
            .map(|column| (column.name.clone(), column.weight))
            .collect(),
        intercept: party.intercept,
        ..Default::default()
    };
    (meta.encode_to_vec(), param.encode_to_vec())
}

fn plan(party: &Party, index: usize, hosts: &[String]) -> Plan {
    let class = |guest: &'static str, host: &'static str| if index == 0 { guest } else { host };
    let parts = [
        ("transform_0", "DataTransform", data_transform(party)),
        ("scale_0", "Scale", scale(party)),
        (
            "binning_0",
            class("HeteroFeatureBinningGuest", "HeteroFeatureBinningHost"),
            binning(party),
        ),
        (
            "selection_0",
            class("HeteroFeatureSelectionGuest", "HeteroFeatureSelectionHost"),
            selection(party),
        ),
        (
            "lr_0",
            class("HeteroLRGuest", "HeteroLRHost"),
            regression(party),
        ),
    ];
    let components: Vec<_> = parts
        .into_iter()
        .map(|(name, class, (meta, param))| (name, class, meta, param))
        .collect();
    let buffers = buffers(&components);
    if index == 0 {
        guest_plan(&buffers, hosts)
    } else {
        host_plan(&buffers, &hosts[index - 1])
    }
}

/// The row a party's own Python code would see, column by column, and its part of the sum.
fn part(party: &Party, row: &Row) -> f64 {
    let mut sum = party.intercept;
    for column in party.columns.iter().filter(|column| column.is_selected) {
        let mut value = match row.get(&column.name) {
            None | Some(Value::Null) => column.replacement,
            Some(Value::String(text)) => match text.as_str() {
                "" | "missing" | "-1" => column.replacement,
                text => text.parse().unwrap(),
            },
            // A number has no spelling in a table: the token means its value.
            Some(number) if number.as_f64() == Some(-1.0) => column.replacement,
            Some(number) => number.as_f64().unwrap(),
        };
        if let Some([lower, upper, mean, deviation]) = column.scale {
            value = value.clamp(lower, upper);
            value = if party.is_min_max {
                let range = upper - lower;
                (value - lower) / if range.abs() < 1e-6 { 1.0 } else { range }
            } else {
                (value - mean)
                    / if deviation.abs() < 1e-6 {
                        1.0
                    } else {
                        deviation
                    }
            };
        }
        if let Some(bins) = &column.bins {
            let inner = &bins.splits[..bins.splits.len() - 1];
            let index = inner.iter().filter(|split| **split < value).count();
            value = if party.is_woe {
                bins.woe[index]
            } else {
                index as f64
            };
        }
        sum += column.weight * value;
    }
    sum
}

fn row(random: &mut Random, party: &Party) -> Row {
    let mut row = Row::new();
    for column in &party.columns {
        let mut pivots = column
            .bins
            .as_ref()
            .map_or_else(Vec::new, |bins| bins.splits.clone());
        pivots.extend(column.scale.iter().flat_map(|scale| scale[..2].to_vec()));
        let value = match random.below(12) {
            0 => continue,
            1 => Value::Null,
            2 => json!(""),
            3 => json!("missing"),
            4 => json!(-1),
            _ => {
                let value = number(random, &pivots);
                spelled(random, value)
            }
        };
        row.insert(column.name.clone(), value);
    }
    row.insert("unknown".to_owned(), json!("not a number"));
    row
}

#[test]
fn pipelines() {
    let mut random = Random(20_240_702);
    for model in 0..2000 {
        let parties: Vec<Party> = (0..2 + random.below(3))
            .map(|index| party(&mut random, index))
            .collect();
        let ids: Vec<String> = (1..parties.len())
            .map(|host| (10_000 + host).to_string())
            .collect();
        let guest = plan(&parties[0], 0, &ids);
        let hosts: Vec<(String, Plan)> = (1..parties.len())
            .map(|host| (ids[host - 1].clone(), plan(&parties[host], host, &ids)))
            .collect();
        for _ in 0..50 {
            let rows: Vec<Row> = parties
                .iter()
                .map(|party| row(&mut random, party))
                .collect();
            let sum: f64 = parties
                .iter()
                .zip(&rows)
                .map(|(party, row)| part(party, row))
                .sum();
            let found = online(&guest, &hosts, &rows);
            assert_equal(&found, &[sigmoid(sum)], &|| {
                format!("model {model}: {parties:?}\n{rows:?}")
            });
        }
    }
}
