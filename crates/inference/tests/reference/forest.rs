//! Random SecureBoost models.

use std::collections::BTreeMap;

use fate_inference::Plan;
use fate_proto::buffer::{
    BoostingTreeModelMeta, BoostingTreeModelParam, DecisionTreeModelMeta, DecisionTreeModelParam,
    NodeParam, ObjectiveMeta,
};
use prost::Message as _;
use serde_json::{Value, json};

use crate::random::{Random, number, spelled};
use crate::{Row, assert_equal, buffers, guest_plan, host_plan, online, sigmoid};

const FEATURES: usize = 5;

/// A node as one sees it who sees everything.
#[derive(Debug, Clone)]
enum Node {
    Leaf(f64),
    Split {
        /// 0 is the guest.
        party: usize,
        feature: usize,
        split: f64,
        missing_left: bool,
        left: usize,
        right: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Task {
    Binary,
    Classes(usize),
    Regression,
}

#[derive(Debug)]
struct Forest {
    task: Task,
    parties: usize,
    learning_rate: f64,
    init: Vec<f64>,
    trees: Vec<Vec<Node>>,
    zero_as_missing: bool,
}

fn tree(random: &mut Random, parties: usize, depth: usize) -> Vec<Node> {
    let mut nodes = vec![Node::Leaf(random.unit())];
    let mut open = vec![(0, depth)];
    while let Some((place, depth)) = open.pop() {
        if depth == 0 || (place > 0 && random.chance(15)) {
            nodes[place] = Node::Leaf(random.unit());
            continue;
        }
        let left = nodes.len();
        nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
        nodes[place] = Node::Split {
            party: random.below(parties),
            feature: random.below(FEATURES),
            split: if random.chance(20) {
                0.0
            } else {
                random.short()
            },
            missing_left: random.chance(50),
            left,
            right: left + 1,
        };
        open.extend([(left, depth - 1), (left + 1, depth - 1)]);
    }
    nodes
}

fn forest(random: &mut Random) -> Forest {
    let task = match random.below(3) {
        0 => Task::Binary,
        1 => Task::Classes(3 + random.below(3)),
        _ => Task::Regression,
    };
    let parties = 2 + random.below(3);
    let dimension = dimension(task);
    let rounds = 1 + random.below(6);
    let depth = 1 + random.below(5);
    Forest {
        task,
        parties,
        learning_rate: 0.05 + random.unit().abs(),
        // FATE trains binary models from 0, and neither it nor the plan looks at another value.
        init: (0..dimension)
            .map(|_| {
                if task == Task::Binary {
                    0.0
                } else {
                    random.unit()
                }
            })
            .collect(),
        trees: (0..rounds * dimension)
            .map(|_| tree(random, parties, depth))
            .collect(),
        zero_as_missing: random.chance(25),
    }
}

fn dimension(task: Task) -> usize {
    match task {
        Task::Classes(classes) => classes,
        _ => 1,
    }
}

fn site(party: usize) -> String {
    match party {
        0 => "guest:9999".to_owned(),
        host => format!("host:{}", host_id(host)),
    }
}

fn host_id(host: usize) -> String {
    format!("{}", 10_000 + host)
}

/// What a party's copy of a tree holds: all nodes, its own splits, and on the guest the leaves' weights.
fn copy_of(tree: &[Node], party: usize) -> DecisionTreeModelParam {
    let mut copy = DecisionTreeModelParam::default();
    for (id, node) in (0..).zip(tree) {
        let mut param = NodeParam {
            id,
            sitename: site(0),
            fid: -1,
            left_nodeid: -1,
            right_nodeid: -1,
            missing_dir: 1,
            ..Default::default()
        };
        match node {
            Node::Leaf(weight) => {
                param.is_leaf = true;
                param.weight = if party == 0 { *weight } else { 0.0 };
            }
            Node::Split {
                party: owner,
                feature,
                split,
                missing_left,
                left,
                right,
            } => {
                param.sitename = site(*owner);
                param.left_nodeid = *left as i32;
                param.right_nodeid = *right as i32;
                if *owner == party {
                    param.fid = *feature as i32;
                    copy.split_maskdict.insert(id, *split);
                    let direction = if *missing_left { -1 } else { 1 };
                    copy.missing_dir_maskdict.insert(id, direction);
                }
            }
        }
        copy.tree.push(param);
    }
    copy
}

fn name(party: usize, feature: usize) -> String {
    format!("p{party}f{feature}")
}

fn plan(forest: &Forest, party: usize) -> Plan {
    let meta = BoostingTreeModelMeta {
        learning_rate: forest.learning_rate,
        objective_meta: Some(ObjectiveMeta {
            objective: match forest.task {
                Task::Regression => "lse".to_owned(),
                _ => "cross_entropy".to_owned(),
            },
            ..Default::default()
        }),
        task_type: match forest.task {
            Task::Regression => "regression".to_owned(),
            _ => "classification".to_owned(),
        },
        tree_meta: Some(DecisionTreeModelMeta {
            use_missing: true,
            zero_as_missing: forest.zero_as_missing,
            ..Default::default()
        }),
        use_missing: true,
        zero_as_missing: forest.zero_as_missing,
        ..Default::default()
    };
    let param = BoostingTreeModelParam {
        tree_num: forest.trees.len() as i32,
        trees: forest
            .trees
            .iter()
            .map(|tree| copy_of(tree, party))
            .collect(),
        init_score: if party == 0 {
            forest.init.clone()
        } else {
            Vec::new()
        },
        tree_dim: dimension(forest.task) as i32,
        num_classes: match forest.task {
            Task::Binary => 2,
            Task::Classes(classes) => classes as i32,
            Task::Regression => 0,
        },
        classes: match forest.task {
            Task::Regression => Vec::new(),
            Task::Binary => vec!["0".to_owned(), "1".to_owned()],
            Task::Classes(classes) => (0..classes).map(|class| class.to_string()).collect(),
        },
        feature_name_fid_mapping: (0..FEATURES).map(|f| (f as i32, name(party, f))).collect(),
        ..Default::default()
    };
    let class = if party == 0 {
        "HeteroSecureBoostingTreeGuest"
    } else {
        "HeteroSecureBoostingTreeHost"
    };
    let buffers = buffers(&[(
        "boost_0",
        class,
        meta.encode_to_vec(),
        param.encode_to_vec(),
    )]);
    if party > 0 {
        return host_plan(&buffers, &host_id(party));
    }
    let hosts: Vec<String> = (1..forest.parties).map(host_id).collect();
    guest_plan(&buffers, &hosts)
}

/// The value a decision sees: none when missing (contract 02 A11 with FATE's own rules for missing values and zeros).
fn seen(forest: &Forest, row: &Row, name: &str) -> Option<f64> {
    let value = match row.get(name)? {
        Value::Null => return None,
        Value::String(text) => text.parse().unwrap(),
        number => number.as_f64().unwrap(),
    };
    match value {
        value if f64::is_nan(value) => None,
        value if value.abs() >= 1e-8 => Some(value),
        _ if forest.zero_as_missing => None,
        _ => Some(0.0),
    }
}

fn leaf(forest: &Forest, tree: &[Node], rows: &[Row]) -> f64 {
    let mut place = 0;
    loop {
        match &tree[place] {
            Node::Leaf(weight) => return *weight,
            Node::Split {
                party,
                feature,
                split,
                missing_left,
                left,
                right,
            } => {
                let goes_left = match seen(forest, &rows[*party], &name(*party, *feature)) {
                    Some(value) => value <= split + 1e-8,
                    None => *missing_left,
                };
                place = if goes_left { *left } else { *right };
            }
        }
    }
}

fn offline(forest: &Forest, rows: &[Row]) -> Vec<f64> {
    let mut sums = forest.init.clone();
    let dimension = sums.len();
    for (index, tree) in forest.trees.iter().enumerate() {
        sums[index % dimension] += forest.learning_rate * leaf(forest, tree, rows);
    }
    match forest.task {
        Task::Regression => sums,
        Task::Binary => vec![sigmoid(sums[0])],
        Task::Classes(_) => {
            let exponents: Vec<f64> = sums.iter().map(|sum| sum.exp()).collect();
            let total: f64 = exponents.iter().sum();
            exponents.iter().map(|one| one / total).collect()
        }
    }
}

/// Every split of the model, by feature: values are chosen around them.
fn pivots(forest: &Forest) -> BTreeMap<String, Vec<f64>> {
    let mut pivots: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for node in forest.trees.iter().flatten() {
        if let Node::Split {
            party,
            feature,
            split,
            ..
        } = node
        {
            pivots
                .entry(name(*party, *feature))
                .or_default()
                .push(*split);
        }
    }
    pivots
}

fn row(random: &mut Random, party: usize, pivots: &BTreeMap<String, Vec<f64>>) -> Row {
    let mut row = Row::new();
    for feature in 0..FEATURES {
        let name = name(party, feature);
        let near = pivots.get(&name).map_or(&[][..], Vec::as_slice);
        let value = match random.below(12) {
            0 => continue,
            1 => Value::Null,
            2 => json!("NaN"),
            _ => {
                let value = number(random, near);
                spelled(random, value)
            }
        };
        row.insert(name, value);
    }
    row.insert(format!("unknown{party}"), json!([1, {"a": null}]));
    row
}

#[test]
fn forests() {
    let mut random = Random(20_240_701);
    for model in 0..2000 {
        let forest = forest(&mut random);
        let guest = plan(&forest, 0);
        let hosts: Vec<(String, Plan)> = (1..forest.parties)
            .map(|host| (host_id(host), plan(&forest, host)))
            .collect();
        let pivots = pivots(&forest);
        for _ in 0..50 {
            let rows: Vec<Row> = (0..forest.parties)
                .map(|party| row(&mut random, party, &pivots))
                .collect();
            let expected = offline(&forest, &rows);
            let found = online(&guest, &hosts, &rows);
            assert_equal(&found, &expected, &|| {
                format!("model {model}: {forest:?}\n{rows:?}")
            });
        }
    }
}
