//! Leaves to score (contract 02 A11 "Output", B2 row 17; boosting_tree_predict.py `add_y_hat`).

use fate_domain::{fault::Fault, return_code::ReturnCode};
use fate_proto::buffer::{
    BoostingTreeModelMeta, BoostingTreeModelParam, DecisionTreeModelParam, NodeParam,
};

use super::{Node, Trees};
use crate::{
    Refusal, Score,
    component::{Context, Source, linear::sigmoid},
    dsl::FateVersion,
    merge::{first_largest, softmax},
};

/// What every leaf adds, learning rate included: `width` numbers by node position.
#[derive(Debug)]
pub(super) struct Leaves {
    width: usize,
    weights: Vec<f64>,
}

impl Leaves {
    pub(super) fn new(
        source: &Source<'_>,
        meta: &BoostingTreeModelMeta,
        trees: &[DecisionTreeModelParam],
        layout: &Trees,
        width: usize,
    ) -> Result<Self, Refusal> {
        let of_leaf = |node: &'_ NodeParam| -> Vec<f64> {
            if width == 1 {
                vec![node.weight]
            } else {
                node.mo_weight.clone()
            }
        };
        let leaves = trees
            .iter()
            .flat_map(|tree| &tree.tree)
            .enumerate()
            .filter(|(position, _)| matches!(layout.nodes.get(*position), Some(Node::Leaf)));
        // All leaves are looked at before memory for as many is asked for.
        for (_, node) in leaves.clone() {
            check_leaf(source, &of_leaf(node), width)?;
        }
        let mut weights = vec![0.0; layout.nodes.len().saturating_mul(width)];
        for (position, node) in leaves {
            let of_leaf = of_leaf(node);
            for (slot, weight) in weights[position * width..].iter_mut().zip(&of_leaf) {
                *slot = weight * meta.learning_rate;
            }
        }
        Ok(Leaves { width, weights })
    }

    /// For tests of where a walk ends, not of what it adds up to.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Leaves {
            width: 1,
            weights: Vec::new(),
        }
    }

    /// For tests of what a row takes.
    #[cfg(test)]
    pub(super) fn single(weights: Vec<f64>) -> Self {
        Leaves { width: 1, weights }
    }

    fn at(&self, position: u32) -> &[f64] {
        &self.weights[position as usize * self.width..][..self.width]
    }
}

fn check_leaf(source: &Source<'_>, weights: &[f64], width: usize) -> Result<(), Refusal> {
    if weights.len() != width {
        return Err(source.refuse(format!(
            "a leaf has {} weights for {width} classes",
            weights.len()
        )));
    }
    if weights.iter().any(|weight| !weight.is_finite()) {
        return Err(source.refuse("the weight of a leaf is not a finite number"));
    }
    Ok(())
}

/// How the sums of the leaves become a score.
#[derive(Debug)]
pub(super) enum Scoring {
    /// Sigmoid of the sum. FATE adds the initial score (which its own training leaves at 0), Java does not.
    Binary { init: f64 },
    /// Tree `t` adds to class `t % dim`; softmax. The label is that of the largest probability offline, of the largest
    /// sum in Java: sums that differ in their last digit have equal probabilities.
    Classes {
        init: Vec<f64>,
        classes: Vec<Box<str>>,
        java: bool,
    },
    /// Every leaf adds to every class; softmax.
    MultiOutput {
        init: Vec<f64>,
        classes: Vec<Box<str>>,
    },
    /// The sum, or its exponential for tweedie.
    Regression { init: f64, exponential: bool },
}

