//! The quickest way down: a tree of up to six levels as one word of decisions.
//!
//! Counted level by level from 1, as if the tree were complete, node `n` has the children `2 n` and `2 n + 1`; bit `n` of
//! the tree's word tells whether `n` goes left. Every party's decisions lie behind one another in its own numbering, and
//! what falls on one tree is put in the places of its nodes by one instruction per party and tree. The rest is shifts:
//! no memory is looked at on the way to the leaf.

use super::{
    Node, Trees, Value, bits::Bits, compact::HostNumberings, decisions::Decisions, simd::Level,
};

/// Trees whose words are made before they are walked.
pub(super) const BLOCK: usize = 64;

/// Levels of decisions that fit a word.
const DEPTH: u32 = 6;

/// A party's nodes in one tree.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    /// Their places in the complete tree.
    pub(super) mask: u64,
    /// The first one's place among the party's decisions; 0 when there is none.
    pub(super) start: u32,
}

#[derive(Debug)]
pub(super) struct Words {
    decisions: Decisions,
    /// By party, the own one first, and tree.
    spans: Vec<Box<[Span]>>,
    /// How many words each party's decisions take.
    lengths: Vec<usize>,
    /// Decisions of the longest way.
    depth: u32,
    /// By tree and leaf of a complete tree of that depth: where the leaf is, counted from the tree's root.
    leaves: Vec<u8>,
    roots: Box<[u32]>,
    level: Level,
}

/// One tree on its way into a complete one.
struct Layout {
    /// Place in the complete tree of each node; 0 for one that was not reached.
    places: Vec<u8>,
    /// Leaves as their place in the complete tree and their level.
    leaves: Vec<(u32, u32, u8)>,
    inner: u32,
}

impl Words {
    /// None where a tree is deeper than a word, where nodes are counted in another order than level by level or nobody is
    /// named for them, and where the processor cannot place bits. Of trees that `is_walked` leaves out any leaf is reached.
    pub(super) fn new(
        trees: &Trees,
        numberings: &HostNumberings,
        is_walked: impl Fn(usize) -> bool,
        level: Level,
    ) -> Option<Self> {
        if !level.places_bits() {
            return None;
        }
        let layouts: Vec<Option<Layout>> = (0..trees.len())
            .map(|tree| match is_walked(tree) {
                true => Layout::of(trees, tree).map(Some),
                false => Some(None),
            })
            .collect::<Option<_>>()?;
        let own = (0..).zip(&trees.nodes);
        let own: Vec<u32> = own
            .filter(|(_, node)| matches!(node, Node::Own { .. }))
            .map(|(position, _)| position)
            .collect();
        let mut parties = vec![own.as_slice()];
        parties.extend(numberings.positions().iter().map(Vec::as_slice));
        let spans: Vec<Box<[Span]>> = parties
            .iter()
            .map(|positions| spans(trees, &layouts, positions))
            .collect::<Option<_>>()?;
        // Every node is somebody's.
        for (tree, layout) in layouts.iter().enumerate() {
            let decided: u32 = spans
                .iter()
                .map(|spans| spans[tree].mask.count_ones())
                .sum();
            if layout
                .as_ref()
                .is_some_and(|layout| layout.inner != decided)
            {
                return None;
            }
        }
        let levels = layouts.iter().flatten().flat_map(|layout| &layout.leaves);
        let depth = levels.map(|(_, level, _)| *level).max().unwrap_or(0);
        Some(Words {
            decisions: Decisions::new(trees, level)?,
            spans,
            lengths: parties
                .iter()
                .map(|nodes| Bits::words_for(nodes.len()))
                .collect(),
            depth,
            leaves: leaves(&layouts, depth),
            roots: (0..trees.len()).map(|tree| trees.root(tree)).collect(),
            level,
        })
    }

    /// The own party's decisions; none for a row with a value that is no number.
    pub(super) fn own(&self, values: impl Iterator<Item = Value>) -> Option<Bits> {
        self.decisions.of(values)
    }

    /// The own party's nodes in a tree.
    pub(super) fn own_span(&self, tree: usize) -> Span {
        self.spans[0][tree]
    }

