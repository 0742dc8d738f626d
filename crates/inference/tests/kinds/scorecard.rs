//! `Scorecard` on top of a probability (score_transformer.py `compute_credit_score`).

use fate_proto::buffer::{LrModelMeta, LrModelParam, OneVsRestResult, SingleModel};
use serde_json::{Value, json};

use crate::party::{
    About, Component, FATE, JAVA, assert_answer, compile_all, refusal, sigmoid, version,
};

fn lr(class: &'static str, param: &LrModelParam) -> Component {
    let meta = LrModelMeta {
        fit_intercept: true,
        ..Default::default()
    };
    Component::new("hetero_lr_0", class, &meta, param)
}

fn single(weight: f64) -> LrModelParam {
    LrModelParam {
        weight: [("x".to_owned(), weight)].into(),
        header: vec!["x".to_owned()],
        ..Default::default()
    }
}

fn parties() -> [Vec<Component>; 2] {
    let card = || Component::bare("scorecard_0", "Scorecard");
    [
        vec![lr("HeteroLRGuest", &single(1.0)), card()],
        vec![lr("HeteroLRHost", &single(0.5)), card()],
    ]
}

fn about(conf: Value) -> About {
    About {
        conf: Some(conf),
        ..version("1.11.4")
    }
}

/// `ln((1 - p) / p)` of a sigmoid is minus its sum: 600 - 30 * sum / ln(4), to two digits.
#[test]
fn the_score_is_the_credit_score() {
    let conf = json!({
        "role": {"guest": [9999], "host": [10000]},
        "component_parameters": {
            "common": {"scorecard_0": {"method": "credit", "offset": 600, "factor": 20, "factor_base": 4}},
            "role": {"guest": {"0": {"scorecard_0": {"factor": 30}}}}}});
    let plans = compile_all(&about(conf), &parties(), FATE).unwrap();
    for (x, h) in [(1.0, 2.0), (-3.0, 1.0), (0.0, 0.0), (0.123, -4.5)] {
        let sum: f64 = x + 0.5 * h;
        let credit = ((600.0 - 30.0 * sum / 4.0_f64.ln()) * 100.0).round() / 100.0;
        let answer = plans.answer(&[json!({"x": x}), json!({"x": h})]);
        assert_answer(&answer, &[credit], None);
    }
    // p within 1e-8 of 1: the lower limit.
    let answer = plans.answer(&[json!({"x": 40}), json!({"x": 0})]);
    assert_answer(&answer, &[0.0], None);
    let answer = plans.answer(&[json!({"x": -40}), json!({"x": 0})]);
    assert_answer(&answer, &[1800.0], None);
}

#[test]
fn java_passes_the_probability_on() {
    let plans = compile_all(&about(json!({})), &parties(), JAVA).unwrap();
    let answer = plans.answer(&[json!({"x": 1}), json!({"x": 2})]);
    assert_answer(&answer, &[sigmoid(2.0)], None);
    let fate = compile_all(&about(json!({})), &parties(), FATE).unwrap();
    let differences = &fate.guest.verdict().differences;
    assert!(
        differences.iter().any(|text| text.contains("Scorecard")),
        "{differences:?}"
    );
}

#[test]
fn switched_off_and_unreadable_settings() {
    let conf = json!({"component_parameters": {"common": {"scorecard_0": {"need_run": false}}}});
    let plans = compile_all(&about(conf), &parties(), FATE).unwrap();
    let answer = plans.answer(&[json!({"x": 1}), json!({"x": 2})]);
    assert_answer(&answer, &[sigmoid(2.0)], None);
    let conf = json!({"component_parameters": {"common": {"scorecard_0": {"factor_base": 1}}}});
    let text = refusal(&about(conf), &parties(), FATE);
    assert!(text.contains("scorecard_0 (Scorecard)"), "{text}");
    let text = refusal(&version("1.11.4"), &parties(), FATE);
    assert!(text.contains("runtime conf"), "{text}");
}

/// Offline the score under the card is the predicted class's.
#[test]
fn of_several_classes_the_predicted_one_counts() {
    let single = |weight: f64| SingleModel {
        weight: [("x".to_owned(), weight)].into(),
        header: vec!["x".to_owned()],
        ..Default::default()
    };
    let param = LrModelParam {
        header: vec!["x".to_owned()],
        need_one_vs_rest: true,
        one_vs_rest_result: Some(OneVsRestResult {
            completed_models: vec![single(-1.0), single(1.0), single(0.0)],
            one_vs_rest_classes: ["1", "2", "3"].map(str::to_owned).to_vec(),
        }),
        ..Default::default()
    };
    let guest = vec![
        lr("HeteroLRGuest", &param),
        Component::bare("scorecard_0", "Scorecard"),
    ];
    let parties = [guest, vec![lr("HeteroLRHost", &param)]];
    let plans = compile_all(&about(json!({})), &parties, FATE).unwrap();
    let answer = plans.answer(&[json!({"x": 1}), json!({"x": 1})]);
    // The largest probability is sigmoid(2): 500 - 20 * 2 / ln(2) = 442.29.
    assert_answer(&answer, &[442.29], Some("2"));
}
