//! From the boosting-tree buffers to [`Trees`], checked so that a walk can neither leave the list nor circle.

use std::collections::HashMap;

use fate_domain::party::Role;
use fate_proto::buffer::{
    BoostingTreeModelMeta, BoostingTreeModelParam, DecisionTreeModelParam, NodeParam,
};

use super::{
    FLOAT_ZERO, Features, Node, Owner, Trees, ValueRule,
    compact::HostNumberings,
    float_zero,
    guest::ForestGuest,
    host::ForestHost,
    owner,
    quick::Quick,
    score::{Leaves, Scoring},
    simd::Level,
};
use crate::{
    Refusal,
    component::{Context, Part, Source},
    dsl::FateVersion,
    symbols::Column,
};

/// More nodes than any model of ours has; keeps positions in 32 bits and memory bounded.
const MAX_NODES: usize = 1 << 28;

pub(crate) fn build_guest(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let model = Model::read(source, context)?;
    let mut builder = Builder::new(source, context, &model);
    let mut local_trees = Vec::with_capacity(model.trees().len());
    for (index, tree) in model.trees().iter().enumerate() {
        let local = match model.plan_of(index) {
            TreePlan::Host(party_id) => {
                builder.add_leaves(index, tree)?;
                Some(builder.host_index(&party_id, index)?)
            }
            TreePlan::Shared => {
                builder.add(index, tree)?;
                None
            }
        };
        local_trees.push(local);
    }
    let trees = builder.finish();
    let scoring = Scoring::new(source, context, &model.meta, &model.param)?;
    let leaves = Leaves::new(source, &model.meta, model.trees(), &trees, scoring.width())?;
    let kind = format!(
        "SecureBoost {}, {}{} trees",
        scoring.kind(),
        model.strategy_name(),
        trees.len()
    );
    let hosts = context.site.hosts.len();
    let numberings = if model.is_mix() {
        HostNumberings::of_trees(&trees, &local_trees, hosts)
    } else {
        HostNumberings::of_nodes(&trees, hosts)
    };
    let quick = Quick::new(&trees, &numberings, &local_trees);
    Ok(Part::guest(
        ForestGuest {
            component: source.name.into(),
            trees,
            leaves,
            scoring,
            owned_by_host: local_trees,
            hosts,
            numberings,
            quick,
        },
        kind,
    ))
}

pub(crate) fn build_host(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let model = Model::read(source, context)?;
    let mix = model.is_mix();
    let mut builder = Builder::new(source, context, &model);
    for (index, tree) in model.trees().iter().enumerate() {
        if mix {
            builder.add_whole(index, tree, MIX)?;
        } else {
            builder.add(index, tree)?;
        }
    }
    let trees = builder.finish();
    let own = trees
        .nodes
        .iter()
        .filter(|node| matches!(node, Node::Own { .. }))
        .count();
    let kind = format!(
        "SecureBoost {}{} trees, {own} nodes decided here",
        model.strategy_name(),
        trees.len()
    );
    Ok(Part::host(ForestHost::new(trees, mix, Level::best()), kind))
}

/// How the nodes of a tree that one party has whole decide: the split stands in the node itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct WholeTrees {
    /// What a split is raised by before values are compared.
    pub(super) slack: f64,
    pub(super) missing_left: fn(i32) -> bool,
}

/// Mix mode's host trees compare without slack.
const MIX: WholeTrees = WholeTrees {
    slack: 0.0,
    missing_left: |direction| direction != 1,
};

/// The decoded buffers.
pub(super) struct Model {
    pub(super) meta: BoostingTreeModelMeta,
    pub(super) param: BoostingTreeModelParam,
    java: bool,
    /// The nodes belong to several parties.
    is_federated: bool,
}

/// Who walks a tree.
enum TreePlan {
    /// All parties, node by node.
    Shared,
    /// One host alone (mix mode).
    Host(String),
}