impl Scoring {
    pub(super) fn new(
        source: &Source<'_>,
        context: &mut Context<'_>,
        meta: &BoostingTreeModelMeta,
        param: &BoostingTreeModelParam,
    ) -> Result<Self, Refusal> {
        let classes = || -> Vec<Box<str>> {
            param
                .classes
                .iter()
                .map(|class| class.as_str().into())
                .collect()
        };
        let multi_output = param
            .trees
            .iter()
            .flat_map(|tree| &tree.tree)
            .any(|node| node.mo_weight.len() > 1);
        if multi_output {
            context.differs("FATE-Serving 2.1.7 ignores multi-output leaves and answers the first class for every row");
        }
        if param.init_score.iter().any(|init| !init.is_finite()) {
            return Err(source.refuse("init_score is not a finite number"));
        }
        match Task::of(source, context, meta, param)? {
            Task::Regression => Self::regression(source, context, meta, param),
            Task::Binary if multi_output && !context.java() => {
                Err(source.refuse("multi-output leaves of a binary model are not defined"))
            }
            Task::Binary => Ok(Scoring::Binary {
                init: binary_init(source, context, meta, param)?,
            }),
            Task::Classes if multi_output && !context.java() => {
                let (init, classes) = (param.init_score.clone(), classes());
                if init.len() != classes.len() {
                    return Err(source.refuse(format!(
                        "init_score has {} values for {} classes",
                        init.len(),
                        classes.len()
                    )));
                }
                Ok(Scoring::MultiOutput { init, classes })
            }
            Task::Classes => {
                let dim = usize::try_from(param.tree_dim).unwrap_or(0);
                let classes = classes();
                let is_odd = !context.java()
                    && (Ok(param.num_classes) != i32::try_from(dim) || classes.len() != dim);
                if dim == 0 || is_odd || param.init_score.len() < dim || classes.len() < dim {
                    return Err(source.refuse(format!(
                        "tree_dim is {dim}, num_classes {}, init_score has {} values, and there are {} classes",
                        param.num_classes,
                        param.init_score.len(),
                        classes.len()
                    )));
                }
                Ok(Scoring::Classes {
                    init: param.init_score[..dim].to_vec(),
                    classes,
                    java: context.java(),
                })
            }
        }
    }

    fn regression(
        source: &Source<'_>,
        context: &mut Context<'_>,
        meta: &BoostingTreeModelMeta,
        param: &BoostingTreeModelParam,
    ) -> Result<Self, Refusal> {
        let objective = meta
            .objective_meta
            .as_ref()
            .map_or("", |objective| objective.objective.as_str());
        let exponential = match objective {
            // Up to 1.9.0 FATE itself answered the linear sum (boosting.py `score_to_predict_result`).
            "tweedie" => context.version() >= FateVersion(1, 9, 1),
            "" | "lse" | "lae" | "huber" | "log_cosh" | "fair" => false,
            _ if context.java() => false,
            other => {
                return Err(
                    source.refuse(format!("the objective {other:?} has no offline prediction"))
                );
            }
        };
        if exponential {
            context.differs("FATE-Serving 2.1.7 answers the linear sum of a tweedie model, FATE its exponential");
        }
        let Some(&init) = param.init_score.first() else {
            return Err(source.refuse("init_score of a regression model is empty"));
        };
        Ok(Scoring::Regression {
            init,
            exponential: exponential && !context.java(),
        })
    }

    /// Numbers per leaf.
    pub(super) fn width(&self) -> usize {
        match self {
            Scoring::MultiOutput { classes, .. } => classes.len(),
            _ => 1,
        }
    }

    pub(super) fn kind(&self) -> String {
        match self {
            Scoring::Binary { .. } => "binary".to_owned(),
            Scoring::Classes { classes, .. } => format!("of {} classes", classes.len()),
            Scoring::MultiOutput { classes, .. } => {
                format!("of {} classes, multi-output", classes.len())
            }
            Scoring::Regression {
                exponential: true, ..
            } => "regression (tweedie)".to_owned(),
            Scoring::Regression {
                exponential: false, ..
            } => "regression".to_owned(),
        }
    }

    /// `reached`: the leaf of every tree, in tree order, which is the order of the sum.
    pub(super) fn score(&self, leaves: &Leaves, reached: &[u32]) -> Result<Score, Fault> {
        let sum = |start: f64| match leaves.width {
            1 => (reached.iter()).fold(start, |sum, &leaf| sum + leaves.weights[leaf as usize]),
            _ => (reached.iter()).fold(start, |sum, &leaf| sum + leaves.at(leaf)[0]),
        };
        match self {
            Scoring::Binary { init } => finite(sigmoid(sum(*init))).map(Score::one),
            Scoring::Regression { init, exponential } => {
                let value = sum(*init);
                finite(if *exponential { value.exp() } else { value }).map(Score::one)
            }
            Scoring::Classes {
                init,
                classes,
                java,
            } => {
                let mut sums = vec![0.0; init.len()];
                for (tree, &leaf) in reached.iter().enumerate() {
                    sums[tree % init.len()] += leaves.at(leaf)[0];
                }
                add_initial(&mut sums, init);
                let mut probabilities = sums.clone();
                softmax(&mut probabilities);
                all_finite(&probabilities)?;
                let ranks = if *java { &sums } else { &probabilities };
                let best = first_largest(ranks);
                Ok(Score::labelled(probabilities, classes, best))
            }
            Scoring::MultiOutput { init, classes } => {
                let mut sums = vec![0.0; init.len()];
                for &leaf in reached {
                    sums.iter_mut()
                        .zip(leaves.at(leaf))
                        .for_each(|(sum, weight)| *sum += weight);
                }
                add_initial(&mut sums, init);
                softmax(&mut sums);
                all_finite(&sums)?;
                Ok(Score::classes(sums, classes))
            }
        }
    }
}

