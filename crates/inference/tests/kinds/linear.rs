//! Linear models beside the golden sets: exposure, encrypted weights, several hosts, classes with names of their own.

use fate_proto::buffer::{
    CipherText, LinRModelMeta, LinRModelParam, LrModelMeta, LrModelParam, OneVsRestResult,
    PoissonModelMeta, PoissonModelParam, SingleModel,
};
use serde_json::json;

use crate::party::{Component, FATE, JAVA, assert_answer, compile_all, refusal, sigmoid, version};

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn poisson(class: &'static str, exposure: &str) -> Vec<Component> {
    let meta = PoissonModelMeta {
        exposure_colname: exposure.to_owned(),
        fit_intercept: true,
        ..Default::default()
    };
    let param = PoissonModelParam {
        weight: [("x".to_owned(), 0.5)].into(),
        header: header(&["x"]),
        intercept: 0.25,
        ..Default::default()
    };
    vec![Component::new("hetero_poisson_0", class, &meta, &param)]
}

/// `exp(g + h) * exposure` (hetero_poisson_guest.py); up to 1.7 the logarithm of the exposure was added, of 1e-7 for 0.
#[test]
fn poisson_multiplies_by_the_exposure() {
    let parties = [
        poisson("HeteroPoissonGuest", "t"),
        poisson("HeteroPoissonHost", ""),
    ];
    let host = json!({"x": -1});
    let mu = (0.5_f64 * 2.0 + 0.25 - 0.5 + 0.25).exp();
    for (release, none) in [("1.11.4", 0.0), ("1.8.0", 0.0), ("1.7.2", mu * 1e-7)] {
        let plans = compile_all(&version(release), &parties, FATE).unwrap();
        let answer = |t| plans.answer(&[json!({"x": 2, "t": t}), host.clone()]);
        assert_answer(&answer(json!(3)), &[mu * 3.0], None);
        assert_answer(&answer(json!("0.5")), &[mu * 0.5], None);
        assert_answer(&answer(json!(0)), &[none], None);
        assert_eq!(answer(json!("")), Err(110));
        assert_eq!(plans.answer(&[json!({"x": 2}), host.clone()]), Err(110));
        assert_eq!(plans.guest.verdict().features, ["t", "x"]);
    }
    let parties = [
        poisson("HeteroPoissonGuest", ""),
        poisson("HeteroPoissonHost", ""),
    ];
    let plans = compile_all(&version("1.11.4"), &parties, FATE).unwrap();
    assert_answer(&plans.answer(&[json!({"x": 2}), host]), &[mu], None);
    let text = refusal(&version("1.11.4"), &parties, JAVA);
    assert!(text.contains("HeteroPoissonGuest"), "{text}");
}

/// The guest's own weights are plain; without the hosts' the model has no score all the same.
#[test]
fn weights_that_stay_encrypted_are_refused_on_both_sides() {
    let strategy = "encrypted_reveal_in_host".to_owned();
    let encrypted = [("x".to_owned(), CipherText::default())];
    let lr_meta = LrModelMeta {
        reveal_strategy: strategy.clone(),
        ..Default::default()
    };
    let lr = |plain| LrModelParam {
        weight: if plain {
            [("x".to_owned(), 1.0)].into()
        } else {
            Default::default()
        },
        encrypted_weight: if plain {
            Default::default()
        } else {
            encrypted.clone().into()
        },
        header: header(&["x"]),
        ..Default::default()
    };
    let linr_meta = LinRModelMeta {
        reveal_strategy: strategy,
        ..Default::default()
    };
    let linr = |plain| LinRModelParam {
        weight: if plain {
            [("x".to_owned(), 1.0)].into()
        } else {
            Default::default()
        },
        encrypted_weight: if plain {
            Default::default()
        } else {
            encrypted.clone().into()
        },
        header: header(&["x"]),
        ..Default::default()
    };
    let plain = LrModelMeta {
        reveal_strategy: "respectively".to_owned(),
        ..Default::default()
    };
    let guest = |component| vec![component];
    let lr_host = Component::new("lr", "HeteroLRHost", &plain, &lr(true));
    let good = [
        guest(Component::new("lr", "HeteroLRGuest", &plain, &lr(true))),
        vec![lr_host.clone()],
    ];
    compile_all(&version("1.11.4"), &good, FATE).unwrap();
    let bad = [
        [
            good[0].clone(),
            vec![Component::new("lr", "HeteroLRHost", &plain, &lr(false))],
        ],
        [
            good[0].clone(),
            vec![Component::new("lr", "HeteroLRHost", &lr_meta, &lr(false))],
        ],
        [
            guest(Component::new("lr", "HeteroLRGuest", &lr_meta, &lr(true))),
            good[1].clone(),
        ],
        [
            guest(Component::new(
                "lr",
                "HeteroLinRGuest",
                &linr_meta,
                &linr(true),
            )),
            vec![Component::new(
                "lr",
                "HeteroLinRHost",
                &linr_meta,
                &linr(false),
            )],
        ],
    ];
    for (index, parties) in bad.iter().enumerate() {
        let text = refusal(&version("1.11.4"), parties, FATE);
        assert!(text.contains("encrypted_reveal_in_host"), "{index}: {text}");
    }
}