impl Model {
    pub(super) fn read(source: &Source<'_>, context: &mut Context<'_>) -> Result<Self, Refusal> {
        let meta: BoostingTreeModelMeta = source.meta()?;
        let param: BoostingTreeModelParam = source.param()?;
        let model = Model {
            meta,
            param,
            java: context.java(),
            is_federated: !source.class.starts_with("Homo"),
        };
        let trees = usize::try_from(model.param.tree_num).unwrap_or(0);
        let cuts_trees = !context.java() && trees != model.param.trees.len();
        if trees == 0 || trees > model.param.trees.len() || cuts_trees {
            return Err(source.refuse(format!(
                "tree_num is {} and there are {} trees",
                model.param.tree_num,
                model.param.trees.len()
            )));
        }
        let rate = model.meta.learning_rate;
        if context.role() == Role::Guest && !context.java() && !(rate.is_finite() && rate > 0.0) {
            return Err(source.refuse(format!("its learning rate is {rate}")));
        }
        if model.is_mix_model() {
            context.differs("FATE-Serving 2.1.7 fails every request of a mix-mode model");
            if context.java() {
                return Err(source.refuse("FATE-Serving 2.1.7 fails every request of a mix-mode model; load it with semantics fate"));
            }
        }
        if model.zero_as_missing() {
            context.differs("FATE-Serving 2.1.7 ignores zero_as_missing");
        }
        Ok(model)
    }

    pub(super) fn trees(&self) -> &[DecisionTreeModelParam] {
        let trees = usize::try_from(self.param.tree_num)
            .unwrap_or(0)
            .min(self.param.trees.len());
        &self.param.trees[..trees]
    }

    /// Releases before 1.8 say so in `work_mode` or only in the tree plan.
    fn is_mix_model(&self) -> bool {
        self.meta.boosting_strategy == "mix"
            || (self.meta.boosting_strategy.is_empty()
                && (self.meta.work_mode == "mix"
                    || self
                        .param
                        .tree_plan
                        .iter()
                        .any(|plan| plan.starts_with("1_"))))
    }

    fn is_mix(&self) -> bool {
        !self.java && self.is_mix_model()
    }

    /// An entry of the plan is `"<type>_<host id>"`; type 1 is a tree of that host alone (tree_plan.py). There is one for
    /// each round, which has a tree for each class (`load_booster`).
    fn plan_of(&self, tree: usize) -> TreePlan {
        let trees_of_round = usize::try_from(self.param.tree_dim).unwrap_or(1).max(1);
        match self
            .param
            .tree_plan
            .get(tree / trees_of_round)
            .and_then(|plan| plan.strip_prefix("1_"))
        {
            Some(host) if self.is_mix() => TreePlan::Host(host.to_owned()),
            _ => TreePlan::Shared,
        }
    }

    fn strategy_name(&self) -> &'static str {
        match self.meta.boosting_strategy.as_str() {
            _ if self.is_mix_model() => "mix, ",
            "layered" => "layered, ",
            _ => "",
        }
    }

    fn use_missing(&self) -> bool {
        let tree = self.meta.tree_meta.as_ref();
        self.meta.use_missing || tree.is_some_and(|tree| tree.use_missing)
    }

    fn zero_as_missing(&self) -> bool {
        let tree = self.meta.tree_meta.as_ref();
        let zero = self.meta.zero_as_missing || tree.is_some_and(|tree| tree.zero_as_missing);
        zero && self.use_missing()
    }

    fn value_rule(&self, context: &Context<'_>) -> ValueRule {
        if self.java {
            return ValueRule::Java;
        }
        ValueRule::Fate {
            leaves_out_below: (!context.sparse).then(|| float_zero(context.version())),
            left_out_is_missing: self.zero_as_missing() && !self.guest_forgets_zeros(context),
        }
    }

    /// The guest of 1.5 and 1.6 does not hand `zero_as_missing` on when it walks its nodes of a common tree
    /// (hetero_secureboost_guest.py `traverse_a_tree`); hosts do.
    fn guest_forgets_zeros(&self, context: &Context<'_>) -> bool {
        let releases = FateVersion(1, 5, 0)..FateVersion(1, 7, 0);
        self.is_federated && context.role() == Role::Guest && releases.contains(&context.version())
    }

    /// Whether a missing value goes left where the node says `direction`. Java sends everything but 1 to the left, and
    /// so does FATE before 1.7, if the model was trained for missing values; later ones everything but -1 to the right.
    fn missing_goes_left(&self, direction: i32, version: FateVersion) -> bool {
        if self.java {
            direction != 1
        } else if version < FateVersion(1, 7, 0) {
            direction != 1 && self.use_missing()
        } else {
            direction == -1
        }
    }
}

