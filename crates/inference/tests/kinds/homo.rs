//! Homogeneous models: the guest answers alone, whatever hosts the publish request names.

use fate_proto::buffer::{
    BoostingTreeModelMeta, BoostingTreeModelParam, DecisionTreeModelMeta, DecisionTreeModelParam,
    LrModelMeta, LrModelParam, NodeParam, ObjectiveMeta, OneVsRestResult, SingleModel,
};
use serde_json::json;

use crate::party::{
    About, Component, FATE, JAVA, Plans, assert_answer, compile_all, part, refusal, sigmoid,
    softmax, version,
};

fn named(pairs: &[(&str, f64)]) -> std::collections::BTreeMap<String, f64> {
    pairs
        .iter()
        .map(|(name, weight)| ((*name).to_owned(), *weight))
        .collect()
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn meta() -> LrModelMeta {
    LrModelMeta {
        module: "HomoLR".to_owned(),
        fit_intercept: true,
        ..Default::default()
    }
}

fn binary() -> LrModelParam {
    LrModelParam {
        weight: named(&[("x0", 0.5), ("x1", -2.0)]),
        intercept: 0.25,
        header: header(&["x0", "x1"]),
        ..Default::default()
    }
}

/// `sigmoid(x . w + b)` (homo_lr_client.py), under all its class names.
#[test]
fn logistic_regression_answers_without_hosts() {
    for (release, guest, host) in [
        ("1.4.6", "HomoLRGuest", "HomoLRHost"),
        ("1.9.2", "HomoLRGuest", "HomoLRHost"),
        ("1.11.4", "HomoLRClient", "HomoLRClient"),
    ] {
        let lr = |class| vec![Component::new("homo_lr_0", class, &meta(), &binary())];
        let parties = [lr(guest), lr(host), lr(host)];
        let plans = compile_all(&version(release), &parties, FATE).unwrap();
        assert!(!plans.guest.needs_hosts());
        let answer = plans.answer(&[json!({"x0": 3, "x1": "0.5"})]);
        assert_answer(&answer, &[sigmoid(1.5 - 1.0 + 0.25)], None);
        // A host loads its part, and has nothing to say when it is asked all the same.
        assert!(plans.hosts[0].verdict().kind.contains("guest scores alone"));
        let fault = part(&plans.hosts[0], &json!({"x0": 1})).unwrap_err();
        assert_eq!(fault.code.0, 108);
        let data = r#"{"homo_lr_0":{"score":5.0}}"#;
        assert!(plans.guest.read_partial("10000", data).is_err());
        let text = refusal(&version(release), &parties, JAVA);
        assert!(text.contains("load it with semantics fate"), "{text}");
    }
}

/// A sigmoid per class, not divided by their sum (one_vs_rest.py).
#[test]
fn classes_of_a_logistic_regression_are_named_as_trained() {
    let single = |weight: f64, intercept: f64| SingleModel {
        weight: named(&[("x0", weight)]),
        intercept,
        header: header(&["x0"]),
        ..Default::default()
    };
    let param = LrModelParam {
        header: header(&["x0"]),
        need_one_vs_rest: true,
        one_vs_rest_result: Some(OneVsRestResult {
            completed_models: vec![single(1.0, 0.0), single(-0.5, 2.5), single(0.0, -1.0)],
            one_vs_rest_classes: header(&["-1", "5", "40"]),
        }),
        ..Default::default()
    };
    let parties = [vec![Component::new(
        "homo_lr_0",
        "HomoLRClient",
        &meta(),
        &param,
    )]];
    let plans = compile_all(&version("1.11.4"), &parties, FATE).unwrap();
    let expected = [sigmoid(2.0), sigmoid(1.5), sigmoid(-1.0)];
    assert_answer(&plans.answer(&[json!({"x0": 2})]), &expected, Some("-1"));
}

/// `fid <= bid`, with the direction of missing values; children 1 and 2 are leaves.
fn stump(fid: i32, bid: f64, missing_dir: i32, leaves: [f64; 2]) -> DecisionTreeModelParam {
    let leaf = |id: i32, weight: f64| NodeParam {
        id,
        sitename: "guest".to_owned(),
        is_leaf: true,
        weight,
        left_nodeid: -1,
        right_nodeid: -1,
        ..Default::default()
    };
    DecisionTreeModelParam {
        tree: vec![
            NodeParam {
                sitename: "guest".to_owned(),
                fid,
                bid,
                missing_dir,
                left_nodeid: 1,
                right_nodeid: 2,
                ..Default::default()
            },
            leaf(1, leaves[0]),
            leaf(2, leaves[1]),
        ],
        ..Default::default()
    }
}

struct Forest {
    objective: &'static str,
    rate: f64,
    missing: (bool, bool),
    init: Vec<f64>,
    classes: &'static [&'static str],
    trees: Vec<DecisionTreeModelParam>,
}

