//! SecureBoost (contract 02 A11; B2 rows 1 to 5 and 17): random forests of all parties, and a walk down the tree that
//! they share, as if one party held it.

use fate_inference::Semantics;
use fate_proto::buffer::{
    BoostingTreeModelMeta, BoostingTreeModelParam, DecisionTreeModelMeta, DecisionTreeModelParam,
    NodeParam, ObjectiveMeta,
};

use crate::{
    Expected, Model, VERSIONS,
    dice::Dice,
    party::{Component, GUEST, host_id},
    pipeline::Pipeline,
    values::{Row, Value, float_zero, is_missing, release},
};

const OBJECTIVES: [&str; 6] = ["lse", "lae", "huber", "fair", "log_cosh", "tweedie"];
const SLACK: f64 = 1e-8;

#[derive(Debug)]
pub(crate) struct Forest {
    version: &'static str,
    parties: Vec<Pipeline>,
    trees: Vec<Tree>,
    learning_rate: f64,
    kind: Kind,
    use_missing: bool,
    zero_as_missing: bool,
    /// The guest has all features and whole trees.
    homo: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Binary(f64),
    Classes(Vec<f64>),
    Regression { init: f64, objective: &'static str },
}

#[derive(Debug, Clone)]
enum Tree {
    Leaf(f64),
    Split(Box<Split>),
}

#[derive(Debug, Clone)]
struct Split {
    /// 0 is the guest.
    party: usize,
    feature: usize,
    at: f64,
    missing_dir: Option<i32>,
    left: Tree,
    right: Tree,
}

impl Forest {
    pub(crate) fn random(dice: &mut Dice<'_>) -> Self {
        let version = dice.pick(&VERSIONS);
        let homo = dice.chance(25);
        let parties = if homo { 1 } else { 2 + dice.below(3) };
        let parties = (0..parties).map(|_| Pipeline::random(dice, version));
        let parties: Vec<Pipeline> = parties.collect();
        let kind = match dice.below(4) {
            0 => Kind::Binary(dice.pick(&[0.0, 0.75, -2.0])),
            1 | 2 => Kind::Classes(
                (0..3 + dice.below(2))
                    .map(|_| dice.hundredths() / 10.0)
                    .collect(),
            ),
            _ => Kind::Regression {
                init: dice.hundredths(),
                objective: dice.pick(&OBJECTIVES),
            },
        };
        let rounds = 1 + dice.below(4);
        let trees = match &kind {
            Kind::Classes(init) => rounds * init.len(),
            _ => rounds,
        };
        let depth = 1 + dice.below(6);
        let trees = (0..trees)
            .map(|_| Tree::random(dice, &parties, depth))
            .collect();
        Forest {
            version,
            parties,
            trees,
            learning_rate: dice.pick(&[0.3, 0.1, 1.0]),
            kind,
            use_missing: dice.chance(60),
            zero_as_missing: dice.chance(40),
            homo,
        }
    }

    /// Split values.
    fn interesting(&self) -> Vec<f64> {
        let mut values = Vec::new();
        let mut collect = |split: &Split| values.push(split.at);
        self.trees.iter().for_each(|tree| tree.each(&mut collect));
        values
    }

    fn components_of(&self, party: usize) -> Vec<Component> {
        let model = match party {
            _ if self.homo => "HomoSecureBoostingTreeClient",
            0 => "HeteroSecureBoostingTreeGuest",
            _ => "HeteroSecureBoostingTreeHost",
        };
        let mut components = self.parties[party].components();
        components.push(Component::new(model, &self.meta(), &self.param(party)));
        components
    }

    fn meta(&self) -> BoostingTreeModelMeta {
        let objective = match &self.kind {
            Kind::Regression { objective, .. } => *objective,
            _ => "cross_entropy",
        };
        let task_type = match &self.kind {
            Kind::Regression { .. } => "regression",
            _ => "classification",
        };
        BoostingTreeModelMeta {
            task_type: task_type.to_owned(),
            tree_meta: Some(DecisionTreeModelMeta {
                use_missing: self.use_missing,
                zero_as_missing: self.zero_as_missing,
                ..Default::default()
            }),
            objective_meta: Some(ObjectiveMeta {
                objective: objective.to_owned(),
                param: Vec::new(),
            }),
            learning_rate: self.learning_rate,
            ..Default::default()
        }
    }

