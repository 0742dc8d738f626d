//! The host's part: every own node decided, or the leaf of every own tree.

use fate_domain::fault::Fault;

use super::{
    Node, Trees, Value, bits::Bits, compact::Numbering, decisions::Decisions, goes_left,
    simd::Level,
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
    pub(super) quick: Option<Decisions>,
}

impl ForestHost {
    pub(super) fn new(trees: Trees, mix: bool, level: Level) -> Self {
        let own: Vec<u32> = (0..trees.nodes.len() as u32)
            .filter(|position| matches!(trees.node(*position), Node::Own { .. }))
            .collect();
        let texts = texts_between_decisions(&trees);
        let numbering = if mix {
            Numbering::of_trees(&trees, own_trees(&trees).collect())
        } else {
            Numbering::of_nodes(&trees, &own)
        };
        let quick = if mix {
            None
        } else {
            Decisions::new(&trees, level)
        };
        ForestHost {
            trees,
            own,
            texts,
            numbering,
            mix,
            quick,
        }
    }

    pub(super) fn decisions(&self, row: &Row<'_>) -> Result<Bits, Fault> {
        let quick = self.quick.as_ref();
        if let Some(bits) = quick.and_then(|quick| quick.of(self.trees.features.values(row))) {
            return Ok(bits);
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
        Ok(Bits::of(decisions.into_iter()))
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
                    let left = bits.get(index);
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
        self.numbering.write(&partial.0, out);
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
