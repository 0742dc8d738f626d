//! The worked examples of contract 02: 77 results of FATE-Serving 2.1.7 with exact doubles, and FATE's own where it differs.
//!
//! Semantics `java` must give Java's result for each example but those in [`NOT_SERVED`]; semantics `fate` must give the
//! offline score where the example tells it, and Java's where that is not listed in [`OFFLINE_DIFFERS`].

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::collections::BTreeMap;

use fate_domain::party::Role;
use fate_inference::{Buffers, Partial, Plan, Score, Semantics, Site, compile};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};

const TOLERANCE: f64 = 1e-12;
/// Results of the examples, without the persisted model and the batch.
const RESULTS: usize = 77;

const PERSISTED: &str = "E15_persisted_model";

/// Examples that are not run, with the number of their results.
const NOT_RUN: &[(&str, usize, &str)] = &[(
    PERSISTED,
    3,
    "needs two model files of the Java source tree: its own test, below, is run by hand",
)];

/// Examples to which Java gives success without a score, or one score for all rows; here they are refused or right.
const NOT_SERVED: &[(&str, &str)] = &[
    (
        "E18_unsupported_model",
        "the pipeline has no class that gives a score",
    ),
    (
        "E19_sbt_multi_output",
        "Java reads a weight that multi-output trees do not have",
    ),
];

/// Examples, and single requests, in which FATE's offline result is not Java's and is not told.
const OFFLINE_DIFFERS: &[(&str, &str)] = &[
    (
        "E18_unsupported_model",
        "offline it is linear regression; here its buffers are missing",
    ),
    (
        "E19_sbt_multi_output",
        "offline sums the leaves' own vectors",
    ),
    (
        "E03_sbt_binary_missing[5]",
        "NaN goes right in Java, is missing offline",
    ),
    (
        "E07_scale_minmax_normal[1]",
        "a constant column above its bound is 1 in Java, 0 offline",
    ),
    (
        "E07_scale_minmax_normal[3]",
        "a score that is not a number is refused",
    ),
    (
        "E07_scale_minmax_cap[1]",
        "a constant column above its bound is 1 in Java, 0 offline",
    ),
    (
        "E07_scale_minmax_cap[3]",
        "a score that is not a number is refused",
    ),
    (
        "E09_binning_woe[3]",
        "text that is no number: offline the job ends with an error",
    ),
    (
        "E10_onehot[6]",
        "text in a column of numbers: no offline score is given",
    ),
    (
        "E10_onehot[7]",
        "an absent column: no offline score is given",
    ),
    (
        "E09_binning_bin_num[3]",
        "text that is no number is dropped in Java, an error offline",
    ),
];

/// Component class → its messages, without `Meta` and `Param`.
const MESSAGES: &[(&str, &str)] = &[
    ("DataIO", "DataIO"),
    ("DataTransform", "DataTransform"),
    ("Scale", "Scale"),
    ("HeteroFeatureBinningGuest", "FeatureBinning"),
    ("OneHotEncoder", "OneHot"),
    ("HeteroFeatureSelectionGuest", "FeatureSelection"),
    ("HeteroLRGuest", "LRModel"),
    ("HeteroLRHost", "LRModel"),
    ("HeteroLinRGuest", "LinRModel"),
    ("HeteroFMGuest", "fm.FMModel"),
    ("HeteroFMHost", "fm.FMModel"),
    ("HeteroSecureBoostingTreeGuest", "BoostingTreeModel"),
    ("HeteroSecureBoostingTreeHost", "BoostingTreeModel"),
];