    /// What one party has of the model.
    fn param(&self, party: usize) -> BoostingTreeModelParam {
        let names = self.parties[party].columns.iter().cloned();
        let (init_score, classes) = match &self.kind {
            Kind::Binary(init) => (vec![*init], vec!["0".to_owned(), "1".to_owned()]),
            Kind::Classes(init) => (init.clone(), (0..init.len()).map(class_name).collect()),
            Kind::Regression { init, .. } => (vec![*init], Vec::new()),
        };
        BoostingTreeModelParam {
            tree_num: self.trees.len() as i32,
            trees: self
                .trees
                .iter()
                .map(|tree| tree.param(party, self.homo))
                .collect(),
            tree_dim: if classes.len() > 2 {
                classes.len() as i32
            } else {
                1
            },
            init_score,
            num_classes: classes.len() as i32,
            classes,
            feature_name_fid_mapping: (0..).zip(names).collect(),
            ..Default::default()
        }
    }

    /// A host decides all its nodes, so that one bad value anywhere fails it; the guest looks at what it passes.
    fn hosts_can_decide(&self, rows: &[Row], semantics: Semantics) -> Option<()> {
        let mut all_can = true;
        for tree in &self.trees {
            tree.each(&mut |split| {
                all_can &= split.party == 0 || self.goes_left(split, rows, semantics).is_some();
            });
        }
        all_can.then_some(())
    }

    fn leaf(&self, tree: &Tree, rows: &[Row], semantics: Semantics) -> Option<f64> {
        match tree {
            Tree::Leaf(weight) => Some(*weight),
            Tree::Split(split) if self.goes_left(split, rows, semantics)? => {
                self.leaf(&split.left, rows, semantics)
            }
            Tree::Split(split) => self.leaf(&split.right, rows, semantics),
        }
    }

    fn goes_left(&self, split: &Split, rows: &[Row], semantics: Semantics) -> Option<bool> {
        let name = &self.parties[split.party].columns[split.feature];
        let value = rows[split.party].get(name);
        match semantics {
            Semantics::Java => match value {
                None => Some(!matches!(split.missing_dir, None | Some(1))),
                Some(value) => Some(value.number()? <= split.at + SLACK),
            },
            Semantics::Fate => self.goes_left_offline(split, value),
        }
    }

    fn goes_left_offline(&self, split: &Split, value: Option<&Value>) -> Option<bool> {
        let old = release(self.version) < (1, 7, 0);
        let missing = Some(match split.missing_dir {
            direction if self.homo && old => direction != Some(1),
            // Before 1.7 a model that was not trained for missing values sends them to the right.
            Some(direction) if old => direction != 1 && self.use_missing,
            direction => direction == Some(-1),
        });
        if is_missing(value) {
            return missing;
        }
        let number = value?.number()?;
        // Trees see sparse vectors. One that was made of an array has no small values; another has what was written.
        let limit = float_zero(self.version);
        let is_array = !self.parties[split.party].has_sparse_rows();
        let is_zero = value == Some(&Value::LeftOut) || (is_array && number.abs() < limit);
        // The guest of 1.5 and 1.6 forgets about zero_as_missing where it walks with others.
        let forgets = split.party == 0
            && !self.homo
            && ((1, 5, 0)..(1, 7, 0)).contains(&release(self.version));
        let zero_is_missing = self.use_missing && self.zero_as_missing && !forgets;
        if number.is_nan() || (is_zero && zero_is_missing) {
            return missing;
        }
        let slack = match (release(self.version), split.party) {
            (release, _) if release < (1, 5, 0) => 0.0,
            (release, host) if host > 0 && release < (1, 7, 0) => 0.0,
            _ => SLACK,
        };
        Some(if is_zero { 0.0 } else { number } <= split.at + slack)
    }

    fn output(&self, leaves: &[f64], semantics: Semantics) -> (Vec<f64>, Option<String>) {
        match &self.kind {
            Kind::Binary(init) => {
                // Java adds no initial score to a binary model.
                let init = match semantics {
                    Semantics::Java => 0.0,
                    Semantics::Fate => *init,
                };
                let sum: f64 = init + leaves.iter().sum::<f64>();
                (vec![1.0 / (1.0 + (-sum).exp())], None)
            }
            Kind::Regression { init, objective } => {
                let sum = leaves.iter().fold(*init, |sum, leaf| sum + leaf);
                let is_power = *objective == "tweedie"
                    && semantics == Semantics::Fate
                    && release(self.version) >= (1, 9, 1);
                (vec![if is_power { sum.exp() } else { sum }], None)
            }
            Kind::Classes(init) => {
                let mut sums = vec![0.0; init.len()];
                for (tree, leaf) in leaves.iter().enumerate() {
                    sums[tree % init.len()] += leaf;
                }
                let sums: Vec<f64> = sums
                    .iter()
                    .zip(init)
                    .map(|(sum, init)| sum + init)
                    .collect();
                let best = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = sums.iter().map(|sum| (sum - best).exp()).collect();
                let total: f64 = powers.iter().sum();
                let shares: Vec<f64> = powers.iter().map(|power| power / total).collect();
                // Sums that differ in their last digit have equal probabilities.
                let label = match semantics {
                    Semantics::Java => sums.iter().position(|sum| *sum == best),
                    Semantics::Fate => shares.iter().position(|share| *share == 1.0 / total),
                };
                (shares, label.map(class_name))
            }
        }
    }
}

impl Model for Forest {
    fn version(&self) -> &'static str {
        self.version
    }