/// Three hosts, classes that are not 0 to k-1: the order is that of the buffer.
#[test]
fn one_vs_rest_over_three_hosts() {
    let party = |class: &'static str, weights: [f64; 3]| {
        let models = weights.map(|weight| SingleModel {
            weight: [("x".to_owned(), weight)].into(),
            header: header(&["x"]),
            ..Default::default()
        });
        let param = LrModelParam {
            header: header(&["x"]),
            need_one_vs_rest: true,
            one_vs_rest_result: Some(OneVsRestResult {
                completed_models: models.to_vec(),
                one_vs_rest_classes: header(&["12", "-3", "7"]),
            }),
            ..Default::default()
        };
        let meta = LrModelMeta {
            need_one_vs_rest: true,
            ..Default::default()
        };
        vec![Component::new("hetero_lr_0", class, &meta, &param)]
    };
    let parties = [
        party("HeteroLRGuest", [1.0, 0.5, -1.0]),
        party("HeteroLRHost", [0.25, 0.5, 0.0]),
        party("HeteroLRHost", [-2.0, 1.0, 0.5]),
        party("HeteroLRHost", [0.0, 0.125, 3.0]),
    ];
    let plans = compile_all(&version("1.11.4"), &parties, FATE).unwrap();
    let rows = [
        json!({"x": 1}),
        json!({"x": 2}),
        json!({"x": -1}),
        json!({"x": 0.5}),
    ];
    let sums = [1.0 + 0.5 + 2.0, 0.5 + 1.0 - 1.0 + 0.0625, -1.0 - 0.5 + 1.5];
    assert_answer(&plans.answer(&rows), &sums.map(sigmoid), Some("12"));
}

/// SSHE with weights revealed to each party is a linear regression like any other.
#[test]
fn sshe_linear_regression_over_two_hosts() {
    let party = |class: &'static str, weight: f64, intercept: f64| {
        let meta = LinRModelMeta {
            reveal_strategy: "respectively".to_owned(),
            ..Default::default()
        };
        let param = LinRModelParam {
            weight: [("x".to_owned(), weight)].into(),
            header: header(&["x"]),
            intercept,
            ..Default::default()
        };
        let name = "hetero_sshe_linr_0";
        vec![Component::new(name, class, &meta, &param)]
    };
    let parties = [
        party("HeteroLinRGuest", 2.0, 0.5),
        party("HeteroLinRHost", -1.0, 0.0),
        party("HeteroLinRHost", 0.25, 0.0),
    ];
    let plans = compile_all(&version("1.8.0"), &parties, FATE).unwrap();
    let answer = plans.answer(&[json!({"x": 3}), json!({"x": 4}), json!({"x": -2})]);
    assert_answer(&answer, &[6.0 + 0.5 - 4.0 - 0.5], None);
}
