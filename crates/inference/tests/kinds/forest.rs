//! SecureBoost shapes that the golden sets do not have: trees of depth 6 over three hosts, every objective, initial
//! scores, classes with names of their own.

use fate_proto::buffer::{
    BoostingTreeModelMeta, BoostingTreeModelParam, DecisionTreeModelParam, NodeParam, ObjectiveMeta,
};
use serde_json::{Value, json};

use crate::party::{
    Component, FATE, GUEST, JAVA, Plans, assert_answer, compile_all, host_id, sigmoid, softmax,
    version,
};

const DEPTH: u32 = 6;
const PARTIES: usize = 4;
const FEATURES: usize = 3;

/// A complete tree: node `n` has children `2n + 1` and `2n + 2`, and belongs to party `(n + shift) % 4`.
struct Complete {
    shift: usize,
}

impl Complete {
    fn owner(&self, node: usize) -> usize {
        (node + self.shift) % PARTIES
    }

    fn feature(&self, node: usize) -> usize {
        (node / 2 + self.shift) % FEATURES
    }

    fn split(&self, node: usize) -> f64 {
        (node as f64 * 7.0 + self.shift as f64 * 3.0) % 11.0 - 5.0
    }

    fn weight(&self, node: usize) -> f64 {
        (node as f64 * 13.0 + self.shift as f64) % 17.0 / 10.0 - 0.8
    }

    fn is_leaf(node: usize) -> bool {
        node >= (1 << DEPTH) - 1
    }

    fn leaf(&self, values: &[[f64; FEATURES]; PARTIES]) -> f64 {
        let mut node = 0;
        while !Self::is_leaf(node) {
            let value = values[self.owner(node)][self.feature(node)];
            let right = usize::from(value > self.split(node));
            node = 2 * node + 1 + right;
        }
        self.weight(node)
    }

    fn param(&self, party: usize) -> DecisionTreeModelParam {
        let mut param = DecisionTreeModelParam::default();
        for node in 0..(1 << (DEPTH + 1)) - 1 {
            let mut written = NodeParam {
                id: node as i32,
                sitename: format!("guest:{GUEST}"),
                is_leaf: Self::is_leaf(node),
                weight: if party == 0 { self.weight(node) } else { 0.0 },
                left_nodeid: -1,
                right_nodeid: -1,
                ..Default::default()
            };
            if !written.is_leaf {
                let owner = self.owner(node);
                if owner > 0 {
                    written.sitename = format!("host:{}", host_id(owner - 1));
                }
                written.fid = self.feature(node) as i32;
                written.left_nodeid = 2 * node as i32 + 1;
                written.right_nodeid = 2 * node as i32 + 2;
                if owner == party {
                    param.split_maskdict.insert(node as i32, self.split(node));
                    param.missing_dir_maskdict.insert(node as i32, 1);
                }
            }
            param.tree.push(written);
        }
        param
    }
}

fn plans(
    release: &'static str,
    objective: &str,
    init: &[f64],
    classes: &[&str],
    semantics: fate_inference::Semantics,
) -> Plans {
    let party = |party: usize| {
        let task_type = match classes.len() {
            0 => "regression",
            _ => "classification",
        };
        let meta = BoostingTreeModelMeta {
            task_type: task_type.to_owned(),
            learning_rate: 0.3,
            objective_meta: Some(ObjectiveMeta {
                objective: objective.to_owned(),
                param: Vec::new(),
            }),
            ..Default::default()
        };
        let param = BoostingTreeModelParam {
            tree_num: 6,
            trees: (0..6)
                .map(|shift| Complete { shift }.param(party))
                .collect(),
            init_score: init.to_vec(),
            tree_dim: if classes.len() > 2 { 3 } else { 1 },
            num_classes: classes.len() as i32,
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            feature_name_fid_mapping: (0..FEATURES as i32)
                .map(|fid| (fid, format!("f{fid}")))
                .collect(),
            ..Default::default()
        };
        let class = match party {
            0 => "HeteroSecureBoostingTreeGuest",
            _ => "HeteroSecureBoostingTreeHost",
        };
        vec![Component::new("sbt_0", class, &meta, &param)]
    };
    let parties: Vec<Vec<Component>> = (0..PARTIES).map(party).collect();
    compile_all(&version(release), &parties, semantics).unwrap()
}