fn examples() -> Value {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/numeric_examples.json"
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn encoded(pool: &DescriptorPool, message: &str, fields: &Value) -> Vec<u8> {
    let name = format!("com.webank.ai.fate.core.mlmodel.buffer.{message}");
    let descriptor = pool
        .get_message_by_name(&name)
        .unwrap_or_else(|| panic!("{name}"));
    let bytes = DynamicMessage::deserialize(descriptor, fields)
        .unwrap()
        .encode_to_vec();
    // FATE writes an empty message as these five bytes.
    if bytes.is_empty() {
        b"\x0a\x03set".to_vec()
    } else {
        bytes
    }
}

/// The buffers of a party whose components stand in a row.
fn buffers(pool: &DescriptorPool, party: &Value) -> Buffers {
    let mut buffers = Buffers::new();
    let mut components = serde_json::Map::new();
    let mut before = "args.eval_data".to_owned();
    for component in party["components"].as_array().unwrap() {
        let name = component["name"].as_str().unwrap();
        let class = component["class"].as_str().unwrap();
        let (_, message) = MESSAGES.iter().find(|(known, _)| *known == class).unwrap();
        for (part, fields) in [("Meta", &component["meta"]), ("Param", &component["param"])] {
            let message = format!("{message}{part}");
            let bytes = encoded(pool, &message, &with_need_run(fields, class, part));
            buffers.insert(format!("{name}.model:{message}"), bytes.into());
        }
        components.insert(
            name.to_owned(),
            json!({"input": {"data": {"data": [before]}}, "CodePath": format!("x/{class}")}),
        );
        before = format!("{name}.data");
    }
    let dsl = json!({"components": components}).to_string();
    let pipeline = fate_proto::buffer::Pipeline {
        inference_dsl: dsl.into_bytes().into(),
        ..Default::default()
    };
    let key = fate_inference::PIPELINE_KEY.to_owned();
    buffers.insert(key, pipeline.encode_to_vec().into());
    buffers
}

/// The examples leave out what the Java data components do not look at.
fn with_need_run(fields: &Value, class: &str, part: &str) -> Value {
    let mut fields = fields.clone();
    if part == "Meta" && class.starts_with("Data") {
        fields["need_run"] = true.into();
    }
    fields
}

struct Party {
    id: String,
    plan: Plan,
    rows: Vec<Value>,
}

struct Model {
    guest: Plan,
    hosts: Vec<Party>,
}

fn model(pool: &DescriptorPool, example: &Value, semantics: Semantics) -> Result<Model, String> {
    let id = |party: &Value| party["party_id"].as_str().unwrap().to_owned();
    let hosts = example["hosts"].as_array().unwrap();
    let site = Site {
        role: Role::Guest,
        party_id: id(&example["guest"]),
        hosts: hosts.iter().map(id).collect(),
    };
    let compiled = |party: &Value, site: &Site| {
        compile(&buffers(pool, party), site, semantics).map_err(|refusal| refusal.to_string())
    };
    let host = |party: &Value| {
        let site = Site {
            role: Role::Host,
            party_id: id(party),
            hosts: Vec::new(),
        };
        Ok(Party {
            id: id(party),
            plan: compiled(party, &site)?,
            rows: party["features"].as_array().unwrap().clone(),
        })
    };
    Ok(Model {
        guest: compiled(&example["guest"], &site)?,
        hosts: hosts.iter().map(host).collect::<Result<_, String>>()?,
    })
}

/// One row's way through all parties, the host's parts as the text that travels.
fn score(model: &Model, features: &Value, index: usize) -> Result<Score, i32> {
    let code = |fault: fate_domain::fault::Fault| fault.code.0;
    let text = features.to_string();
    let mut row = model.guest.new_row();
    model.guest.read_json(&text, &mut row).map_err(code)?;
    let local = model.guest.guest_local(&mut row).map_err(code)?;
    let mut partials: Vec<(&str, Partial)> = Vec::new();
    for host in &model.hosts {
        let text = host.rows[index].to_string();
        let mut row = host.plan.new_row();
        host.plan.read_json(&text, &mut row).map_err(code)?;
        let partial = host.plan.host_partial(&mut row).map_err(code)?;
        let mut member = b"{".to_vec();
        host.plan.write_partial(&partial, &mut member);
        member.push(b'}');
        let data = String::from_utf8(member).unwrap();
        partials.push((
            &host.id,
            model.guest.read_partial(&host.id, &data).map_err(code)?,
        ));
    }
    model.guest.merge(local, &partials).map_err(code)
}

fn numbers(score: &Value) -> Vec<f64> {
    match score {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        Value::String(text) => vec![text.parse().unwrap()],
        number => vec![number.as_f64().unwrap()],
    }
}

fn is_near(found: f64, expected: f64) -> bool {
    let is_equal = found == expected || (found.is_nan() && expected.is_nan());
    is_equal || (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0)
}

fn assert_result(found: &Result<Score, i32>, expected: &Value, context: &str) {
    match (found, expected["retcode"].as_i64().unwrap()) {
        (Err(code), expected) if expected != 0 => {
            assert_eq!(i64::from(*code), expected, "{context}")
        }
        (Ok(score), 0) => {
            if let Some(label) = expected["data"]["label"].as_str() {
                assert_eq!(score.label(), Some(label), "{context}");
            }
            assert_hit_rates(score, &expected["data"], context);
            let expected = numbers(&expected["data"]["score"]);
            assert_eq!(score.scores().len(), expected.len(), "{context}: {score:?}");
            for (found, expected) in score.scores().iter().zip(expected) {
                assert!(is_near(*found, expected), "{context}: {found} {expected}");
            }
        }
        _ => panic!("{context}: {found:?} instead of {expected}"),
    }
}

/// What Java tells beside the score of a factorization machine.
fn assert_hit_rates(score: &Score, expected: &Value, context: &str) {
    let mut members = b"{".to_vec();
    score.write_members(&mut members);
    members.push(b'}');
    let written: Value = serde_json::from_slice(&members).unwrap();
    for name in ["guestModelWeightHitRate", "guestInputDataHitRate"] {
        if let Some(rate) = expected.get(name) {
            assert_eq!(&written[name], rate, "{context} {name}");
        }
    }
}

fn reason(table: &[(&str, &str)], name: &str) -> Option<String> {
    let entry = table.iter().find(|(known, _)| *known == name);
    entry.map(|(_, reason)| (*reason).to_owned())
}

#[test]
fn every_example_is_run_or_named() {
    let examples = examples();
    let single: BTreeMap<&str, usize> = examples["examples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|example| {
            let results = example["expected"].as_array().unwrap().len();
            (example["name"].as_str().unwrap(), results)
        })
        .collect();
    let persisted = &examples["persisted_model_example"]["expected"];
    let persisted = persisted.as_array().unwrap().len();
    assert_eq!(single.values().sum::<usize>(), RESULTS);
    for (name, results, _) in NOT_RUN {
        let known = single.get(name).copied().unwrap_or(persisted);
        assert_eq!(known, *results, "{name}");
    }
    for (name, _) in NOT_SERVED.iter().chain(OFFLINE_DIFFERS) {
        let example = name.split('[').next().unwrap();
        assert!(single.contains_key(example), "{name}");
    }
}

