//! The host's part: every own node decided, or the leaf of every own tree.

use fate_domain::fault::Fault;

use super::{Node, Trees, Value, goes_left};
use crate::{Partial, Row, component::HostModel, partial::Share, symbols::Column};

#[derive(Debug)]
pub(super) struct ForestHost {
    trees: Trees,
    /// Own nodes in order of tree and node: what a reply decides.
    own: Vec<u32>,
    /// The text before each decision of a reply; one more for the end.
    texts: Vec<Box<str>>,
    mix: bool,
}

impl ForestHost {
    pub(super) fn new(trees: Trees, mix: bool) -> Self {
        let own = (0..trees.nodes.len() as u32)
            .filter(|position| matches!(trees.node(*position), Node::Own { .. }))
            .collect();
        let texts = texts_between_decisions(&trees);
        ForestHost {
            trees,
            own,
            texts,
            mix,
        }
    }

    fn decisions(&self, values: &[Value]) -> Result<Vec<bool>, Fault> {
        self.own
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
            .collect()
    }

    fn leaves(&self, values: &[Value]) -> Result<Vec<(u32, u32)>, Fault> {
        let mut leaves = Vec::new();
        for tree in 0..self.trees.len() {
            let root = self.trees.root(tree);
            if root == self.trees.root(tree + 1) {
                continue;
            }
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
            leaves.push((tree as u32, position - root));
        }
        Ok(leaves)
    }
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
        let values = self.trees.features.values(row);
        let share = if self.mix {
            Share::Leaves(self.leaves(&values)?)
        } else {
            Share::Decisions(self.decisions(&values)?)
        };
        Ok(Partial(share))
    }

    fn columns(&self) -> Vec<Column> {
        self.trees.features.columns.clone()
    }

    fn write_partial(&self, partial: &Partial, out: &mut Vec<u8>) {
        match &partial.0 {
            Share::Decisions(decisions) => {
                for (text, &left) in self.texts.iter().zip(decisions) {
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
