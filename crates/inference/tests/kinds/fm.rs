//! Factorization machines, against their definition: the weighted sum of all parties' features plus, for every two
//! features of whatever party, the product of their values and their vectors.

use fate_proto::buffer_fm::{Embedding, FmModelMeta, FmModelParam, OneVsRestResult, SingleModel};
use serde_json::{Value, json};

use crate::party::{
    Component, FATE, JAVA, Plans, assert_answer, compile_all, part, refusal, sigmoid, version,
};

/// Name, weight, vector, value in the row (if any).
type Feature = (&'static str, f64, [f64; 2], Option<f64>);

const PARTIES: [&[Feature]; 4] = [
    &[
        ("x0", 0.5, [0.1, -0.3], Some(2.0)),
        ("x1", -0.25, [0.7, 0.2], Some(-1.5)),
        ("x2", 9.0, [9.0, 9.0], None),
    ],
    &[
        ("h0", 0.125, [-0.6, 0.05], Some(0.75)),
        ("h1", 1.5, [0.2, 0.9], Some(0.5)),
    ],
    &[("h0", -2.0, [0.3, 0.3], Some(0.25))],
    &[("k", 0.75, [-0.15, 0.8], Some(1.25))],
];
const INTERCEPT: f64 = -0.3;

fn definition(parties: &[&[Feature]]) -> f64 {
    let all: Vec<&Feature> = parties.iter().copied().flatten().collect();
    let present: Vec<(f64, [f64; 2], f64)> = all
        .iter()
        .filter_map(|(_, weight, vector, value)| value.map(|value| (*weight, *vector, value)))
        .collect();
    let mut sum = INTERCEPT;
    for (index, (weight, vector, value)) in present.iter().enumerate() {
        sum += weight * value;
        for (_, other, other_value) in &present[index + 1..] {
            sum += (vector[0] * other[0] + vector[1] * other[1]) * value * other_value;
        }
    }
    sum
}

fn param(features: &[Feature], intercept: f64) -> FmModelParam {
    FmModelParam {
        weight: features
            .iter()
            .map(|(name, weight, ..)| ((*name).to_owned(), *weight))
            .collect(),
        embedding: features
            .iter()
            .map(|(name, _, vector, _)| {
                let weight = vector.to_vec();
                ((*name).to_owned(), Embedding { weight })
            })
            .collect(),
        embed_size: 2,
        intercept,
        header: features
            .iter()
            .map(|(name, ..)| (*name).to_owned())
            .collect(),
        ..Default::default()
    }
}

fn machine(class: &'static str, param: &FmModelParam) -> Vec<Component> {
    vec![Component::new(
        "hetero_fm_0",
        class,
        &FmModelMeta::default(),
        param,
    )]
}

fn parties(count: usize) -> Vec<Vec<Component>> {
    let mut parties = vec![machine("HeteroFMGuest", &param(PARTIES[0], INTERCEPT))];
    for features in &PARTIES[1..count] {
        parties.push(machine("HeteroFMHost", &param(features, 0.0)));
    }
    parties
}

fn rows(count: usize) -> Vec<Value> {
    let row = |features: &&[Feature]| {
        features
            .iter()
            .filter_map(|(name, _, _, value)| value.map(|value| ((*name).to_owned(), json!(value))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    PARTIES[..count].iter().map(row).collect()
}

fn plans(count: usize, semantics: fate_inference::Semantics) -> Plans {
    compile_all(&version("1.4.0"), &parties(count), semantics).unwrap()
}

#[test]
fn one_two_and_three_hosts_give_the_machine_of_all_features() {
    for count in 2..=4 {
        let answer = plans(count, FATE).answer(&rows(count));
        assert_answer(&answer, &[sigmoid(definition(&PARTIES[..count]))], None);
        // Two of the guest's three weights, both of the row's features.
        let answer = answer.unwrap();
        assert_eq!(answer["guestModelWeightHitRate"], json!(2.0 / 3.0));
        assert_eq!(answer["guestInputDataHitRate"], json!(1.0));
    }
}

/// FATE-Serving 2.1.7 adds the first host in the order of a `HashMap` over the ids; for these that is 10000.
#[test]
fn java_adds_one_host_only() {
    let answer = plans(4, JAVA).answer(&rows(4));
    assert_answer(&answer, &[sigmoid(definition(&PARTIES[..2]))], None);
    let offline = plans(4, FATE);
    let differences = &offline.guest.verdict().differences;
    assert!(differences[0].contains("one host"), "{differences:?}");
    assert!(plans(2, FATE).guest.verdict().differences.is_empty());
}

#[test]
fn classes_have_a_machine_each() {
    let ovr = |features: &[Feature], intercept: f64| {
        let single = |scale: f64| {
            let param = param(features, intercept);
            SingleModel {
                weight: param
                    .weight
                    .into_iter()
                    .map(|(name, weight)| (name, weight * scale))
                    .collect(),
                embedding: param.embedding,
                embed_size: 2,
                intercept,
                header: param.header,
                ..Default::default()
            }
        };
        FmModelParam {
            header: param(features, 0.0).header,
            need_one_vs_rest: true,
            one_vs_rest_result: Some(OneVsRestResult {
                completed_models: vec![single(-2.0), single(1.0), single(0.5)],
                one_vs_rest_classes: ["3", "7", "11"].map(str::to_owned).to_vec(),
            }),
            ..Default::default()
        }
    };
    let scaled = |scale: f64| {
        let scaled: Vec<Vec<Feature>> = PARTIES[..3]
            .iter()
            .map(|features| {
                let each = features.iter();
                each.map(|(name, weight, vector, value)| (*name, weight * scale, *vector, *value))
                    .collect()
            })
            .collect();
        let slices: Vec<&[Feature]> = scaled.iter().map(Vec::as_slice).collect();
        sigmoid(definition(&slices))
    };
    let parties = [
        machine("HeteroFMGuest", &ovr(PARTIES[0], INTERCEPT)),
        machine("HeteroFMHost", &ovr(PARTIES[1], 0.0)),
        machine("HeteroFMHost", &ovr(PARTIES[2], 0.0)),
    ];
    let plans = compile_all(&version("1.4.0"), &parties, FATE).unwrap();
    let expected = [scaled(-2.0), scaled(1.0), scaled(0.5)];
    assert!(expected[1] > expected[0] && expected[1] > expected[2]);
    assert_answer(&plans.answer(&rows(3)), &expected, Some("7"));
    // Java looks at the empty tables of the whole: 0.5 for everybody.
    let java = compile_all(&version("1.4.0"), &parties, JAVA).unwrap();
    assert_answer(&java.answer(&rows(3)), &[0.5], None);
}

#[test]
fn a_guest_with_all_features_needs_no_host() {
    let parties = [
        machine("HomoFMGuest", &param(PARTIES[0], INTERCEPT)),
        machine("HomoFMHost", &param(PARTIES[0], INTERCEPT)),
    ];
    let plans = compile_all(&version("1.4.0"), &parties, FATE).unwrap();
    assert!(!plans.guest.needs_hosts());
    let expected = sigmoid(definition(&PARTIES[..1]));
    assert_answer(&plans.answer(&rows(1)), &[expected], None);
}

#[test]
fn what_a_host_sends_is_javas() {
    let plans = plans(2, FATE);
    let text = part(&plans.hosts[0], &json!({"h0": 1})).unwrap();
    assert_eq!(
        text,
        r#"{"hetero_fm_0":{"score":0.125,"fm_cross":[-0.6,0.05]}}"#
    );
}

#[test]
fn parts_that_do_not_fit_are_no_score() {
    let plans = plans(2, FATE);
    let read = |data: &str| {
        plans
            .guest
            .read_partial("10000", data)
            .map_err(|fault| fault.code.0)
    };
    for (data, code) in [
        (r#"{"hetero_fm_0":{"score":1.0}}"#, 108),
        (r#"{"hetero_fm_0":{"score":"NaN","fm_cross":[0,0]}}"#, 108),
        (r#"{"hetero_fm_0":{"score":1.0,"fm_cross":[[0,0]]}}"#, 108),
        (r#"{"other":{}}"#, 108),
    ] {
        assert_eq!(read(data).err(), Some(code), "{data}");
    }
    for data in [
        r#"{"hetero_fm_0":{"score":1.0,"fm_cross":[0.5]}}"#,
        r#"{"hetero_fm_0":{"score":1.0,"fm_cross":[0.5,0.5,0.5]}}"#,
    ] {
        let mut row = plans.guest.new_row();
        let local = plans.guest.guest_local(&mut row).unwrap();
        let partial = read(data).unwrap();
        let merged = plans.guest.merge(local, &[("10000", partial)]);
        assert_eq!(merged.unwrap_err().code.0, 110, "{data}");
    }
}

#[test]
fn damaged_tables_are_refused() {
    type Damage = fn(&mut FmModelParam);
    let damages: [(Damage, &str); 6] = [
        (|param| param.embed_size = 3, "factors"),
        (|param| param.embed_size = i32::MAX, "factors"),
        (|param| param.embedding.clear(), "no factors"),
        (|param| param.weight.clear(), "no weights"),
        (|param| param.header.truncate(1), "header"),
        (|param| param.intercept = f64::NAN, "finite"),
    ];
    for (damage, reason) in damages {
        let mut damaged = param(PARTIES[0], INTERCEPT);
        damage(&mut damaged);
        let mut parties = parties(2);
        parties[0] = machine("HeteroFMGuest", &damaged);
        let text = refusal(&version("1.4.0"), &parties, FATE);
        assert!(text.contains(reason), "{text}");
    }
}