fn run(semantics: Semantics, mut check: impl FnMut(&Value, &str, Result<Model, String>)) {
    let pool = DescriptorPool::decode(fate_proto::FILE_DESCRIPTOR_SET).unwrap();
    for example in examples()["examples"].as_array().unwrap() {
        let name = example["name"].as_str().unwrap();
        if NOT_RUN.iter().all(|(known, ..)| *known != name) {
            check(example, name, model(&pool, example, semantics));
        }
    }
}

fn results<'a>(example: &'a Value, model: &Model) -> Vec<(Result<Score, i32>, &'a Value)> {
    let requests = example["requests"].as_array().unwrap();
    let expected = example["expected"].as_array().unwrap();
    let scored = requests
        .iter()
        .enumerate()
        .map(|(index, row)| score(model, row, index));
    scored.zip(expected).collect()
}

fn not_run() -> usize {
    let of_examples = NOT_RUN.iter().filter(|(name, ..)| *name != PERSISTED);
    of_examples.map(|(_, results, _)| results).sum()
}

#[test]
fn java_semantics_give_javas_results() {
    let (mut compared, mut listed) = (0, not_run());
    run(Semantics::Java, |example, name, model| {
        if reason(NOT_SERVED, name).is_some() {
            listed += example["expected"].as_array().unwrap().len();
            return;
        }
        let model = model.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        for (index, (found, expected)) in results(example, &model).iter().enumerate() {
            assert_result(found, expected, &format!("{name}[{index}]"));
            compared += 1;
        }
    });
    assert_eq!(compared + listed, RESULTS);
}