pub(super) struct Builder<'a, 'c> {
    source: &'a Source<'a>,
    context: &'a mut Context<'c>,
    model: &'a Model,
    /// What a split is raised by before values are compared.
    slack: f64,
    nodes: Vec<Node>,
    starts: Vec<u32>,
    /// Features of slots.
    names: Vec<(i32, &'a str)>,
    slots: HashMap<i32, u32>,
}

impl<'a, 'c> Builder<'a, 'c> {
    pub(super) fn new(
        source: &'a Source<'a>,
        context: &'a mut Context<'c>,
        model: &'a Model,
    ) -> Self {
        let slack = slack(context);
        Builder {
            source,
            context,
            model,
            slack,
            nodes: Vec::new(),
            starts: vec![0],
            names: Vec::new(),
            slots: HashMap::new(),
        }
    }

    /// Columns are made in the order of the training table, which is that of most rows, too.
    pub(super) fn finish(self) -> Trees {
        let mut names: Vec<_> = (self.names.iter()).zip(0..).collect();
        names.sort_unstable();
        let mut columns = vec![Column::at(0); names.len()];
        for ((_, name), slot) in names {
            columns[slot] = self.context.symbols.intern(name);
        }
        Trees {
            nodes: self.nodes,
            starts: self.starts,
            features: Features {
                columns,
                rule: self.model.value_rule(self.context),
            },
        }
    }

    /// A tree that the parties walk together.
    fn add(&mut self, index: usize, tree: &DecisionTreeModelParam) -> Result<(), Refusal> {
        self.add_nodes(index, tree, |builder, position, node| {
            match owner(
                &node.sitename,
                builder.context.site.role,
                &builder.context.site.party_id,
                &builder.context.site.hosts,
                builder.model.java,
            ) {
                Owner::Own => builder.own_masked(index, tree, position, node),
                Owner::Host(host) => {
                    builder.with_children(index, tree, position, node, |left, right| {
                        Node::Foreign { host, left, right }
                    })
                }
            }
        })
    }

    /// A tree of this party alone.
    pub(super) fn add_whole(
        &mut self,
        index: usize,
        tree: &DecisionTreeModelParam,
        rule: WholeTrees,
    ) -> Result<(), Refusal> {
        self.add_nodes(index, tree, |builder, position, node| {
            if !node.bid.is_finite() {
                return Err(builder.refuse(index, format!("has the split {}", node.bid)));
            }
            let slot = builder.slot(index, node)?;
            let missing_left = (rule.missing_left)(node.missing_dir);
            builder.with_children(index, tree, position, node, |left, right| Node::Own {
                slot,
                threshold: node.bid + rule.slack,
                missing_left,
                left,
                right,
            })
        })
    }

    /// A tree of a host alone as the guest sees it: leaves, and placeholders between them.
    fn add_leaves(&mut self, index: usize, tree: &DecisionTreeModelParam) -> Result<(), Refusal> {
        self.add_nodes(index, tree, |_, _, _| {
            Ok(Node::Foreign {
                host: None,
                left: 0,
                right: 0,
            })
        })
    }

    fn add_nodes(
        &mut self,
        index: usize,
        tree: &DecisionTreeModelParam,
        inner: impl Fn(&mut Self, usize, &NodeParam) -> Result<Node, Refusal>,
    ) -> Result<(), Refusal> {
        if self.nodes.len() + tree.tree.len() > MAX_NODES {
            return Err(self.source.refuse("the model has too many tree nodes"));
        }
        if tree.tree.is_empty() && !(self.model.is_mix() && self.context.role() == Role::Host) {
            return Err(self.refuse(index, "has no nodes"));
        }
        for (position, node) in tree.tree.iter().enumerate() {
            let node = if node.is_leaf {
                Node::Leaf
            } else {
                inner(self, position, node)?
            };
            self.nodes.push(node);
        }
        self.check_shape(index, self.nodes.len() - tree.tree.len())?;
        self.starts.push(position_of(self.nodes.len()));
        Ok(())
    }

