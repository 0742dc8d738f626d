//! What a watched row is said to bring along, per kind of step that fills or finds missing values.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::collections::BTreeMap;

use fate_domain::party::Role;
use fate_inference::{
    Buffers, Coverage, Figures, GuestLocal, PIPELINE_KEY, Plan, Semantics, Site, compile,
};
use fate_proto::buffer::{
    DataTransformImputerMeta, DataTransformImputerParam, DataTransformMeta, DataTransformParam,
    FeatureImputationMeta, FeatureImputationParam, FeatureImputerMeta, FeatureImputerParam,
    LrModelMeta, LrModelParam, Pipeline,
};
use prost::Message;

const NEEDED: [&str; 4] = ["a", "b", "c", "d"];

/// What the steps before a linear model of `a` to `d` do; the table it was trained on had a column `other` besides.
#[derive(Default)]
struct Steps {
    input_format: &'static str,
    /// Tokens and columns of DataTransform's imputer.
    imputer: Option<(&'static [&'static str], &'static [&'static str])>,
    /// Columns that a FeatureImputation fills.
    imputation: Option<&'static [&'static str]>,
}

fn zeros(names: &[&str]) -> BTreeMap<String, String> {
    names
        .iter()
        .map(|name| ((*name).to_owned(), "0".to_owned()))
        .collect()
}

fn plan(steps: &Steps, semantics: Semantics) -> Plan {
    let header = NEEDED.into_iter().chain(["other"]).map(str::to_owned);
    let mut data = DataTransformMeta {
        input_format: steps.input_format.to_owned(),
        data_type: "float64".to_owned(),
        need_run: true,
        ..Default::default()
    };
    let mut data_param = DataTransformParam {
        header: header.collect(),
        ..Default::default()
    };
    if let Some((tokens, columns)) = steps.imputer {
        data.imputer_meta = Some(DataTransformImputerMeta {
            is_imputer: true,
            missing_value: tokens.iter().map(|token| (*token).to_owned()).collect(),
            ..Default::default()
        });
        data_param.imputer_param = Some(DataTransformImputerParam {
            missing_replace_value: zeros(columns),
            ..Default::default()
        });
    }
    let mut components = vec![(
        "DataTransform",
        data.encode_to_vec(),
        data_param.encode_to_vec(),
    )];
    if let Some(columns) = steps.imputation {
        let meta = FeatureImputationMeta {
            need_run: true,
            imputer_meta: Some(FeatureImputerMeta {
                is_imputer: true,
                ..Default::default()
            }),
        };
        let param = FeatureImputationParam {
            imputer_param: Some(FeatureImputerParam {
                missing_replace_value: zeros(columns),
                ..Default::default()
            }),
            ..Default::default()
        };
        components.push((
            "FeatureImputation",
            meta.encode_to_vec(),
            param.encode_to_vec(),
        ));
    }
    let lr = LrModelParam {
        header: NEEDED.map(str::to_owned).into(),
        weight: NEEDED.map(|name| (name.to_owned(), 0.5)).into(),
        ..Default::default()
    };
    components.push((
        "HeteroLRGuest",
        LrModelMeta::default().encode_to_vec(),
        lr.encode_to_vec(),
    ));
    compiled(components, semantics)
}

fn compiled(components: Vec<(&str, Vec<u8>, Vec<u8>)>, semantics: Semantics) -> Plan {
    let mut buffers = Buffers::new();
    let mut dsl = serde_json::Map::new();
    let mut before = "args.eval_data".to_owned();
    for (class, meta, param) in components {
        let name = format!("{}_0", class.to_lowercase());
        let component =
            serde_json::json!({"input": {"data": {"data": [before]}}, "CodePath": class});
        dsl.insert(name.clone(), component);
        // An empty message is written as this filler (contract 02 A2.8).
        let written = |bytes: Vec<u8>| {
            if bytes.is_empty() {
                b"\x0a\x03set".to_vec()
            } else {
                bytes
            }
        };
        buffers.insert(format!("{name}.model:AnyMeta"), written(meta).into());
        buffers.insert(format!("{name}.model:AnyParam"), written(param).into());
        before = format!("{name}.data");
    }
    let pipeline = Pipeline {
        inference_dsl: serde_json::json!({"components": dsl})
            .to_string()
            .into_bytes()
            .into(),
        ..Default::default()
    };
    buffers.insert(PIPELINE_KEY.to_owned(), pipeline.encode_to_vec().into());
    let site = Site {
        role: Role::Guest,
        party_id: "9999".to_owned(),
        hosts: vec!["10000".to_owned()],
    };
    compile(&buffers, &site, semantics).unwrap()
}

fn watched(plan: &Plan, coverage: &mut Coverage<'_>, features: &str) -> Option<GuestLocal> {
    let mut row = plan.new_row();
    plan.read_json(features, &mut row).unwrap();
    plan.guest_local_watched(&mut row, Some(coverage)).ok()
}

