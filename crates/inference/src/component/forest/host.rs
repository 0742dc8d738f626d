//! The host's part: every own node decided, or the leaf of every own tree.

use fate_domain::fault::Fault;

use super::{
    Node, Trees, Value,
    compact::{self, Numbering},
    goes_left,
    ranks::Ranks,
};
use crate::{CompactForm, Partial, Row, component::HostModel, partial::Share, symbols::Column};

#[derive(Debug)]
pub(super) struct ForestHost {
    trees: Trees,
    /// Own nodes in order of tree and node: what a reply decides.
    own: Vec<u32>,
    /// The text before each decision of a reply; one more for the end.
    texts: Vec<Box<str>>,
    numbering: Numbering,
    mix: bool,
    pub(super) quick: Option<Quick>,
}

/// A party's decisions by feature: a value sends those nodes left whose thresholds are not below it, and these lie
/// behind one another when nodes are sorted by threshold.
#[derive(Debug)]
pub(super) struct Quick {
    ranks: Ranks,
    features: Vec<FeatureNodes>,
    nodes: usize,
}

/// The nodes that decide on one feature, each as its place among all decisions.
#[derive(Debug, Default)]
struct FeatureNodes {
    /// By threshold.
    sorted: Vec<u32>,
    /// Where the nodes of each threshold begin in `sorted`; one more for the end.
    starts: Vec<u32>,
    /// Those that send a missing value left.
    missing_left: Vec<u32>,
}

impl ForestHost {
    pub(super) fn new(trees: Trees, mix: bool) -> Self {
        let own: Vec<u32> = (0..trees.nodes.len() as u32)
            .filter(|position| matches!(trees.node(*position), Node::Own { .. }))
            .collect();
        let texts = texts_between_decisions(&trees);
        let numbering = if mix {
            Numbering::of_trees(&trees, own_trees(&trees).collect())
        } else {
            Numbering::of_nodes(&trees, &own)
        };
        let quick = Quick::new(&trees);
        ForestHost {
            trees,
            own,
            texts,
            numbering,
            mix,
            quick,
        }
    }

    pub(super) fn decisions(&self, row: &Row<'_>) -> Result<Box<[u8]>, Fault> {
        let quick = self.quick.as_ref();
        if let Some(decisions) =
            quick.and_then(|quick| quick.decisions(self.trees.features.values(row)))
        {
            return Ok(decisions);
        }
        let values: Vec<Value> = self.trees.features.values(row).collect();
        let decisions: Vec<bool> = self
            .own
            .iter()
            .map(|&position| match self.trees.node(position) {
                Node::Own {
                    slot,
                    threshold,
                    missing_left,
                    ..
                } => goes_left(values[slot as usize], threshold, missing_left),
                Node::Leaf | Node::Foreign { .. } => Ok(false),
            })
            .collect::<Result<_, _>>()?;
        Ok(compact::pack(decisions.into_iter()))
    }

    fn leaves(&self, row: &Row<'_>) -> Result<Vec<(u32, u32)>, Fault> {
        let values: Vec<Value> = self.trees.features.values(row).collect();
        let mut leaves = Vec::new();
        for tree in own_trees(&self.trees) {
            let root = self.trees.root(tree as usize);
            let mut position = root;
            while let Node::Own {
                slot,
                threshold,
                missing_left,
                left,
                right,
            } = self.trees.node(position)
            {
                position = if goes_left(values[slot as usize], threshold, missing_left)? {
                    left
                } else {
                    right
                };
            }
            leaves.push((tree, position - root));
        }
        Ok(leaves)
    }
}

impl Quick {
    fn new(trees: &Trees) -> Option<Self> {
        let ranks = Ranks::new(trees)?;
        let mut by_threshold = vec![Vec::new(); trees.features.columns.len()];
        let mut features = Vec::new();
        features.resize_with(by_threshold.len(), FeatureNodes::default);
        let mut nodes: u32 = 0;
        for node in &trees.nodes {
            let Node::Own {
                slot,
                threshold,
                missing_left,
                ..
            } = *node
            else {
                continue;
            };
            let feature = slot as usize;
            let place = nodes;
            nodes += 1;
            if missing_left {
                features.get_mut(feature)?.missing_left.push(place);
            }
            // Nothing is on the left of a threshold that is no number.
            if !threshold.is_nan() {
                let place = (ranks.below(feature, threshold), place);
                by_threshold.get_mut(feature)?.push(place);
            }
        }
        for (feature, (nodes, sorted)) in features.iter_mut().zip(by_threshold).enumerate() {
            nodes.sort(sorted, ranks.count(feature));
        }
        Some(Quick {
            ranks,
            features,
            nodes: nodes as usize,
        })
    }

