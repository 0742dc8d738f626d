//! Models of many columns: a load ends in seconds.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::time::{Duration, Instant};

use fate_domain::party::Role;
use fate_inference::{Buffers, PIPELINE_KEY, Plan, Semantics, Site, compile};
use fate_proto::buffer::{
    ColsMap, ColumnScaleParam, DataTransformImputerMeta, DataTransformImputerParam,
    DataTransformMeta, DataTransformParam, FeatureBinningMeta, FeatureBinningParam,
    FeatureBinningResult, FeatureImputationMeta, FeatureImputationParam, FeatureImputerParam,
    FeatureSelectionMeta, FeatureSelectionParam, IvParam, LeftCols, LrModelMeta, LrModelParam,
    OneHotMeta, OneHotParam, Pipeline, ScaleMeta, ScaleParam, TransformMeta,
};
use fate_proto::buffer_fm::{Embedding, FmModelMeta, FmModelParam};
use prost::Message;

const COLUMNS: usize = 60_000;

struct Component {
    class: &'static str,
    meta: Vec<u8>,
    param: Vec<u8>,
}

fn component(class: &'static str, meta: &impl Message, param: &impl Message) -> Component {
    Component {
        class,
        meta: written(meta),
        param: written(param),
    }
}

/// FATE writes an empty message as these five bytes.
fn written(message: &impl Message) -> Vec<u8> {
    match message.encode_to_vec() {
        bytes if bytes.is_empty() => b"\x0a\x03set".to_vec(),
        bytes => bytes,
    }
}

fn names() -> Vec<String> {
    (0..COLUMNS).map(|index| format!("x{index}")).collect()
}

/// The plan of components that stand in a row.
fn compiled(components: &[Component], semantics: Semantics) -> Plan {
    let mut buffers = Buffers::new();
    let mut dsl = serde_json::Map::new();
    let mut before = "args.data".to_owned();
    for (index, component) in components.iter().enumerate() {
        let name = format!("c{index}");
        for (message, bytes) in [("XMeta", &component.meta), ("XParam", &component.param)] {
            buffers.insert(format!("{name}.model:{message}"), bytes.clone().into());
        }
        let input = serde_json::json!({"data": {"data": [before]}});
        before = format!("{name}.data");
        let node = serde_json::json!({"CodePath": component.class, "input": input});
        dsl.insert(name, node);
    }
    let pipeline = Pipeline {
        inference_dsl: serde_json::json!({"components": dsl}).to_string().into(),
        fate_version: "1.11.4".to_owned(),
        ..Pipeline::default()
    };
    buffers.insert(PIPELINE_KEY.to_owned(), pipeline.encode_to_vec().into());
    let site = Site {
        role: Role::Guest,
        party_id: "9999".to_owned(),
        hosts: vec!["10000".to_owned()],
    };
    let start = Instant::now();
    let plan = compile(&buffers, &site, semantics).unwrap();
    let elapsed = start.elapsed();
    assert!(elapsed < Duration::from_secs(12), "{elapsed:?}");
    plan
}

/// A reader with a type, a token and a replacement for every column.
fn reader(header: Vec<String>) -> Component {
    let imputer = DataTransformImputerMeta {
        is_imputer: true,
        missing_value: vec!["NA".to_owned()],
        ..Default::default()
    };
    let meta = DataTransformMeta {
        input_format: "dense".to_owned(),
        imputer_meta: Some(imputer),
        exclusive_data_type: header
            .iter()
            .map(|name| (name.clone(), "float".to_owned()))
            .collect(),
        need_run: true,
        ..Default::default()
    };
    let replacements = header.iter().map(|name| (name.clone(), "0".to_owned()));
    let imputer = DataTransformImputerParam {
        missing_replace_value: replacements.collect(),
        ..Default::default()
    };
    let param = DataTransformParam {
        imputer_param: Some(imputer),
        header,
        ..Default::default()
    };
    component("DataTransform", &meta, &param)
}

