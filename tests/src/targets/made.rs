//! Small models of the kinds that `models/` has none of.

use std::path::PathBuf;

use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_golden::PartyModel;
use fate_inference::{Buffers, PIPELINE_KEY};
use fate_proto::buffer::{
    Centroiddetail, KmeansModelMeta, KmeansModelParam, LrModelMeta, LrModelParam, Pipeline,
};
use fate_proto::buffer_fm::{Embedding, FmModelMeta, FmModelParam, OneVsRestResult, SingleModel};
use prost::Message;

use super::models::Set;

const COLUMNS: [&str; 3] = ["x0", "x1", "x2"];
const ROW: &str = r#"{"x0":"0.5","x1":"-1","x2":"2"}"#;
const PARTIES: [(Role, &str); 2] = [(Role::Guest, "9999"), (Role::Host, "10000")];

/// The parameters of a scorecard stand in the runtime conf.
pub(super) const SCORECARD_CONF: &str = r#"{"dsl_version":2,"role":{"guest":[9999],"host":[10000]},"component_parameters":{"common":{"c":{"method":"credit","offset":500,"factor":20,"factor_base":2,"upper_limit_ratio":3,"lower_limit_value":0,"need_run":true}}}}"#;

/// Component, class without the role, Meta and Param.
type Step = (&'static str, String, Vec<u8>, Vec<u8>);

pub(super) fn sets() -> Vec<Set> {
    vec![
        set("made_fm", |party| machine(party, false)),
        set("made_fm_classes", |party| machine(party, true)),
        set("made_kmeans", clusters),
        set("made_scorecard", scorecard),
    ]
}

fn set(name: &str, steps: impl Fn(&str) -> Vec<Step>) -> Set {
    let parties = PARTIES.map(|(role, party_id)| {
        let suffix = if role == Role::Guest { "Guest" } else { "Host" };
        PartyModel {
            role,
            party_id: party_id.to_owned(),
            key: ModelKey::new(name, format!("{role}#{party_id}#{name}")),
            directory: PathBuf::new(),
            buffers: buffers(steps(suffix)),
        }
    });
    Set {
        name: name.to_owned(),
        parties: parties.to_vec(),
        rows: vec![ROW.to_owned(); PARTIES.len()],
    }
}

fn buffers(steps: Vec<Step>) -> Buffers {
    let mut buffers = Buffers::new();
    let mut components = serde_json::Map::new();
    let mut last = "args";
    for (component, class, meta, param) in steps {
        let body = serde_json::json!({
            "CodePath": class,
            "input": {"data": {"data": [format!("{last}.data")]}},
        });
        components.insert(component.to_owned(), body);
        last = component;
        if !meta.is_empty() {
            buffers.insert(format!("{component}.model:MadeMeta"), meta.into());
            buffers.insert(format!("{component}.model:MadeParam"), param.into());
        }
    }
    let pipeline = Pipeline {
        inference_dsl: serde_json::json!({ "components": components })
            .to_string()
            .into(),
        train_runtime_conf: SCORECARD_CONF.into(),
        fate_version: "1.11.4".to_owned(),
        ..Pipeline::default()
    };
    buffers.insert(PIPELINE_KEY.to_owned(), pipeline.encode_to_vec().into());
    buffers
}

fn step(component: &'static str, class: &str, meta: &impl Message, param: &impl Message) -> Step {
    let (meta, param) = (meta.encode_to_vec(), param.encode_to_vec());
    (component, class.to_owned(), meta, param)
}

fn header() -> Vec<String> {
    COLUMNS.map(str::to_owned).to_vec()
}

fn weights() -> std::collections::BTreeMap<String, f64> {
    header().into_iter().zip([0.5, -1.25, 2.0]).collect()
}

fn machine(party: &str, of_classes: bool) -> Vec<Step> {
    let embedding = || {
        let weight = vec![0.25, -0.5];
        header()
            .into_iter()
            .map(|name| {
                (
                    name,
                    Embedding {
                        weight: weight.clone(),
                    },
                )
            })
            .collect()
    };
    let single = || SingleModel {
        weight: weights(),
        embedding: embedding(),
        embed_size: 2,
        intercept: 0.125,
        header: header(),
        ..SingleModel::default()
    };
    let param = if of_classes {
        FmModelParam {
            header: header(),
            need_one_vs_rest: true,
            one_vs_rest_result: Some(OneVsRestResult {
                completed_models: vec![single(), single()],
                one_vs_rest_classes: vec!["0".to_owned(), "1".to_owned()],
            }),
            ..FmModelParam::default()
        }
    } else {
        FmModelParam {
            weight: weights(),
            embedding: embedding(),
            embed_size: 2,
            intercept: 0.125,
            header: header(),
            ..FmModelParam::default()
        }
    };
    let meta = FmModelMeta {
        need_run: true,
        need_one_vs_rest: of_classes,
        ..FmModelMeta::default()
    };
    vec![step(
        "hetero_fm_0",
        &format!("HeteroFM{party}"),
        &meta,
        &param,
    )]
}

fn clusters(party: &str) -> Vec<Step> {
    let meta = KmeansModelMeta {
        k: 2,
        ..KmeansModelMeta::default()
    };
    let centroid = |centroid: [f64; 3]| Centroiddetail {
        centroid: centroid.to_vec(),
    };
    let param = KmeansModelParam {
        count_of_clusters: 2,
        centroid_detail: vec![centroid([0.0, 1.0, -1.0]), centroid([3.0, 0.5, 1.0])],
        header: header(),
        ..KmeansModelParam::default()
    };
    vec![step(
        "hetero_kmeans_0",
        &format!("HeteroKmeans{party}"),
        &meta,
        &param,
    )]
}

fn scorecard(party: &str) -> Vec<Step> {
    let meta = LrModelMeta {
        fit_intercept: true,
        ..LrModelMeta::default()
    };
    let param = LrModelParam {
        weight: weights(),
        header: header(),
        ..LrModelParam::default()
    };
    vec![
        step("hetero_lr_0", &format!("HeteroLR{party}"), &meta, &param),
        ("c", "Scorecard".to_owned(), Vec::new(), Vec::new()),
    ]
}