    /// Every node but the root is the child of exactly one other, so that all of them are reached, by one way each.
    fn check_shape(&self, index: usize, start: usize) -> Result<(), Refusal> {
        let nodes = self.nodes.get(start..).unwrap_or_default();
        let is_placeholder = |node: &Node| {
            matches!(
                node,
                Node::Foreign {
                    left: 0,
                    right: 0,
                    ..
                }
            )
        };
        if self.model.java || nodes.iter().any(is_placeholder) {
            return Ok(());
        }
        let mut parents = vec![0_u8; nodes.len()];
        for node in nodes {
            let (Node::Own { left, right, .. } | Node::Foreign { left, right, .. }) = node else {
                continue;
            };
            for child in [*left, *right] {
                let child = (child as usize).saturating_sub(start);
                if let Some(parents) = parents.get_mut(child) {
                    *parents = parents.saturating_add(1);
                }
            }
        }
        match parents.iter().skip(1).position(|parents| *parents != 1) {
            None => Ok(()),
            Some(position) => Err(self.refuse(
                index,
                format!(
                    "is no tree: node {} has not exactly one parent",
                    position + 1
                ),
            )),
        }
    }

    fn own_masked(
        &mut self,
        index: usize,
        tree: &DecisionTreeModelParam,
        position: usize,
        node: &NodeParam,
    ) -> Result<Node, Refusal> {
        let key = i32::try_from(position).unwrap_or(-1);
        let Some(&split) = tree.split_maskdict.get(&key) else {
            return Err(self.refuse(
                index,
                format!("has no split for node {position}, which is ours"),
            ));
        };
        let direction = tree.missing_dir_maskdict.get(&key).copied();
        // Without an entry all go right.
        let version = self.context.version();
        let missing_left =
            direction.is_some_and(|direction| self.model.missing_goes_left(direction, version));
        if !split.is_finite() && !self.model.java {
            return Err(self.refuse(index, format!("has the split {split}")));
        }
        let slot = self.slot(index, node)?;
        let threshold = split + self.slack;
        self.with_children(index, tree, position, node, |left, right| Node::Own {
            slot,
            threshold,
            missing_left,
            left,
            right,
        })
    }

    /// Children lie behind their parent in every model FATE writes; asking for it makes circles impossible.
    fn with_children(
        &self,
        index: usize,
        tree: &DecisionTreeModelParam,
        position: usize,
        node: &NodeParam,
        make: impl Fn(u32, u32) -> Node,
    ) -> Result<Node, Refusal> {
        let child = |id: i32| {
            usize::try_from(id)
                .ok()
                .filter(|child| *child > position && *child < tree.tree.len())
                .ok_or_else(|| {
                    self.refuse(
                        index,
                        format!(
                            "has node {position} with child {id} of {} nodes",
                            tree.tree.len()
                        ),
                    )
                })
        };
        let start = self.nodes.len() - position;
        Ok(make(
            position_of(start + child(node.left_nodeid)?),
            position_of(start + child(node.right_nodeid)?),
        ))
    }

    /// The slot of a node's feature among those that decisions look at.
    fn slot(&mut self, index: usize, node: &NodeParam) -> Result<u32, Refusal> {
        if let Some(&slot) = self.slots.get(&node.fid) {
            return Ok(slot);
        }
        let Some(name) = self.model.param.feature_name_fid_mapping.get(&node.fid) else {
            return Err(self.refuse(
                index,
                format!(
                    "splits on feature {}, which feature_name_fid_mapping does not name",
                    node.fid
                ),
            ));
        };
        let slot = position_of(self.names.len());
        self.names.push((node.fid, name));
        self.slots.insert(node.fid, slot);
        Ok(slot)
    }

    fn host_index(&self, party_id: &str, index: usize) -> Result<u32, Refusal> {
        self.context
            .site
            .hosts
            .iter()
            .position(|host| host == party_id)
            .map(position_of)
            .ok_or_else(|| {
                self.refuse(
                    index,
                    format!("belongs to host {party_id}, which the publish request does not name"),
                )
            })
    }

    fn refuse(&self, tree: usize, what: impl AsRef<str>) -> Refusal {
        self.source.refuse(format!("tree {tree} {}", what.as_ref()))
    }
}

/// [`MAX_NODES`] keeps positions far below 2^32.
fn position_of(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// FATE compares `v <= split` up to 1.4, with a slack at the guest since 1.5 and at every party since 1.7.
fn slack(context: &Context<'_>) -> f64 {
    let version = context.version();
    let exact = version < FateVersion(1, 5, 0)
        || (version < FateVersion(1, 7, 0) && context.role() == Role::Host);
    if exact && !context.java() {
        0.0
    } else {
        FLOAT_ZERO
    }
}