    fn components(&self) -> Vec<Vec<Component>> {
        (0..self.parties.len())
            .map(|party| self.components_of(party))
            .collect()
    }

    fn random_rows(&self, dice: &mut Dice<'_>) -> Vec<Row> {
        let interesting = self.interesting();
        let parties = self.parties.iter();
        parties
            .map(|party| party.random_row(dice, &interesting))
            .collect()
    }

    fn semantics(&self) -> &'static [Semantics] {
        if self.homo {
            &[Semantics::Fate]
        } else {
            &[Semantics::Java, Semantics::Fate]
        }
    }

    fn interpret(&self, rows: &[Row], semantics: Semantics) -> Expected {
        let mut tabled = Vec::new();
        for (party, row) in self.parties.iter().zip(rows) {
            tabled.push(party.apply(row, semantics).ok()?);
        }
        self.hosts_can_decide(&tabled, semantics)?;
        let mut leaves = Vec::new();
        for tree in &self.trees {
            leaves.push(self.leaf(tree, &tabled, semantics)? * self.learning_rate);
        }
        Some(self.output(&leaves, semantics))
    }
}

fn class_name(class: usize) -> String {
    format!("class {class}")
}

impl Tree {
    fn random(dice: &mut Dice<'_>, parties: &[Pipeline], depth: usize) -> Self {
        if depth == 0 || !dice.chance(75) {
            return Tree::Leaf(dice.hundredths() / 5.0);
        }
        let party = dice.below(parties.len());
        Tree::Split(Box::new(Split {
            party,
            feature: dice.below(parties[party].columns.len()),
            at: dice.pick(&[
                0.0,
                dice_value(1),
                dice_value(2),
                dice_value(3),
                dice_value(4),
            ]),
            missing_dir: dice.pick(&[None, Some(1), Some(-1), Some(0)]),
            left: Tree::random(dice, parties, depth - 1),
            right: Tree::random(dice, parties, depth - 1),
        }))
    }

    fn each(&self, visit: &mut impl FnMut(&Split)) {
        if let Tree::Split(split) = self {
            visit(split);
            split.left.each(visit);
            split.right.each(visit);
        }
    }

    /// The tree as one party's buffer has it: split values and missing directions of the party's own nodes only, in a
    /// homogeneous tree in the nodes themselves.
    fn param(&self, party: usize, homo: bool) -> DecisionTreeModelParam {
        let mut param = DecisionTreeModelParam::default();
        // Breadth first, as FATE numbers nodes.
        let mut waiting = std::collections::VecDeque::from([self]);
        let mut next_id = 1;
        while let Some(tree) = waiting.pop_front() {
            let id = param.tree.len() as i32;
            match tree {
                Tree::Leaf(weight) => param.tree.push(NodeParam {
                    id,
                    sitename: site_name(0),
                    is_leaf: true,
                    weight: if party == 0 { *weight } else { 0.0 },
                    ..Default::default()
                }),
                Tree::Split(split) => {
                    if split.party == party && !homo {
                        param.split_maskdict.insert(id, split.at);
                        param
                            .missing_dir_maskdict
                            .extend(split.missing_dir.map(|way| (id, way)));
                    }
                    param.tree.push(NodeParam {
                        id,
                        sitename: site_name(split.party),
                        fid: split.feature as i32,
                        bid: if homo { split.at } else { 0.0 },
                        missing_dir: split.missing_dir.filter(|_| homo).unwrap_or(0),
                        left_nodeid: next_id,
                        right_nodeid: next_id + 1,
                        ..Default::default()
                    });
                    next_id += 2;
                    waiting.extend([&split.left, &split.right]);
                }
            }
        }
        param
    }
}

fn dice_value(step: usize) -> f64 {
    [0.0, 1.0, -2.5, 0.07, 1.5][step]
}

fn site_name(party: usize) -> String {
    match party {
        0 => format!("guest:{GUEST}"),
        host => format!("host:{}", host_id(host - 1)),
    }
}
