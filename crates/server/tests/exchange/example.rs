//! The two parts of FATE's example model, as far as contract 01 App. A and App. C tell of it: the weights that are given
//! there, and those that follow from one of the vectors (marked; the other vectors then check them).

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use fate_proto::buffer::{
    DataIoMeta, DataIoParam, ImputerMeta, ImputerParam, LrModelMeta, LrModelParam, Pipeline,
};
use prost::Message;

pub(crate) const VERSION: &str = "2020080416153238910324";
pub(crate) const GUEST: &str = "guest#9999#arbiter-10000#guest-9999#host-10000#model";
pub(crate) const HOST: &str = "host#10000#arbiter-10000#guest-9999#host-10000#model";

fn logit(score: f64) -> f64 {
    -((1.0 - score) / score).ln()
}

const X0: f64 = -0.13773909178409657;
const X1: f64 = -0.25771363055671864;
const X10: f64 = -0.1881114007764108;
const X300: f64 = -0.06413005971276317;
const X301: f64 = 0.09522000775268297;
/// Host part of id 1.
const ID_1: f64 = 0.12630995579260276;

/// Follows from `{}` with a host part of 0.
fn intercept() -> f64 {
    logit(0.4768876665020543)
}

fn guest_weights() -> BTreeMap<String, f64> {
    // Follows from {"x0":0.5,"x1":1,"x2":"3.5"} with a host part of 0.
    let x2 = (logit(0.7152197437537294) - intercept() - 0.5 * X0 - X1) / 3.5;
    // Follows from {"x299":-1.25,"x10":2} for id 1.
    let x299 = (logit(0.36655455698099937) - intercept() - ID_1 - 2.0 * X10) / -1.25;
    [
        ("x0", X0),
        ("x1", X1),
        ("x2", x2),
        ("x10", X10),
        ("x299", x299),
    ]
    .map(|(name, weight)| (name.to_owned(), weight))
    .into()
}

fn host_weights() -> BTreeMap<String, f64> {
    // Follows from {"x0":0.5} for id 2.
    let id_2 = logit(0.4849119381506504) - intercept() - 0.5 * X0;
    let x1000 = (id_2 + 3.25 * X300) / 0.5;
    [("x300", X300), ("x301", X301), ("x1000", x1000)]
        .map(|(name, weight)| (name.to_owned(), weight))
        .into()
}

/// Writes a party's part as a cache file, which loads of type CACHE read.
pub(crate) fn write_cache(path: &Path, role: &str) {
    let json: BTreeMap<String, String> = buffers(role)
        .into_iter()
        .map(|(key, bytes)| {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            (key, text)
        })
        .collect();
    std::fs::write(path, serde_json::to_vec(&json).unwrap()).unwrap();
}

/// A party's buffers by key.
pub(crate) fn buffers(role: &str) -> BTreeMap<String, Vec<u8>> {
    let (weights, class, intersection) = match role {
        "guest" => (
            guest_weights(),
            "hetero_lr_guest.py/HeteroLRGuest",
            "IntersectGuest",
        ),
        _ => (
            host_weights(),
            "hetero_lr_host.py/HeteroLRHost",
            "IntersectHost",
        ),
    };
    let intercept = if role == "guest" { intercept() } else { 0.0 };
    let dsl = format!(
        r#"{{"components":{{
            "dataio_0":{{"module":"DataIO","input":{{"data":{{"data":["args.eval_data"]}}}},"output":{{"data":["train"]}},"CodePath":"federatedml/util/data_io.py/DataIO"}},
            "intersection_0":{{"module":"Intersection","input":{{"data":{{"data":["dataio_0.train"]}}}},"output":{{"data":["train"]}},"CodePath":"federatedml/statistic/intersect/intersect_model.py/{intersection}"}},
            "hetero_lr_0":{{"module":"HeteroLR","input":{{"data":{{"eval_data":["intersection_0.train"]}}}},"CodePath":"federatedml/linear_model/logistic_regression/hetero_logistic_regression/{class}"}}}}}}"#
    );
    let imputed = weights.keys().map(|name| (name.clone(), "0".to_owned()));
    let pipeline = Pipeline {
        inference_dsl: dsl.into_bytes().into(),
        ..Pipeline::default()
    };
    let data_meta = DataIoMeta {
        input_format: "dense".into(),
        delimitor: ",".into(),
        data_type: "float64".into(),
        tag_value_delimitor: ":".into(),
        imputer_meta: Some(ImputerMeta {
            is_imputer: true,
            missing_value: ["", "none", "null", "na"].map(str::to_owned).into(),
            ..ImputerMeta::default()
        }),
        need_run: true,
        ..DataIoMeta::default()
    };
    let data_param = DataIoParam {
        header: weights.keys().cloned().collect(),
        imputer_param: Some(ImputerParam {
            missing_replace_value: imputed.collect(),
            ..ImputerParam::default()
        }),
        ..DataIoParam::default()
    };
    let lr_meta = LrModelMeta {
        penalty: "L1".into(),
        fit_intercept: role == "guest",
        ..LrModelMeta::default()
    };
    let lr_param = LrModelParam {
        header: weights.keys().cloned().collect(),
        weight: weights,
        intercept,
        ..LrModelParam::default()
    };
    BTreeMap::from([
        (
            "pipeline.pipeline:Pipeline".to_owned(),
            pipeline.encode_to_vec(),
        ),
        (
            "dataio_0.dataio:DataIOMeta".to_owned(),
            data_meta.encode_to_vec(),
        ),
        (
            "dataio_0.dataio:DataIOParam".to_owned(),
            data_param.encode_to_vec(),
        ),
        (
            "hetero_lr_0.model:HeteroLogisticRegressionMeta".to_owned(),
            lr_meta.encode_to_vec(),
        ),
        (
            "hetero_lr_0.model:HeteroLogisticRegressionParam".to_owned(),
            lr_param.encode_to_vec(),
        ),
    ])
}