fn plans(about: &About, forest: &Forest) -> Plans {
    let (use_missing, zero_as_missing) = forest.missing;
    let task_type = match forest.classes {
        [] => "regression",
        _ => "classification",
    };
    let meta = BoostingTreeModelMeta {
        task_type: task_type.to_owned(),
        tree_meta: Some(DecisionTreeModelMeta {
            use_missing,
            zero_as_missing,
            ..Default::default()
        }),
        learning_rate: forest.rate,
        objective_meta: Some(ObjectiveMeta {
            objective: forest.objective.to_owned(),
            param: Vec::new(),
        }),
        use_missing,
        zero_as_missing,
        module: "HomoSecureBoost".to_owned(),
        ..Default::default()
    };
    let classes = forest.classes.len() as i32;
    let has_vectors = forest.trees[0]
        .tree
        .iter()
        .any(|node| !node.mo_weight.is_empty());
    let param = BoostingTreeModelParam {
        tree_num: forest.trees.len() as i32,
        trees: forest.trees.clone(),
        init_score: forest.init.clone(),
        tree_dim: if classes > 2 && !has_vectors {
            classes
        } else {
            1
        },
        num_classes: classes,
        classes: forest
            .classes
            .iter()
            .map(|class| (*class).to_owned())
            .collect(),
        feature_name_fid_mapping: (0..).zip(header(&["x0", "x1"])).collect(),
        model_name: "homo_sbt".to_owned(),
        ..Default::default()
    };
    let boost = || {
        let class = "HomoSecureBoostingTreeClient";
        vec![Component::new("homo_secureboost_0", class, &meta, &param)]
    };
    let plans = compile_all(about, &[boost(), boost()], FATE).unwrap();
    assert!(!plans.guest.needs_hosts());
    refusal(about, &[boost(), boost()], JAVA);
    plans
}

/// homo_secureboost_client.py `predict_helper`: weights times learning rate, plus the initial score.
#[test]
fn binary_boosting_adds_leaves_and_the_initial_score() {
    let forest = Forest {
        objective: "cross_entropy",
        rate: 0.3,
        missing: (false, false),
        init: vec![0.5],
        classes: &["0", "1"],
        trees: vec![
            stump(0, 1.5, 1, [0.4, -0.2]),
            stump(1, 0.0, -1, [1.0, -0.7]),
        ],
    };
    let plans = plans(&version("1.11.4"), &forest);
    assert!(
        plans
            .guest
            .verdict()
            .kind
            .starts_with("homogeneous SecureBoost binary")
    );
    for (row, leaves) in [
        (json!({"x0": 1.5, "x1": 0}), 0.4 + 1.0),
        (json!({"x0": 1.500000005, "x1": 1e-9}), 0.4 + 1.0),
        (json!({"x0": 1.50000002, "x1": 2}), -0.2 - 0.7),
        // Missing: the first stump right, the second left.
        (json!({}), -0.2 + 1.0),
        (json!({"x0": "NaN", "x1": null}), -0.2 + 1.0),
    ] {
        let expected = sigmoid(leaves * 0.3 + 0.5);
        assert_answer(&plans.answer(&[row]), &[expected], None);
    }
    assert_eq!(plans.answer(&[json!({"x0": "tall"})]), Err(110));
}