/// What the trees were trained for.
enum Task {
    Regression,
    Binary,
    Classes,
}

impl Task {
    /// Offline `task_type` decides (boosting.py `score_to_predict_result`), in Java the number of classes. Every release of
    /// FATE writes the type, and none predicts without it: a buffer that has none is taken as Java takes it.
    fn of(
        source: &Source<'_>,
        context: &mut Context<'_>,
        meta: &BoostingTreeModelMeta,
        param: &BoostingTreeModelParam,
    ) -> Result<Self, Refusal> {
        let by_classes = match param.num_classes {
            ..=1 => Task::Regression,
            2 => Task::Binary,
            3.. => Task::Classes,
        };
        let odd = |what: &str| {
            let classes = param.num_classes;
            Err(source.refuse(format!(
                "a {what} with num_classes {classes} has no offline prediction"
            )))
        };
        match (meta.task_type.as_str(), by_classes) {
            (_, task) if context.java() => Ok(task),
            ("", task) | ("regression", task @ Task::Regression) => Ok(task),
            ("regression", _) => {
                context.differs("FATE-Serving 2.1.7 takes a regression for a classification when its buffer counts classes");
                Ok(Task::Regression)
            }
            ("classification", Task::Regression) => odd("classification"),
            ("classification", task) => Ok(task),
            (other, _) => odd(other),
        }
    }
}

/// The one initial score of a binary model (boosting_tree_predict.py `add_y_hat`). Java leaves it out, and so does the
/// contract (A11) for buffers that no release of FATE predicts with.
fn binary_init(
    source: &Source<'_>,
    context: &mut Context<'_>,
    meta: &BoostingTreeModelMeta,
    param: &BoostingTreeModelParam,
) -> Result<f64, Refusal> {
    if context.java() || meta.task_type.is_empty() {
        return Ok(0.0);
    }
    let [init] = param.init_score[..] else {
        return Err(source.refuse(format!(
            "init_score of a binary model has {} values",
            param.init_score.len()
        )));
    };
    if init != 0.0 {
        context.differs("FATE-Serving 2.1.7 leaves out the initial score of a binary model");
    }
    Ok(init)
}

fn add_initial(sums: &mut [f64], init: &[f64]) {
    sums.iter_mut()
        .zip(init)
        .for_each(|(sum, init)| *sum += init);
}

fn all_finite(values: &[f64]) -> Result<(), Fault> {
    values
        .iter()
        .try_for_each(|value| finite(*value).map(|_| ()))
}

fn finite(value: f64) -> Result<f64, Fault> {
    if !value.is_finite() {
        return Err(Fault::new(
            ReturnCode::SYSTEM,
            "the score is not a finite number: the sum of its leaves is too large",
        ));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums that differ in their last digit have equal probabilities; which of them names the label depends.
    #[test]
    fn the_label_is_that_of_the_largest_probability_offline_and_of_the_largest_sum_in_java() {
        let leaves = Leaves {
            width: 1,
            weights: vec![0.2, 0.2_f64.next_up(), 0.1],
        };
        for (java, label) in [(false, "a"), (true, "b")] {
            let scoring = Scoring::Classes {
                init: vec![0.0; 3],
                classes: ["a", "b", "c"].map(Into::into).to_vec(),
                java,
            };
            let score = scoring.score(&leaves, &[0, 1, 2]).unwrap();
            assert_eq!(score.scores()[0], score.scores()[1]);
            assert_eq!(score.label(), Some(label));
        }
    }
}