    /// The leaf of each tree, by position; none for other decisions than those of all parties, the own one first.
    pub(super) fn walk(&self, parties: &[&Bits]) -> Option<Vec<u32>> {
        let lengths = parties.iter().map(|bits| bits.words().len());
        if !lengths.eq(self.lengths.iter().copied()) {
            return None;
        }
        let mut reached = Vec::with_capacity(self.roots.len());
        for (block, roots) in self.roots.chunks(BLOCK).enumerate() {
            let first = block * BLOCK;
            let mut words = [0; BLOCK];
            for (bits, spans) in parties.iter().zip(&self.spans) {
                let spans = &spans[first..first + roots.len()];
                self.level.words(&mut words, spans, bits.words());
            }
            self.level
                .leaves(&mut words[..roots.len().next_multiple_of(8)], self.depth);
            let leaves = &self.leaves[first << self.depth..(first + roots.len()) << self.depth];
            let trees = (0..).zip(&words);
            let of_tree = |(root, (tree, word)): (&u32, (usize, &u64))| {
                let place = (tree << self.depth) + (*word as usize & ((1 << self.depth) - 1));
                root + u32::from(leaves[place])
            };
            reached.extend(roots.iter().zip(trees).map(of_tree));
        }
        Some(reached)
    }
}

impl Layout {
    /// Children lie behind their parents, so this ends; a node with two parents is told by being there already.
    fn of(trees: &Trees, tree: usize) -> Option<Self> {
        let root = trees.root(tree);
        let size = trees
            .root(tree + 1)
            .checked_sub(root)
            .filter(|size| *size > 0)?;
        let mut layout = Layout {
            places: vec![0; size as usize],
            leaves: Vec::new(),
            inner: 0,
        };
        let mut open = vec![(root, 1_u32, 0)];
        while let Some((position, place, level)) = open.pop() {
            let known = layout.places.get_mut((position - root) as usize)?;
            match trees.node(position) {
                Node::Leaf => {
                    let offset = u8::try_from(position - root).ok()?;
                    layout.leaves.push((place, level, offset));
                }
                Node::Own { left, right, .. } | Node::Foreign { left, right, .. } => {
                    if level == DEPTH || *known != 0 {
                        return None;
                    }
                    *known = u8::try_from(place).ok()?;
                    layout.inner += 1;
                    open.push((left, 2 * place, level + 1));
                    open.push((right, 2 * place + 1, level + 1));
                }
            }
        }
        Some(layout)
    }
}

/// A party's nodes tree by tree; none where they are not counted in the order of their places.
fn spans(trees: &Trees, layouts: &[Option<Layout>], positions: &[u32]) -> Option<Box<[Span]>> {
    let mut spans = vec![Span::default(); layouts.len()];
    let mut tree = 0;
    for (number, position) in (0..).zip(positions) {
        while trees.root(tree + 1) <= *position {
            tree += 1;
        }
        let layout = layouts.get(tree)?.as_ref()?;
        let place = *layout.places.get((position - trees.root(tree)) as usize)?;
        let span = spans.get_mut(tree)?;
        // Also refuses nodes that no way leads to, whose place is 0.
        if span.mask >> place != 0 || place == 0 {
            return None;
        }
        if span.mask == 0 {
            span.start = number;
        }
        span.mask |= 1 << place;
    }
    Some(spans.into())
}

/// Where there is no node no bit is set, which is right: from a leaf on right is gone to the end.
fn leaves(layouts: &[Option<Layout>], depth: u32) -> Vec<u8> {
    let mut leaves = vec![0; layouts.len() << depth];
    for (layout, leaves) in layouts.iter().zip(leaves.chunks_exact_mut(1 << depth)) {
        let of_tree = layout.iter().flat_map(|layout| &layout.leaves);
        for &(place, level, offset) in of_tree {
            let end = ((place + 1) << (depth - level)) - 1;
            leaves[end as usize & (leaves.len() - 1)] = offset;
        }
    }
    leaves
}

/// Turns every tree's word into the place of the leaf that it leads to, in a complete tree of this depth. Eight trees at a
/// time, in vectors; a number of trees that is none of eights leaves the rest as it is.
#[inline(always)]
pub(super) fn descend(words: &mut [u64], depth: u32) {
    for group in words.as_chunks_mut::<8>().0 {
        let rights = group.map(|word| !word);
        let mut places = [1_u64; 8];
        for _ in 0..depth {
            for (place, rights) in places.iter_mut().zip(rights) {
                *place = *place << 1 | (rights >> (*place & 63) & 1);
            }
        }
        *group = places;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_lead_left() {
        let mut words = [0, 0b10, 0b110, 0b100_0000, u64::MAX, 0, 0, 0];
        descend(&mut words, 2);
        assert_eq!(words[..5], [7, 0b101, 0b100, 7, 4]);
        let mut one = [0b10; 8];
        descend(&mut one, 0);
        assert_eq!(one, [1; 8]);
    }
}
