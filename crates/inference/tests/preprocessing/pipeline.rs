//! Pipelines of a guest with the steps that a test names and a linear model behind them.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use fate_domain::party::Role;
use fate_inference::{Buffers, PIPELINE_KEY, Plan, Refusal, Semantics, Site, compile};
use fate_proto::buffer::{
    DataTransformMeta, DataTransformParam, FeatureBinningMeta, FeatureBinningParam,
    FeatureBinningResult, IvParam, LrModelMeta, LrModelParam, Pipeline, TransformMeta,
};
use prost::Message;

/// Class, Meta and Param.
pub(crate) type Step = (&'static str, Vec<u8>, Vec<u8>);

pub(crate) fn step(class: &'static str, meta: &impl Message, param: &impl Message) -> Step {
    (class, meta.encode_to_vec(), param.encode_to_vec())
}

/// A host's linear model behind `steps`: its part is a plain sum.
pub(crate) fn compiled(
    version: &str,
    steps: Vec<Step>,
    weights: &[(&str, f64)],
    semantics: Semantics,
) -> Result<Plan, Refusal> {
    let meta = LrModelMeta {
        fit_intercept: true,
        ..Default::default()
    };
    let param = LrModelParam {
        header: weights.iter().map(|(name, _)| (*name).to_owned()).collect(),
        weight: weights
            .iter()
            .map(|(name, weight)| ((*name).to_owned(), *weight))
            .collect(),
        ..Default::default()
    };
    let model = step("HeteroLRHost", &meta, &param);
    let mut buffers = Buffers::new();
    let mut dsl = serde_json::Map::new();
    let mut before = "args.data".to_owned();
    for (number, (class, meta, param)) in steps.into_iter().chain([model]).enumerate() {
        let name = format!("step_{number}");
        buffers.insert(format!("{name}.model:XMeta"), meta.into());
        buffers.insert(format!("{name}.model:XParam"), param.into());
        let body = serde_json::json!({"input": {"data": {"data": [before]}}, "CodePath": class});
        dsl.insert(name.clone(), body);
        before = format!("{name}.data");
    }
    let pipeline = Pipeline {
        inference_dsl: serde_json::json!({"components": dsl})
            .to_string()
            .into_bytes()
            .into(),
        fate_version: version.to_owned(),
        ..Default::default()
    };
    buffers.insert(PIPELINE_KEY.to_owned(), pipeline.encode_to_vec().into());
    let site = Site {
        role: Role::Host,
        party_id: "10000".to_owned(),
        hosts: Vec::new(),
    };
    compile(&buffers, &site, semantics)
}

pub(crate) fn plan(version: &str, steps: Vec<Step>, weights: &[(&str, f64)]) -> Plan {
    compiled(version, steps, weights, Semantics::Fate).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// The sum, or the return code of the fault.
pub(crate) fn sum(plan: &Plan, row: &str) -> Result<f64, i32> {
    let mut cells = plan.new_row();
    plan.read_json(row, &mut cells).unwrap();
    let partial = plan.host_partial(&mut cells);
    let partial = partial.map_err(|fault| fault.code.0)?;
    let mut member = b"{".to_vec();
    plan.write_partial(&partial, &mut member);
    member.push(b'}');
    let member: serde_json::Value = serde_json::from_slice(&member).unwrap();
    let (_, value) = member.as_object().unwrap().iter().next().unwrap();
    Ok(value["score"].as_f64().unwrap())
}

pub(crate) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

pub(crate) fn table(meta: DataTransformMeta, header: &[&str]) -> Step {
    let param = DataTransformParam {
        header: texts(header),
        ..Default::default()
    };
    step("DataTransform", &meta, &param)
}

pub(crate) fn format(input_format: &str, output_format: &str) -> DataTransformMeta {
    DataTransformMeta {
        input_format: input_format.to_owned(),
        output_format: output_format.to_owned(),
        data_type: "float64".to_owned(),
        ..Default::default()
    }
}

/// Every column of `header` in the bins (..1], (1..2], (2..).
pub(crate) fn binning(
    header: &[&str],
    transform_type: &str,
    woe: &[f64],
) -> (FeatureBinningMeta, FeatureBinningParam) {
    let iv = IvParam {
        split_points: vec![1.0, 2.0, 3.0],
        woe_array: woe.to_vec(),
        ..Default::default()
    };
    let meta = FeatureBinningMeta {
        need_run: true,
        transform_param: Some(TransformMeta {
            transform_cols: (0..header.len() as i64).collect(),
            transform_type: transform_type.to_owned(),
        }),
        ..Default::default()
    };
    let results = header.iter().map(|name| ((*name).to_owned(), iv.clone()));
    let param = FeatureBinningParam {
        binning_result: Some(FeatureBinningResult {
            binning_result: results.collect(),
            ..Default::default()
        }),
        header: texts(header),
        ..Default::default()
    };
    (meta, param)
}