/// The names that count as imputed and as missing, after a check of the counts.
fn names(coverage: &Coverage<'_>) -> (String, String) {
    let joined = |names: Vec<&str>| names.join(" ");
    let (imputed, missing) = (coverage.imputed().collect(), coverage.missing().collect());
    let (imputed, missing): (Vec<&str>, Vec<&str>) = (imputed, missing);
    let figures = coverage.figures();
    assert_eq!(figures.needed, NEEDED.len());
    assert_eq!(
        (figures.imputed, figures.missing),
        (imputed.len(), missing.len())
    );
    assert_eq!(
        figures.needed,
        figures.present + figures.imputed + figures.missing
    );
    (joined(imputed), joined(missing))
}

fn assert_names(steps: &Steps, semantics: Semantics, cases: &[(&str, &str, &str)]) {
    let plan = plan(steps, semantics);
    let mut coverage = plan.coverage();
    for (features, imputed, missing) in cases {
        let local = watched(&plan, &mut coverage, features);
        let expected = ((*imputed).to_owned(), (*missing).to_owned());
        assert_eq!(names(&coverage), expected, "{semantics:?} {features}");
        let mut row = plan.new_row();
        plan.read_json(features, &mut row).unwrap();
        let unwatched = plan.guest_local(&mut row).ok();
        assert_eq!(local, unwatched, "watching changed the result: {features}");
    }
}

#[test]
fn an_imputer_fills_its_columns_and_no_others() {
    let steps = Steps {
        imputer: Some((&["-9999"], &["a", "b", "c"])),
        ..Steps::default()
    };
    assert_names(
        &steps,
        Semantics::Fate,
        &[
            (r#"{"a":1,"b":2,"c":3,"d":4}"#, "", ""),
            (r#"{"a":1,"b":"-9999","c":null}"#, "b c", "d"),
            (r#"{"a":-9999,"b":"","c":0,"d":0}"#, "a b", ""),
            ("{}", "a b c", "d"),
        ],
    );
}

#[test]
fn java_fills_absent_features_and_tokens() {
    let steps = Steps {
        imputer: Some((&["none"], &NEEDED)),
        ..Steps::default()
    };
    assert_names(
        &steps,
        Semantics::Java,
        &[
            (r#"{"a":1,"b":"None"}"#, "b c d", ""),
            (r#"{"a":1,"b":2,"c":3,"d":4}"#, "", ""),
        ],
    );
}

#[test]
fn without_an_imputer_tokens_and_blanks_are_missing_even_when_the_row_fails() {
    let steps = Steps::default();
    assert_names(
        &steps,
        Semantics::Fate,
        &[
            (r#"{"a":1,"b":2,"c":3}"#, "", "d"),
            // No number comes of these rows.
            (r#"{"a":1,"b":"NA","c":"NULL","d":"NaN"}"#, "", "b c d"),
            (r#"{"a":1,"b":null,"c":"","d":true}"#, "", "b c"),
        ],
    );
}

#[test]
fn feature_imputation_fills_what_the_table_left_missing() {
    let steps = Steps {
        imputation: Some(&["b", "c"]),
        ..Steps::default()
    };
    assert_names(
        &steps,
        Semantics::Fate,
        &[
            (r#"{"a":1,"b":"NA","d":4}"#, "b c", ""),
            (r#"{"b":0,"c":0}"#, "", "a d"),
        ],
    );
}

#[test]
fn what_a_sparse_row_leaves_out_is_filled_with_zero() {
    let steps = Steps {
        input_format: "sparse",
        ..Steps::default()
    };
    for semantics in [Semantics::Fate, Semantics::Java] {
        assert_names(
            &steps,
            semantics,
            &[
                (r#"{"b":2}"#, "a c d", ""),
                (r#"{"a":0,"b":2,"c":3,"d":4}"#, "", ""),
            ],
        );
    }
}

#[test]
fn names_that_no_step_uses_are_counted_before_they_are_dropped() {
    let plan = plan(&Steps::default(), Semantics::Fate);
    let mut coverage = plan.coverage();
    watched(
        &plan,
        &mut coverage,
        r#"{"a":1,"A":1,"other":1,"x":null,"d":2}"#,
    );
    let expected = Figures {
        needed: 4,
        present: 2,
        missing: 2,
        unknown: 2,
        imputed: 0,
    };
    assert_eq!(coverage.figures(), expected);
    assert_eq!(coverage.figures().hit_rate(), 0.5);
    assert!(plan.knows("other") && plan.knows("a") && !plan.knows("A"));
    // The next row starts anew.
    watched(&plan, &mut coverage, r#"{"a":1,"b":1,"c":1,"d":2}"#);
    assert_eq!(
        (coverage.figures().present, coverage.figures().unknown),
        (4, 0)
    );
}