/// homo_decision_tree_client.py: no slack up to 1.4; up to 1.6 every direction but 1 is left, since then only -1.
#[test]
fn old_releases_compare_as_they_did() {
    let forest = Forest {
        objective: "lse",
        rate: 1.0,
        missing: (true, false),
        init: vec![0.0],
        classes: &[],
        trees: vec![stump(0, 1.0, 0, [2.0, 3.0])],
    };
    for (release, within_slack, missing) in [
        ("1.4.6", 3.0, 2.0),
        ("1.6.1", 2.0, 2.0),
        ("1.7.2", 2.0, 3.0),
        ("1.11.4", 2.0, 3.0),
    ] {
        let plans = plans(&version(release), &forest);
        let near = plans.answer(&[json!({"x0": 1.000000005})]);
        assert_answer(&near, &[within_slack], None);
        assert_answer(&plans.answer(&[json!({})]), &[missing], None);
    }
}

#[test]
fn zero_counts_as_missing_where_the_model_says_so() {
    let mut forest = Forest {
        objective: "lse",
        rate: 0.5,
        missing: (true, true),
        init: vec![10.0],
        classes: &[],
        trees: vec![stump(0, 1.0, 1, [2.0, 4.0])],
    };
    let zero = [json!({"x0": 0})];
    assert_answer(
        &plans(&version("1.11.4"), &forest).answer(&zero),
        &[12.0],
        None,
    );
    forest.missing = (true, false);
    assert_answer(
        &plans(&version("1.11.4"), &forest).answer(&zero),
        &[11.0],
        None,
    );
}

#[test]
fn several_classes_are_shares_in_the_order_of_their_names() {
    let forest = Forest {
        objective: "cross_entropy",
        rate: 0.1,
        missing: (false, false),
        init: vec![0.3, -0.1, 0.0],
        classes: &["2", "5", "9"],
        trees: vec![
            stump(0, 0.0, 1, [1.0, -1.0]),
            stump(1, 0.0, 1, [2.0, -2.0]),
            stump(0, 5.0, 1, [3.0, -3.0]),
            stump(1, 1.0, 1, [4.0, -4.0]),
            stump(0, 1.0, 1, [5.0, -5.0]),
            stump(1, 2.0, 1, [6.0, -6.0]),
        ],
    };
    // x0 1, x1 1.5: rounds (-1, -2, 3) and (-4, 5, 6).
    let sums = [-0.5 + 0.3, 0.3 - 0.1, 0.9 + 0.0];
    let answer = plans(&version("1.11.4"), &forest).answer(&[json!({"x0": 1, "x1": 1.5})]);
    assert_answer(&answer, &softmax(&sums), Some("9"));
}

#[test]
fn leaves_of_several_classes_add_to_each() {
    let mut tree = stump(0, 0.0, 1, [-1.0, -1.0]);
    tree.tree[1].mo_weight = vec![1.0, 2.0, -1.0];
    tree.tree[2].mo_weight = vec![0.5, -0.5, 0.25];
    let forest = Forest {
        objective: "cross_entropy",
        rate: 0.5,
        missing: (false, false),
        init: vec![0.0, 0.0, 1.0],
        classes: &["0", "1", "2"],
        trees: vec![tree.clone(), tree],
    };
    let answer = plans(&version("1.8.0"), &forest).answer(&[json!({"x0": -3})]);
    assert_answer(&answer, &softmax(&[1.0, 2.0, 0.0]), Some("1"));
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
    ] {
        let forest = Forest {
            objective,
            rate: 0.1,
            missing: (false, false),
            init: vec![0.75],
            classes: &[],
            trees: vec![stump(0, 0.0, 1, [1.0, -1.0]), stump(1, 0.0, 1, [0.5, -0.5])],
        };
        let sum: f64 = 0.1 - 0.05 + 0.75;
        let expected = if is_power { sum.exp() } else { sum };
        let answer = plans(&version(release), &forest).answer(&[json!({"x0": -1, "x1": 1})]);
        assert_answer(&answer, &[expected], None);
    }
}