#[test]
fn fate_semantics_give_the_offline_scores() {
    let (mut compared, mut listed) = (0, not_run());
    run(Semantics::Fate, |example, name, model| {
        if reason(OFFLINE_DIFFERS, name).is_some() {
            listed += example["expected"].as_array().unwrap().len();
            return;
        }
        let model = model.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        for (index, (found, java)) in results(example, &model).iter().enumerate() {
            let context = format!("{name}[{index}]");
            if reason(OFFLINE_DIFFERS, &context).is_some() {
                listed += 1;
                continue;
            }
            match &example["fate_offline_score"] {
                Value::Null => assert_result(found, java, &context),
                scores => {
                    let expected = json!({"retcode": 0, "data": {"score": scores[index]}});
                    assert_result(found, &expected, &context);
                }
            }
            compared += 1;
        }
    });
    assert_eq!(compared + listed, RESULTS);
}

#[test]
fn what_java_answers_without_a_score_is_refused() {
    run(Semantics::Java, |_, name, model| {
        if name == "E18_unsupported_model" {
            let refusal = model.err().unwrap();
            assert!(refusal.contains("HeteroLinRGuest"), "{refusal}");
        }
    });
}

#[test]
fn rows_of_a_batch_that_share_guest_features_have_their_own_scores() {
    let pool = DescriptorPool::decode(fate_proto::FILE_DESCRIPTOR_SET).unwrap();
    let example = &examples()["batch_example"];
    for semantics in [Semantics::Fate, Semantics::Java] {
        let model = model(&pool, example, semantics).unwrap();
        let rows = example["batchRequest"]["batchDataList"].as_array().unwrap();
        let expected = example["correct_scores"].as_array().unwrap();
        for (index, (row, expected)) in rows.iter().zip(expected).enumerate() {
            let score = score(&model, &row["featureData"], index).unwrap();
            let expected = expected.as_f64().unwrap();
            assert!(
                is_near(score.scores()[0], expected),
                "{semantics} {index}: {score:?}"
            );
        }
    }
}

/// A model that FATE-Serving's source tree has as two cache files, of 300 and 1000 features (E15).
#[test]
#[ignore = "FATE_SERVING_RESOURCES must name fate-serving-server/src/test/resources of the Java source tree"]
fn the_persisted_model_gives_its_scores_in_both_semantics() {
    let directory = std::env::var_os("FATE_SERVING_RESOURCES").unwrap();
    let directory = std::path::Path::new(&directory);
    let parties = "arbiter-10000#guest-9999#host-10000#model";
    let buffers = |of: &str| -> Buffers {
        let file = format!("model_2020080416153238910324_{of}#{parties}_cache");
        let text = std::fs::read(directory.join(file)).unwrap();
        let encoded: BTreeMap<String, String> = serde_json::from_slice(&text).unwrap();
        let decoded = encoded.into_iter().map(|(key, text)| {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            (key, bytes.unwrap().into())
        });
        decoded.collect()
    };
    let plan = |of: &str, role, hosts: &[&str], semantics| {
        let site = Site {
            role,
            party_id: of.split('#').nth(1).unwrap().to_owned(),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        compile(&buffers(of), &site, semantics).unwrap_or_else(|refusal| panic!("{refusal}"))
    };
    let row = |features: std::ops::Range<usize>, request: usize, omitted: usize| {
        let features = features.filter(|i| request != 2 || i % omitted != 0);
        let value = |i: usize| (((i * 37 + 11 * request) % 101) as f64 - 50.0) / 25.0;
        let members = features.map(|i| (format!("x{i}"), value(i).into()));
        Value::Object(members.collect())
    };
    let examples = examples();
    let expected = examples["persisted_model_example"]["expected"]
        .as_array()
        .unwrap()
        .clone();
    for semantics in [Semantics::Fate, Semantics::Java] {
        let mut model = Model {
            guest: plan("guest#9999", Role::Guest, &["10000"], semantics),
            hosts: vec![Party {
                id: "10000".to_owned(),
                plan: plan("host#10000", Role::Host, &[], semantics),
                rows: Vec::new(),
            }],
        };
        assert_eq!(model.guest.verdict().features.len(), 300);
        for (request, expected) in expected.iter().enumerate() {
            model.hosts[0].rows.push(row(300..1300, request, 7));
            let score = score(&model, &row(0..300, request, 5), request).unwrap();
            let expected = expected["score"].as_f64().unwrap();
            assert!(
                is_near(score.scores()[0], expected),
                "{semantics} {request}: {score:?}"
            );
        }
    }
}
