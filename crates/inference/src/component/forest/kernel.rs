//! The quick way down the trees: nodes of eight bytes, no branches, several trees at a time.
//!
//! A row is one list of ranks: the own features', then a zero, then for every host 0 for each of its nodes that goes left
//! and 1 for each that goes right. So every node, whoever decides it, compares one rank of the row with its own, and a
//! leaf is a node that leads to itself. Trees that cannot be laid out like that are walked node by node.

use super::{
    Node, Trees,
    bits::Bits,
    ranks::{Rank, Ranks, Test},
};

/// Trees walked at the same time, so that one's memory is waited for while the others go on.
const LANES: usize = 8;

/// A node. The right child lies behind the left one.
#[derive(Debug, Clone, Copy)]
struct Step {
    slot: u32,
    rank: Rank,
    /// Of the left child, counted from the tree's root.
    left: u16,
}

#[derive(Debug)]
pub(super) struct Kernel {
    steps: Vec<Step>,
    /// Tree by tree: its root, and the steps to its deepest leaf.
    trees: Vec<(u32, u32)>,
    slots: usize,
}

impl Kernel {
    /// `positions` are each host's nodes in the order of its decisions. None for trees that do not fit the layout: a node
    /// nobody is named for, children apart from each other, a tree that is empty or very large. Of trees that `is_walked` leaves out only
    /// the root is reached.
    pub(super) fn new(
        trees: &Trees,
        ranks: &Ranks,
        positions: &[Vec<u32>],
        is_walked: impl Fn(usize) -> bool,
    ) -> Option<Self> {
        let zero = u32::try_from(ranks.slots()).ok()?;
        let mut foreign_slots = vec![u32::MAX; trees.nodes.len()];
        let mut slots = zero + 1;
        for position in positions.iter().flatten() {
            *foreign_slots.get_mut(*position as usize)? = slots;
            slots = slots.checked_add(1)?;
        }
        let mut steps = Vec::with_capacity(trees.nodes.len());
        let mut spans = Vec::with_capacity(trees.len());
        for tree in 0..trees.len() {
            let root = trees.root(tree);
            if root == trees.root(tree + 1) {
                return None;
            }
            let mut depths = vec![0; (trees.root(tree + 1) - root) as usize];
            for position in root..trees.root(tree + 1) {
                let own_offset = position - root;
                let stay = Step {
                    slot: zero,
                    rank: 0,
                    left: u16::try_from(own_offset).ok()?,
                };
                if !is_walked(tree) {
                    steps.push(stay);
                    continue;
                }
                let (test, left, right) = match trees.node(position) {
                    Node::Leaf => {
                        steps.push(stay);
                        continue;
                    }
                    Node::Own {
                        slot,
                        threshold,
                        missing_left,
                        left,
                        right,
                    } => (ranks.test(slot, threshold, missing_left), left, right),
                    Node::Foreign { left, right, .. } => {
                        let slot = foreign_slots[position as usize];
                        (Test { slot, rank: 0 }, left, right)
                    }
                };
                if test.slot >= slots || left.checked_add(1) != Some(right) {
                    return None;
                }
                let depth = depths[own_offset as usize] + 1;
                for child in [left, right] {
                    let known = &mut depths[(child - root) as usize];
                    *known = depth.max(*known);
                }
                steps.push(Step {
                    slot: test.slot,
                    rank: test.rank,
                    left: u16::try_from(left - root).ok()?,
                });
            }
            spans.push((root, depths.into_iter().max().unwrap_or(0)));
        }
        Some(Kernel {
            steps,
            trees: spans,
            slots: slots as usize,
        })
    }

    /// How long a row is that [`Kernel::walk`] takes.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Appends the leaf of each tree, by position.
    pub(super) fn walk(&self, row: &[Rank], reached: &mut Vec<u32>) {
        let (groups, rest) = self.trees.as_chunks::<LANES>();
        groups
            .iter()
            .for_each(|group| reached.extend(self.walk_group(group, row)));
        rest.iter()
            .for_each(|tree| reached.extend(self.walk_group(&[*tree], row)));
    }

    fn walk_group<const N: usize>(&self, group: &[(u32, u32); N], row: &[Rank]) -> [u32; N] {
        let roots = group.map(|(root, _)| root);
        let depth = group.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
        let mut at = roots;
        for _ in 0..depth {
            for (at, root) in at.iter_mut().zip(roots) {
                let step = self.steps[*at as usize];
                let goes_right = row[step.slot as usize] > step.rank;
                *at = root + u32::from(step.left) + u32::from(goes_right);
            }
        }
        at
    }
}

/// Appends what a host's packed decisions are in a row: 0 for left, 1 for right.
pub(super) fn expand(bits: &Bits, nodes: usize, row: &mut Vec<Rank>) {
    let end = row.len() + nodes;
    for byte in bits.words().iter().flat_map(|word| word.to_le_bytes()) {
        row.extend_from_slice(&RANKS_OF_BITS[usize::from(byte)]);
    }
    row.resize(end, 1);
}

const RANKS_OF_BITS: [[Rank; 8]; 256] = {
    let mut ranks = [[1; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut bit = 0;
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                ranks[byte][bit] = 0;
            }
            bit += 1;
        }
        byte += 1;
    }
    ranks
};