#[test]
fn encoding_and_a_factorization_machine() {
    let mut machine = FmModelParam {
        embed_size: 1,
        header: names(),
        ..Default::default()
    };
    for name in names() {
        machine.weight.insert(name.clone(), 1.0);
        let embedding = Embedding { weight: vec![0.5] };
        machine.embedding.insert(name, embedding);
    }
    // Half of the machine's columns come from the encoder, one from each of its own.
    let mut encoder = OneHotParam::default();
    for name in names().into_iter().step_by(2) {
        let key = format!("y{name}");
        let columns = ColsMap {
            values: vec!["1".to_owned()],
            transformed_headers: vec![name],
        };
        encoder.col_map.insert(key, columns);
    }
    let encoded: Vec<String> = encoder.col_map.keys().cloned().collect();
    let encoder_meta = OneHotMeta {
        transform_col_names: encoded.clone(),
        need_run: true,
        ..Default::default()
    };
    let header = names().into_iter().skip(1).step_by(2).chain(encoded);
    let components = [
        reader(header.collect()),
        component("OneHotEncoder", &encoder_meta, &encoder),
        component("HeteroFMGuest", &FmModelMeta::default(), &machine),
    ];
    for semantics in [Semantics::Fate, Semantics::Java] {
        let plan = compiled(&components, semantics);
        assert_eq!(plan.verdict().features.len(), COLUMNS);
    }
}

#[test]
fn every_other_step_and_a_logistic_regression() {
    let binning = FeatureBinningParam {
        header: names(),
        binning_result: Some(FeatureBinningResult {
            binning_result: names()
                .into_iter()
                .map(|name| {
                    let bins = IvParam {
                        split_points: vec![0.0, 1.0],
                        woe_array: vec![0.5, -0.5],
                        ..Default::default()
                    };
                    (name, bins)
                })
                .collect(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let binning_meta = FeatureBinningMeta {
        need_run: true,
        cols: names(),
        transform_param: Some(TransformMeta {
            transform_cols: (0..COLUMNS as i64).collect(),
            transform_type: "woe".to_owned(),
        }),
        ..Default::default()
    };
    let scale = ScaleParam {
        header: names(),
        col_scale_param: names()
            .into_iter()
            .map(|name| {
                let figures = ColumnScaleParam {
                    column_upper: 2.0,
                    column_lower: -2.0,
                    std: 1.0,
                    ..Default::default()
                };
                (name, figures)
            })
            .collect(),
    };
    let scale_meta = ScaleMeta {
        method: "standard_scale".to_owned(),
        need_run: true,
        ..Default::default()
    };
    let all = |value: &'static str| {
        names()
            .into_iter()
            .map(move |name| (name, value.to_owned()))
    };
    let imputation = FeatureImputationParam {
        header: names(),
        imputer_param: Some(FeatureImputerParam {
            missing_replace_value: all("0").collect(),
            missing_replace_value_type: all("float").collect(),
            ..Default::default()
        }),
    };
    let imputation_meta = FeatureImputationMeta {
        need_run: true,
        ..Default::default()
    };
    let selection = FeatureSelectionParam {
        header: names(),
        final_left_cols: Some(LeftCols {
            left_cols: names().into_iter().map(|name| (name, true)).collect(),
            original_cols: names(),
        }),
        ..Default::default()
    };
    let selection_meta = FeatureSelectionMeta {
        need_run: true,
        ..Default::default()
    };
    let regression = LrModelParam {
        header: names(),
        weight: names().into_iter().map(|name| (name, 0.5)).collect(),
        ..Default::default()
    };
    let components = [
        reader(names()),
        component("FeatureImputation", &imputation_meta, &imputation),
        component("Scale", &scale_meta, &scale),
        component("HeteroFeatureBinningGuest", &binning_meta, &binning),
        component("BaseHeteroFeatureSelection", &selection_meta, &selection),
        component("HeteroLRGuest", &LrModelMeta::default(), &regression),
    ];
    for semantics in [Semantics::Fate, Semantics::Java] {
        let plan = compiled(&components, semantics);
        assert_eq!(plan.verdict().features.len(), COLUMNS);
    }
}
