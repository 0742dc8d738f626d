//! `LocalBaseline`: a scikit-learn model of the guest (local_baseline.py `predict`).

use fate_proto::buffer::{LrModelMeta, LrModelParam, OneVsRestResult, SingleModel};
use serde_json::json;

use crate::party::{
    Component, FATE, JAVA, assert_answer, compile_all, compile_side_by_side, refusal, sigmoid,
    softmax, version,
};

fn single(weight: f64, intercept: f64) -> SingleModel {
    SingleModel {
        weight: [("x0".to_owned(), weight)].into(),
        intercept,
        header: vec!["x0".to_owned()],
        best_iteration: -1,
        ..Default::default()
    }
}

fn binary(weight: f64) -> LrModelParam {
    LrModelParam {
        weight: [("x0".to_owned(), weight)].into(),
        intercept: -0.5,
        header: vec!["x0".to_owned()],
        best_iteration: -1,
        ..Default::default()
    }
}

fn meta(solver: &str, need_one_vs_rest: bool) -> LrModelMeta {
    LrModelMeta {
        penalty: "l2".to_owned(),
        optimizer: solver.to_owned(),
        fit_intercept: true,
        need_one_vs_rest,
        ..Default::default()
    }
}

#[test]
fn two_classes_are_a_sigmoid() {
    let baseline = Component::new(
        "local_baseline_0",
        "LocalBaseline",
        &meta("lbfgs", false),
        &binary(1.5),
    );
    // Hosts have the component in their DSL, and no model of it.
    let parties = [
        vec![baseline],
        vec![Component::bare("local_baseline_0", "LocalBaseline")],
    ];
    let plans = compile_all(&version("1.11.4"), &parties, FATE).unwrap();
    assert!(!plans.guest.needs_hosts());
    assert_answer(&plans.answer(&[json!({"x0": 2})]), &[sigmoid(2.5)], None);
    let text = refusal(&version("1.11.4"), &parties, JAVA);
    assert!(text.contains("LocalBaseline"), "{text}");
}

/// `LogisticRegression.predict_proba`: one-vs-rest by default in scikit-learn 0.19 (FATE up to 1.6) and with liblinear,
/// softmax otherwise.
#[test]
fn several_classes_follow_scikit_learn() {
    let param = LrModelParam {
        header: vec!["x0".to_owned()],
        need_one_vs_rest: true,
        one_vs_rest_result: Some(OneVsRestResult {
            completed_models: vec![single(1.0, 0.0), single(-1.0, 0.5), single(0.25, 1.0)],
            one_vs_rest_classes: ["0", "4", "8"].map(str::to_owned).to_vec(),
        }),
        ..Default::default()
    };
    let sums = [2.0, -1.5, 1.5];
    let sigmoids = sums.map(sigmoid);
    let total: f64 = sigmoids.iter().sum();
    let shares = sigmoids.map(|share| share / total);
    for (release, solver, expected) in [
        ("1.11.4", "lbfgs", softmax(&sums)),
        ("1.7.0", "sag", softmax(&sums)),
        ("1.11.4", "liblinear", shares.to_vec()),
        ("1.6.1", "lbfgs", shares.to_vec()),
    ] {
        let meta = meta(solver, true);
        let baseline = Component::new("local_baseline_0", "LocalBaseline", &meta, &param);
        let plans = compile_all(&version(release), &[vec![baseline]], FATE).unwrap();
        assert_answer(&plans.answer(&[json!({"x0": 2})]), &expected, Some("0"));
    }
}

/// It is trained beside a federated model; then that one is served, in whatever order they run.
#[test]
fn a_federated_model_goes_before_its_baseline() {
    let lr = |name, class, weight| Component::new(name, class, &meta("", false), &binary(weight));
    for (name, other) in [("a", "z"), ("z", "a")] {
        let guest = [
            lr(name, "HeteroLRGuest", 1.0),
            lr(other, "LocalBaseline", 7.0),
        ];
        let parties = [guest.to_vec(), vec![lr(name, "HeteroLRHost", 2.0)]];
        let plans = compile_side_by_side(&version("1.11.4"), &parties, FATE).unwrap();
        let answer = plans.answer(&[json!({"x0": 1}), json!({"x0": 1})]);
        assert_answer(&answer, &[sigmoid(0.5 + 1.5)], None);
    }
}
