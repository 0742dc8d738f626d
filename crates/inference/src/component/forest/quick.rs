//! The ways down the trees for rows without odd values: words of decisions where trees are shallow and the processor
//! places bits, ranks else. Both decide as [`Trees`] do, node by node.

use super::{
    Node, Trees, Value,
    bits::Bits,
    compact::HostNumberings,
    guest::Walk,
    kernel::{self, Kernel},
    ranks::{Rank, Ranks},
    simd::Level,
    words::Words,
};
use crate::{
    Partial,
    partial::{Share, Turn},
};

#[derive(Debug)]
pub(super) enum Quick {
    Words(Words),
    Ranks(Ranked),
}

#[derive(Debug)]
pub(super) struct Ranked {
    ranks: Ranks,
    kernel: Kernel,
}

impl Quick {
    /// The best that the processor and the trees allow.
    pub(super) fn new(
        trees: &Trees,
        numberings: &HostNumberings,
        owned_by_host: &[Option<u32>],
    ) -> Option<Self> {
        Self::at_level(trees, numberings, owned_by_host, Level::best())
            .or_else(|| Self::at_level(trees, numberings, owned_by_host, Level::PLAIN))
    }

    /// With the instructions of just this level: words, or ranks on the plain one.
    pub(super) fn at_level(
        trees: &Trees,
        numberings: &HostNumberings,
        owned_by_host: &[Option<u32>],
        level: Level,
    ) -> Option<Self> {
        let is_walked = |tree: usize| owned_by_host.get(tree).is_some_and(Option::is_none);
        if level.places_bits() {
            return Words::new(trees, numberings, is_walked, level).map(Quick::Words);
        }
        let ranks = Ranks::new(trees)?;
        let kernel = Kernel::new(trees, &ranks, numberings.positions(), is_walked)?;
        Some(Quick::Ranks(Ranked { ranks, kernel }))
    }

    /// The guest's own part; none for a value that is no number.
    pub(super) fn own_part(&self, values: impl Iterator<Item = Value>) -> Option<Walk> {
        match self {
            Quick::Words(words) => words.own(values).map(Walk::Decided),
            Quick::Ranks(ranked) => ranked.own_ranks(values).map(Walk::Ranked),
        }
    }

    /// The leaf of every tree that is walked; none when a host has not decided all its nodes, or the own part is none of
    /// [`Quick::own_part`].
    pub(super) fn leaves(
        &self,
        walk: &Walk,
        positions: &[Vec<u32>],
        partials: &[&Partial],
    ) -> Option<Vec<u32>> {
        match (self, walk) {
            (Quick::Words(words), Walk::Decided(own)) => {
                words_leaves(words, own, positions, partials)
            }
            (Quick::Ranks(ranked), Walk::Ranked(own)) => {
                let row = ranked.row(own, positions, partials)?;
                let mut reached = Vec::new();
                ranked.kernel.walk(&row, &mut reached);
                Some(reached)
            }
            _ => None,
        }
    }

    /// Whether an own node sends the row left.
    pub(super) fn own_turn(&self, trees: &Trees, walk: &Walk, position: u32) -> Option<bool> {
        let Node::Own {
            slot,
            threshold,
            missing_left,
            ..
        } = trees.node(position)
        else {
            return None;
        };
        match (self, walk) {
            (Quick::Words(words), Walk::Decided(own)) => {
                let tree = trees.tree_of(position);
                let before = trees.root(tree) as usize..position as usize;
                let before = trees.nodes.get(before)?.iter();
                let before = before
                    .filter(|node| matches!(node, Node::Own { .. }))
                    .count();
                let place = words.own_span(tree).start + u32::try_from(before).ok()?;
                Some(own.get(place))
            }
            (Quick::Ranks(ranked), Walk::Ranked(row)) => {
                let test = ranked.ranks.test(slot, threshold, missing_left);
                row.get(test.slot as usize).map(|rank| *rank <= test.rank)
            }
            _ => None,
        }
    }
}

/// Hosts beyond these have their decisions in a list of their own.
const FEW_HOSTS: usize = 4;

fn words_leaves(
    words: &Words,
    own: &Bits,
    positions: &[Vec<u32>],
    partials: &[&Partial],
) -> Option<Vec<u32>> {
    // Java's form, in bits.
    let packed: Vec<Option<Bits>> = match partials.iter().any(|part| is_route(part)) {
        true => (positions.iter().zip(partials))
            .map(|(positions, part)| packed_route(positions, part))
            .collect::<Option<_>>()?,
        false => Vec::new(),
    };
    let of_host = |host: usize| match (packed.get(host), &partials.get(host)?.0) {
        (Some(Some(bits)), _) => Some(bits),
        (_, Share::Bits(bits)) => Some(bits),
        _ => None,
    };
    let hosts = positions.len();
    if hosts < FEW_HOSTS {
        let mut parties = [own; FEW_HOSTS];
        for (host, slot) in (0..hosts).zip(&mut parties[1..]) {
            *slot = of_host(host)?;
        }
        return words.walk(&parties[..=hosts]);
    }
    let mut parties = vec![own];
    for host in 0..hosts {
        parties.push(of_host(host)?);
    }
    words.walk(&parties)
}

fn is_route(partial: &Partial) -> bool {
    matches!(partial.0, Share::Route(_))
}

/// A host's decisions in the order of its nodes; the inner one is none when they are packed already, the outer one when
/// some are missing.
fn packed_route(positions: &[u32], partial: &Partial) -> Option<Option<Bits>> {
    let Share::Route(route) = &partial.0 else {
        return Some(None);
    };
    let turn = |position: &u32| match route.get(*position as usize)? {
        Turn::Left => Some(true),
        Turn::Right => Some(false),
        Turn::Unknown => None,
    };
    let turns: Vec<bool> = positions.iter().map(turn).collect::<Option<_>>()?;
    Some(Some(Bits::of(turns.into_iter())))
}

impl Ranked {
    /// The own part of the kernel's row; none for a value that is no number.
    fn own_ranks(&self, values: impl Iterator<Item = Value>) -> Option<Box<[Rank]>> {
        let mut row = Vec::with_capacity(self.ranks.slots() + 1);
        self.ranks.write(values, &mut row).then(|| {
            row.push(0);
            row.into()
        })
    }

    /// The kernel's row; none when a host has not decided all its nodes.
    fn row(
        &self,
        own: &[Rank],
        positions: &[Vec<u32>],
        partials: &[&Partial],
    ) -> Option<Vec<Rank>> {
        let mut row = Vec::with_capacity(self.kernel.slots() + 64);
        row.extend_from_slice(own);
        for (host, positions) in positions.iter().enumerate() {
            match &partials.get(host)?.0 {
                Share::Bits(bits) => kernel::expand(bits, positions.len(), &mut row),
                Share::Route(route) => {
                    for position in positions {
                        row.push(match route.get(*position as usize)? {
                            Turn::Left => 0,
                            Turn::Right => 1,
                            Turn::Unknown => return None,
                        });
                    }
                }
                _ => return None,
            }
        }
        (row.len() == self.kernel.slots()).then_some(row)
    }
}