    /// None for a row with a value that is no number.
    fn decisions(&self, values: impl Iterator<Item = Value>) -> Option<Box<[u8]>> {
        // A byte for each decision first: storing it asks nothing about its neighbours.
        let mut decisions = vec![[0_u8; 8]; self.nodes.div_ceil(8)];
        let places = decisions.as_flattened_mut();
        for (feature, value) in values.enumerate() {
            let nodes = self.features.get(feature)?;
            let left = match value {
                Value::Number(number) => nodes.not_below(self.ranks.below(feature, number)),
                Value::Missing => &nodes.missing_left,
                Value::Bad => return None,
            };
            for place in left {
                places[*place as usize] = 1;
            }
        }
        Some(decisions.into_iter().map(packed).collect())
    }
}

/// One bit for each of eight bytes that are 0 or 1, the first one least significant: the product's highest byte has a
/// copy of byte `i` at bit `i`, and no two copies meet.
fn packed(bytes: [u8; 8]) -> u8 {
    (u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

impl FeatureNodes {
    /// `nodes` are thresholds, as their numbers in ascending order, and places.
    fn sort(&mut self, mut nodes: Vec<(usize, u32)>, thresholds: usize) {
        nodes.sort_unstable();
        let start = |threshold: usize| nodes.partition_point(|(of, _)| *of < threshold) as u32;
        self.starts = (0..=thresholds).map(start).collect();
        self.sorted = nodes.into_iter().map(|(_, place)| place).collect();
    }

    fn not_below(&self, threshold: usize) -> &[u32] {
        let start = self.starts.get(threshold).copied().unwrap_or(u32::MAX);
        self.sorted.get(start as usize..).unwrap_or_default()
    }
}

/// In mix mode: the trees that are not empty.
fn own_trees(trees: &Trees) -> impl Iterator<Item = u32> {
    let is_own = |tree: &u32| trees.root(*tree as usize) < trees.root(*tree as usize + 1);
    (0..trees.len() as u32).filter(is_own)
}

/// `{"0":{"1":`, `},"1":{"0":`, …: a tree without own nodes still appears, as `{}` (contract 02 A11).
fn texts_between_decisions(trees: &Trees) -> Vec<Box<str>> {
    let mut texts = Vec::new();
    let mut text = String::from("{");
    for tree in 0..trees.len() {
        if tree > 0 {
            text.push(',');
        }
        text.push_str(&format!("\"{tree}\":{{"));
        let mut first = true;
        for position in trees.root(tree)..trees.root(tree + 1) {
            if matches!(trees.node(position), Node::Own { .. }) {
                let comma = if first { "" } else { "," };
                first = false;
                text.push_str(&format!("{comma}\"{}\":", position - trees.root(tree)));
                texts.push(std::mem::take(&mut text).into());
            }
        }
        text.push('}');
    }
    text.push('}');
    texts.push(text.into());
    texts
}

impl HostModel for ForestHost {
    fn partial(&self, row: &Row<'_>) -> Result<Partial, Fault> {
        let share = if self.mix {
            Share::Leaves(self.leaves(row)?)
        } else {
            Share::Bits(self.decisions(row)?)
        };
        Ok(Partial(share))
    }

    fn columns(&self) -> Vec<Column> {
        self.trees.features.columns.clone()
    }

    fn write_partial(&self, partial: &Partial, out: &mut Vec<u8>) {
        match &partial.0 {
            Share::Bits(bits) => {
                for (text, index) in self.texts.iter().zip(0..self.own.len() as u32) {
                    let left = compact::bit(bits, index);
                    out.extend_from_slice(text.as_bytes());
                    out.extend_from_slice(if left { b"true" } else { b"false" });
                }
                out.extend_from_slice(
                    self.texts
                        .last()
                        .map_or(b"".as_slice(), |text| text.as_bytes()),
                );
            }
            Share::Leaves(leaves) => write_leaves(leaves, out),
            _ => out.extend_from_slice(b"{}"),
        }
    }

    fn compact_form(&self) -> Option<CompactForm> {
        Some(self.numbering.form())
    }

    fn write_compact(&self, partial: &Partial, out: &mut Vec<u8>) {
        compact::write(&partial.0, out);
    }
}

fn write_leaves(leaves: &[(u32, u32)], out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (tree, leaf)) in leaves.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{tree}\":{leaf}").as_bytes());
    }
    out.push(b'}');
}
