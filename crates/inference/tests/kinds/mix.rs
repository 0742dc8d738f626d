//! SecureBoost in mix mode: each round belongs to one party, which has its trees whole (boosting_tree_predict.py
//! `mix_sbt_guest_predict`; in 1.5 to 1.7 hetero_fast_secureboost_guest.py).

use fate_proto::buffer::{
    BoostingTreeModelMeta, BoostingTreeModelParam, DecisionTreeModelParam, NodeParam,
};
use serde_json::json;

use crate::party::{
    Component, FATE, GUEST, Plans, assert_answer, compile_all, host_id, softmax, version,
};

const CLASSES: usize = 3;
/// Whose trees a round has: 0 is the guest.
const OWNERS: [usize; 4] = [0, 2, 1, 2];
const INIT: [f64; CLASSES] = [0.25, 0.0, -0.5];

/// The stump of a round and class: `x <= split` leads to the first weight.
fn stump(round: usize, class: usize) -> (f64, [f64; 2]) {
    let split = class as f64 - round as f64 * 0.5;
    let weight = 0.3 + round as f64 * 0.2 - class as f64 * 0.7;
    (split, [weight, 0.1 - weight])
}

/// What `party` has of it: the owner all, the guest of others' trees the leaves, other hosts nothing.
fn written(round: usize, class: usize, party: usize) -> DecisionTreeModelParam {
    let owner = OWNERS[round];
    if party > 0 && party != owner {
        return DecisionTreeModelParam::default();
    }
    let (split, weights) = stump(round, class);
    let is_whole = party == owner;
    let child = |id: i32| if is_whole { id } else { -1 };
    let root = NodeParam {
        sitename: match (is_whole, party) {
            (false, _) => String::new(),
            (true, 0) => format!("guest:{GUEST}"),
            (true, host) => format!("host:{}", host_id(host - 1)),
        },
        fid: if is_whole { 0 } else { -1 },
        bid: if is_whole && party > 0 { split } else { 0.0 },
        left_nodeid: child(1),
        right_nodeid: child(2),
        missing_dir: 1,
        ..Default::default()
    };
    let leaf = |side: usize| NodeParam {
        id: side as i32 + 1,
        is_leaf: true,
        sitename: format!("guest:{GUEST}"),
        weight: if party == 0 { weights[side] } else { 0.0 },
        left_nodeid: -1,
        right_nodeid: -1,
        ..Default::default()
    };
    DecisionTreeModelParam {
        tree: vec![root, leaf(0), leaf(1)],
        split_maskdict: is_whole.then_some((0, split)).into_iter().collect(),
        missing_dir_maskdict: is_whole.then_some((0, 1)).into_iter().collect(),
        ..Default::default()
    }
}

/// `told`: how the release says that it is mix mode.
fn plans(release: &'static str, class: &str, told: BoostingTreeModelMeta) -> Plans {
    let plan = OWNERS.map(|owner| match owner {
        0 => "0_-1".to_owned(),
        host => format!("1_{}", host_id(host - 1)),
    });
    let party = |party: usize| {
        let meta = BoostingTreeModelMeta {
            learning_rate: 0.5,
            task_type: "classification".to_owned(),
            ..told.clone()
        };
        let trees = (0..OWNERS.len())
            .flat_map(|round| (0..CLASSES).map(move |class| written(round, class, party)));
        let param = BoostingTreeModelParam {
            tree_num: (OWNERS.len() * CLASSES) as i32,
            trees: trees.collect(),
            tree_dim: CLASSES as i32,
            num_classes: CLASSES as i32,
            classes: ["7", "0", "-2"].map(str::to_owned).to_vec(),
            init_score: INIT.to_vec(),
            feature_name_fid_mapping: [(0, "x".to_owned())].into(),
            tree_plan: plan.to_vec(),
            ..Default::default()
        };
        let class: &'static str = match (class, party) {
            ("Fast", 0) => "HeteroFastSecureBoostingTreeGuest",
            ("Fast", _) => "HeteroFastSecureBoostingTreeHost",
            (_, 0) => "HeteroSecureBoostingTreeGuest",
            _ => "HeteroSecureBoostingTreeHost",
        };
        vec![Component::new("sbt_0", class, &meta, &param)]
    };
    compile_all(&version(release), &[party(0), party(1), party(2)], FATE).unwrap()
}

#[test]
fn a_round_of_several_classes_has_one_entry_in_the_plan() {
    let by_strategy = BoostingTreeModelMeta {
        boosting_strategy: "mix".to_owned(),
        ..Default::default()
    };
    let by_mode = BoostingTreeModelMeta {
        work_mode: "mix".to_owned(),
        ..Default::default()
    };
    let releases = [
        plans("1.11.4", "", by_strategy.clone()),
        plans("1.8.0", "", by_strategy),
        plans("1.7.2", "Fast", by_mode.clone()),
        plans("1.5.3", "Fast", by_mode),
    ];
    let mut labels = std::collections::BTreeSet::new();
    for step in 0..64 {
        let values = [step % 4, step / 4 % 4, step / 16].map(|x| f64::from(x) - 1.75);
        let mut sums = INIT;
        for (round, owner) in OWNERS.into_iter().enumerate() {
            for (class, sum) in sums.iter_mut().enumerate() {
                let (split, weights) = stump(round, class);
                *sum += 0.5 * weights[usize::from(values[owner] > split)];
            }
        }
        let best = (0..CLASSES).max_by(|a, b| sums[*a].total_cmp(&sums[*b]));
        let label = ["7", "0", "-2"][best.unwrap()];
        labels.insert(label);
        let rows = values.map(|x| json!({"x": x}));
        for plans in &releases {
            assert_answer(&plans.answer(&rows), &softmax(&sums), Some(label));
        }
    }
    assert!(labels.len() > 1, "{labels:?}");
}
