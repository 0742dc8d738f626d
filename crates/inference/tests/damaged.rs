//! Golden buffers with damage: refused when they are compiled, never scored as something else (contract 02 F20).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::path::Path;

use fate_domain::party::Role;
use fate_inference::{Buffers, PIPELINE_KEY, Semantics, Site, compile};
use fate_proto::buffer::{
    BoostingTreeModelMeta, BoostingTreeModelParam, LinRModelParam, LrModelParam, NodeParam,
    OneHotParam, ScaleMeta,
};
use prost::Message;

fn guest(set: &str) -> Buffers {
    party(set, "guest_9999")
}

fn party(set: &str, party: &str) -> Buffers {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../models")
        .join(set)
        .join(party);
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(directory.join("index.json")).unwrap()).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let models = index["models"].as_array().unwrap().iter();
    models
        .map(|model| {
            let bytes = std::fs::read(directory.join(text(&model["file"]))).unwrap();
            (text(&model["key"]), bytes.into())
        })
        .collect()
}

fn refusal(buffers: &Buffers, hosts: &[&str]) -> Option<String> {
    let site = Site {
        role: Role::Guest,
        party_id: "9999".to_owned(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
    };
    let compiled = compile(buffers, &site, Semantics::Fate);
    compiled.err().map(|refusal| refusal.to_string())
}

/// Changes the buffer whose key ends so, and compiles.
fn changed<M: Message + Default>(set: &str, ending: &str, change: impl FnOnce(&mut M)) -> String {
    let mut buffers = guest(set);
    assert_eq!(refusal(&buffers, &["10000"]), None, "{set} itself");
    let key = buffers
        .keys()
        .find(|key| key.ends_with(ending))
        .unwrap()
        .clone();
    let mut message = M::decode(buffers[&key].clone()).unwrap();
    change(&mut message);
    buffers.insert(key, message.encode_to_vec().into());
    refusal(&buffers, &["10000"]).unwrap_or_else(|| panic!("{set} {ending} is served"))
}

#[test]
fn an_empty_buffer_is_refused() {
    for set in [
        "lr_scale_onehot",
        "lr_binning_woe",
        "sbt_binary_missing",
        "sbt_tweedie",
        "linr",
    ] {
        let whole = guest(set);
        for key in whole.keys().filter(|key| *key != PIPELINE_KEY) {
            let mut buffers = whole.clone();
            buffers.insert(key.clone(), Default::default());
            let is_ignored = key.starts_with("intersection") || key.starts_with("evaluation");
            let refused = refusal(&buffers, &["10000"]);
            assert_eq!(refused.is_some(), !is_ignored, "{set} {key}: {refused:?}");
        }
    }
}

#[test]
fn figures_that_contradict_each_other_are_refused() {
    let text = changed::<ScaleMeta>("lr_scale_onehot", "ScaleMeta", |meta| meta.method.clear());
    assert!(text.contains("method"), "{text}");
    let text = changed::<ScaleMeta>("lr_scale_onehot", "ScaleMeta", |meta| meta.need_run = false);
    assert!(text.contains("need_run"), "{text}");
    let text = changed::<OneHotParam>("lr_scale_onehot", "OneHotParam", |param| {
        param.col_map.pop_first();
    });
    assert!(text.contains("categories"), "{text}");
    let text = changed::<LrModelParam>("lr_plain", "RegressionParam", |param| {
        param.weight.pop_first();
    });
    assert!(text.contains("header"), "{text}");
    let text = changed::<LrModelParam>("lr_plain", "RegressionParam", |param| {
        param.intercept = f64::NAN;
    });
    assert!(text.contains("finite"), "{text}");
}

type Forest = BoostingTreeModelParam;
type Damage<'a> = (&'a str, &'a dyn Fn(&mut Forest));

#[test]
fn trees_that_are_none_are_refused() {
    let damaged = |change: &dyn Fn(&mut Forest)| {
        changed::<Forest>("sbt_binary_missing", "TreeGuestParam", |param| {
            change(param)
        })
    };
    let inner = |param: &Forest| {
        param.trees[0]
            .tree
            .iter()
            .position(|node| !node.is_leaf)
            .unwrap()
    };
    let damages: &[Damage<'_>] = &[
        ("tree_num", &|param| param.tree_num -= 1),
        ("tree_dim", &|param| param.num_classes = 3),
        ("parent", &|param| param.trees[0].tree[0].is_leaf = true),
        ("parent", &|param| {
            let node = inner(param);
            let nodes = &mut param.trees[0].tree;
            nodes[node].left_nodeid = nodes[node].right_nodeid;
        }),
        ("child", &|param| {
            let node = inner(param);
            param.trees[0].tree[node].left_nodeid = 0;
        }),
        ("split", &|param| {
            let tree = param
                .trees
                .iter_mut()
                .find(|tree| !tree.split_maskdict.is_empty());
            let splits = &mut tree.unwrap().split_maskdict;
            splits.values_mut().for_each(|split| *split = f64::NAN);
        }),
        ("leaf", &|param| {
            let nodes = &mut param.trees[0].tree;
            let leaf = nodes.iter_mut().find(|node| node.is_leaf).unwrap();
            leaf.weight = f64::INFINITY;
        }),
    ];
    for (part, damage) in damages {
        let text = damaged(damage);
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = changed::<BoostingTreeModelMeta>("sbt_binary_missing", "TreeGuestMeta", |meta| {
        meta.learning_rate = 0.0;
    });
    assert!(text.contains("learning rate"), "{text}");
}

/// A few megabytes must not ask for terabytes.
#[test]
fn many_classes_and_many_leaves_do_not_multiply() {
    let classes = 200_000;
    let text = changed::<Forest>("sbt_multi_output", "TreeGuestParam", |param| {
        param.classes = vec![String::new(); classes];
        param.init_score = vec![0.0; classes];
        param.num_classes = i32::try_from(classes).unwrap();
        let leaf = NodeParam {
            is_leaf: true,
            ..NodeParam::default()
        };
        param.trees[0].tree = vec![leaf; classes];
    });
    assert!(
        text.contains("classes") || text.contains("parent"),
        "{text}"
    );
}

/// What a host in mix mode writes for a row of ones.
fn leaves_of_the_host() -> String {
    let site = Site {
        role: Role::Host,
        party_id: "10000".to_owned(),
        hosts: Vec::new(),
    };
    let plan = compile(&party("sbt_mix", "host_10000"), &site, Semantics::Fate).unwrap();
    let mut row = plan.new_row();
    for name in &plan.verdict().features {
        plan.set_number(name, 1.0, &mut row);
    }
    let partial = plan.host_partial(&mut row).unwrap();
    let mut member = Vec::new();
    plan.write_partial(&partial, &mut member);
    String::from_utf8(member).unwrap()
}

/// An answer may name a tree a million times, or trees that there are not; only one leaf of each own tree is kept.
#[test]
fn of_leaves_in_excess_the_last_ones_count() {
    let guest = guest("sbt_mix");
    let member = leaves_of_the_host();
    let expected = score(&guest, &format!("{{{member}}}")).unwrap();
    let (name, leaves) = member.split_once(":{").unwrap();
    let first_tree: u32 = leaves[1..].split('"').next().unwrap().parse().unwrap();
    let excess = format!(r#""{first_tree}":4000000000,"4000000000":1,"#).repeat(1_000);
    let answer = |leaves: &str| format!("{{{name}:{{{leaves}}}");
    let before = answer(&format!("{excess}{leaves}"));
    assert_eq!(score(&guest, &before), Ok(expected));
    let after = leaves.strip_suffix('}').unwrap();
    let after = answer(&format!(r#"{after},"{first_tree}":4000000000}}"#));
    assert!(score(&guest, &after).is_err());
}

/// The score of a row of ones, the host's part being `reply`.
fn score(buffers: &Buffers, reply: &str) -> Result<f64, String> {
    let site = Site {
        role: Role::Guest,
        party_id: "9999".to_owned(),
        hosts: vec!["10000".to_owned()],
    };
    let plan = compile(buffers, &site, Semantics::Fate).unwrap();
    let mut row = plan.new_row();
    for name in &plan.verdict().features {
        plan.set_number(name, 1.0, &mut row);
    }
    let local = plan.guest_local(&mut row).unwrap();
    let partial = plan.read_partial("10000", reply).unwrap();
    let merged = plan.merge(local, &[("10000", partial)]);
    merged
        .map(|score| score.scores()[0])
        .map_err(|fault| fault.to_string())
}

/// Found by fuzzing: finite weights whose sum, or whose exponential, is not.
#[test]
fn a_score_that_overflows_is_a_fault() {
    let linear = guest("linr");
    let part = |score: &str| format!(r#"{{"hetero_linr_0":{{"score":{score}}}}}"#);
    assert!(score(&linear, &part("1.5")).unwrap().is_finite());
    let mut steep = linear.clone();
    let key = linear
        .keys()
        .find(|key| key.starts_with("hetero_linr_0") && key.ends_with("Param"))
        .unwrap();
    let mut param = LinRModelParam::decode(linear[key].clone()).unwrap();
    param.weight.values_mut().for_each(|weight| *weight = 0.0);
    param.intercept = f64::MAX;
    steep.insert(key.clone(), param.encode_to_vec().into());
    assert_eq!(score(&steep, &part("0")), Ok(f64::MAX));
    let fault = score(&steep, &part("1.7e308")).unwrap_err();
    assert!(fault.contains("finite"), "{fault}");

    let poisson = guest("poisson");
    let part = |score: &str| format!(r#"{{"hetero_poisson_0":{{"score":{score}}}}}"#);
    assert!(score(&poisson, &part("1.5")).unwrap().is_finite());
    let fault = score(&poisson, &part("1000")).unwrap_err();
    assert!(fault.contains("finite"), "{fault}");
}