/// Values all around the splits, one of them the same everywhere.
fn values(seed: usize) -> [[f64; FEATURES]; PARTIES] {
    let at = |party: usize, feature: usize| match feature {
        1 if party == 2 => 3.0,
        _ => {
            let mixed = (seed * 97 + party * 31 + feature * 7 + 1) * 2_654_435_761;
            (mixed >> 13) as f64 % 13.0 - 6.25
        }
    };
    std::array::from_fn(|party| std::array::from_fn(|feature| at(party, feature)))
}

fn rows(values: &[[f64; FEATURES]; PARTIES]) -> Vec<Value> {
    values
        .iter()
        .map(|[a, b, c]| json!({"f0": a, "f1": b, "f2": c}))
        .collect()
}

fn leaves(values: &[[f64; FEATURES]; PARTIES]) -> Vec<f64> {
    (0..6)
        .map(|shift| Complete { shift }.leaf(values) * 0.3)
        .collect()
}

#[test]
fn depth_six_over_three_hosts() {
    let (binary, java) = (
        plans("1.11.4", "cross_entropy", &[0.0], &["0", "1"], FATE),
        plans("1.11.4", "cross_entropy", &[0.0], &["0", "1"], JAVA),
    );
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let values = values(seed);
        let sum: f64 = leaves(&values).iter().sum();
        seen.insert((sum * 1000.0).round() as i64);
        let rows = rows(&values);
        assert_answer(&binary.answer(&rows), &[sigmoid(sum)], None);
        assert_answer(&java.answer(&rows), &[sigmoid(sum)], None);
    }
    assert!(seen.len() > 10, "{} different sums", seen.len());
}

/// boosting_tree_predict.py `add_y_hat`; FATE-Serving 2.1.7 leaves it out.
#[test]
fn a_binary_models_initial_score_is_added_offline_and_left_out_in_java() {
    for release in ["1.4.6", "1.7.2", "1.11.4"] {
        let of = |semantics| plans(release, "cross_entropy", &[-1.5], &["0", "1"], semantics);
        let (fate, java) = (of(FATE), of(JAVA));
        let values = values(5);
        let sum: f64 = leaves(&values).iter().sum();
        let rows = rows(&values);
        assert_answer(&fate.answer(&rows), &[sigmoid(sum - 1.5)], None);
        assert_answer(&java.answer(&rows), &[sigmoid(sum)], None);
        let differences = &fate.guest.verdict().differences;
        assert!(differences[0].contains("initial score"), "{differences:?}");
    }
}

#[test]
fn classes_keep_their_names_and_initial_scores() {
    let init = [0.25, -0.5, 0.125];
    let plans = plans("1.11.4", "cross_entropy", &init, &["10", "-2", "7"], FATE);
    let mut labels = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let values = values(seed);
        let mut sums = init;
        for (tree, leaf) in leaves(&values).iter().enumerate() {
            sums[tree % 3] += leaf;
        }
        let best = (0..3).fold(0, |best, class| {
            if sums[class] > sums[best] {
                class
            } else {
                best
            }
        });
        let label = ["10", "-2", "7"][best];
        labels.insert(label);
        assert_answer(&plans.answer(&rows(&values)), &softmax(&sums), Some(label));
    }
    assert!(labels.len() > 1, "{labels:?}");
}

/// Only tweedie's exponential is not the sum itself, and only since 1.9.1 (boosting.py `score_to_predict_result`).
#[test]
fn regression_follows_its_objective() {
    for (objective, release, is_power) in [
        ("lse", "1.11.4", false),
        ("lae", "1.11.4", false),
        ("huber", "1.11.4", false),
        ("fair", "1.11.4", false),
        ("log_cosh", "1.11.4", false),
        ("tweedie", "1.11.4", true),
        ("tweedie", "1.10.0", true),
        ("tweedie", "1.9.1", true),
        ("tweedie", "1.9.0", false),
        ("tweedie", "1.4.6", false),
    ] {
        let (fate, java) = (
            plans(release, objective, &[2.5], &[], FATE),
            plans(release, objective, &[2.5], &[], JAVA),
        );
        let values = values(3);
        let sum = 2.5 + leaves(&values).iter().sum::<f64>();
        let expected = if is_power { sum.exp() } else { sum };
        assert_answer(&fate.answer(&rows(&values)), &[expected], None);
        assert_answer(&java.answer(&rows(&values)), &[sum], None);
        assert_eq!(
            fate.guest.verdict().differences.is_empty(),
            !is_power,
            "{objective} {release}"
        );
    }
}
