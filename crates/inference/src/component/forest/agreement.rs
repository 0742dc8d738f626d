//! The quick ways against the plain one, on random trees and rows: values at thresholds, next to them, missing, infinite,
//! no number, and hosts that leave nodes out. Every level of instructions that the processor has is forced in turn.
//! `cargo test … agreement -- --ignored` takes ten million pairs of them.

#![allow(clippy::print_stdout, reason = "figures for RESULTS.md")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use fate_domain::fault::Fault;

use super::{
    Features, Node, Trees, ValueRule,
    bits::Bits,
    compact::HostNumberings,
    guest::{ForestGuest, Walk},
    host::ForestHost,
    quick::Quick,
    score::{Leaves, Scoring},
    simd::Level,
};
use crate::{
    Cell, Partial, Row,
    component::GuestModel,
    partial::{Local, Share, Turn},
    symbols::Column,
};

/// SplitMix64: the same trees and rows everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }
}

/// A threshold as models have it, or one that only a Java model could have.
fn threshold(dice: &mut Dice, rule: ValueRule) -> f64 {
    let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0];
    let slack = if dice.chance(50) { 1e-8 } else { 0.0 };
    match dice.below(20) {
        0 if rule == ValueRule::Java => dice.pick(&odd),
        1 => slack,
        2 => f64::MAX,
        3 => f64::from_bits(1 + dice.below(3) as u64) + slack,
        _ => (dice.below(41) as f64 - 20.0) / 8.0 + slack,
    }
}

struct Model {
    trees: Trees,
    hosts: usize,
    /// Thresholds of each feature, for values close to them.
    thresholds: Vec<Vec<f64>>,
}

impl Model {
    fn random(dice: &mut Dice) -> Self {
        let rule = dice.pick(&[
            ValueRule::Java,
            ValueRule::fate(Some(1e-8), false),
            ValueRule::fate(Some(1e-8), true),
            ValueRule::fate(None, true),
        ]);
        let features = 1 + dice.below(6);
        let hosts = dice.below(4);
        let mut model = Model {
            trees: Trees {
                nodes: Vec::new(),
                starts: vec![0],
                features: Features {
                    columns: (0..features).map(Column::at).collect(),
                    rule,
                },
            },
            hosts,
            thresholds: vec![vec![0.0]; features],
        };
        // Now and then more than a block of words.
        let trees = if dice.chance(4) { 60 } else { 1 };
        for _ in 0..trees + dice.below(20) {
            model.grow(dice);
        }
        model
    }

    /// Adds a tree: every node in turn becomes a leaf or gets two children at the end.
    fn grow(&mut self, dice: &mut Dice) {
        let root = self.trees.nodes.len();
        let size = 1 + 2 * dice.below(20);
        let mut end = root + 1;
        while self.trees.nodes.len() < end {
            if end - root >= size || (self.trees.nodes.len() > root && dice.chance(20)) {
                self.trees.nodes.push(Node::Leaf);
                continue;
            }
            let (left, right) = (end as u32, end as u32 + 1);
            end += 2;
            let host = dice.below(self.hosts + 1);
            let node = if host == 0 {
                let slot = dice.below(self.thresholds.len());
                let threshold = threshold(dice, self.trees.features.rule);
                self.thresholds[slot].push(threshold);
                Node::Own {
                    slot: slot as u32,
                    threshold,
                    missing_left: dice.chance(50),
                    left,
                    right,
                }
            } else {
                Node::Foreign {
                    host: Some(host as u32 - 1),
                    left,
                    right,
                }
            };
            self.trees.nodes.push(node);
        }
        self.trees.starts.push(end as u32);
    }

    fn copy(&self) -> Trees {
        Trees {
            nodes: self.trees.nodes.clone(),
            starts: self.trees.starts.clone(),
            features: Features {
                columns: self.trees.features.columns.clone(),
                rule: self.trees.features.rule,
            },
        }
    }

    /// The plain way without a level.
    fn guest(&self, level: Option<Level>) -> ForestGuest {
        let trees = self.copy();
        let numberings = HostNumberings::of_nodes(&trees, self.hosts);
        let owned_by_host = vec![None; trees.len()];
        let quick =
            level.and_then(|level| Quick::at_level(&trees, &numberings, &owned_by_host, level));
        ForestGuest {
            component: "forest".into(),
            leaves: Leaves::none(),
            scoring: Scoring::Binary { init: 0.0 },
            owned_by_host,
            hosts: self.hosts,
            numberings,
            quick,
            trees,
        }
    }

    fn host(&self, level: Option<Level>) -> ForestHost {
        let mut host = ForestHost::new(self.copy(), false, level.unwrap_or(Level::PLAIN));
        assert!(host.quick.is_some());
        host.quick = host.quick.filter(|_| level.is_some());
        host
    }

    /// Whether all trees have at most six decisions on every way.
    fn is_shallow(&self) -> bool {
        let trees = &self.trees;
        let mut depths = vec![0; trees.nodes.len()];
        for (position, node) in trees.nodes.iter().enumerate() {
            if let Node::Own { left, right, .. } | Node::Foreign { left, right, .. } = node {
                for child in [left, right] {
                    depths[*child as usize] = depths[position] + 1;
                }
            }
        }
        depths.into_iter().all(|depth| depth <= 6)
    }

    fn row(&self, dice: &mut Dice) -> Row<'static> {
        let mut row = Row::with_columns(self.thresholds.len());
        let odd = dice.chance(10);
        for (slot, thresholds) in self.thresholds.iter().enumerate() {
            let near = dice.pick(thresholds);
            let cell = match dice.below(12) {
                0 => Cell::Absent,
                1 if odd => Cell::Text("x".into()),
                2 if odd => Cell::Null,
                3 => Cell::double(dice.pick(&[f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0])),
                4 | 5 => Cell::double(near),
                6 => Cell::double(near.next_up()),
                7 => Cell::double(near.next_down()),
                8 => Cell::double(near - 1e-8),
                9 => Cell::ImplicitZero,
                10 => Cell::Text("0.25".into()),
                _ => Cell::double((dice.below(4001) as f64 - 2000.0) / 700.0),
            };
            row.set(Column::at(slot), cell);
        }
        row
    }

    /// Decisions of all hosts as Java's form has them, or packed, or some of either.
    fn partials(&self, dice: &mut Dice, numberings: &HostNumberings) -> Vec<Partial> {
        let turn = |dice: &mut Dice| dice.pick(&[Turn::Left, Turn::Right]);
        let leaves_out = dice.chance(10);
        (0..self.hosts)
            .map(|host| {
                if dice.chance(50) {
                    let bytes = numberings.of_host(host).unwrap().form().row_bytes;
                    let bytes: Vec<u8> = (0..bytes).map(|_| dice.roll() as u8).collect();
                    return Partial(Share::Bits(Bits::read(&bytes)));
                }
                let mut route = vec![Turn::Unknown; self.trees.nodes.len()];
                for position in &numberings.positions()[host] {
                    if !(leaves_out && dice.chance(20)) {
                        route[*position as usize] = turn(dice);
                    }
                }
                Partial(Share::Route(route))
            })
            .collect()
    }
}

fn reached(
    guest: &ForestGuest,
    row: &Row<'_>,
    partials: &[Partial],
) -> (bool, Result<Vec<u32>, Fault>) {
    let local = match guest.local(row) {
        Ok(local) => local,
        Err(fault) => return (false, Err(fault)),
    };
    let Local::Forest(walk) = local.0 else {
        panic!("no forest")
    };
    let partials: Vec<&Partial> = partials.iter().collect();
    let is_quick = !matches!(walk, Walk::Begun { .. });
    (is_quick, guest.reached(&walk, &partials))
}

/// What was really done.
#[derive(Debug, Default)]
struct Tally {
    quick: usize,
    refused: usize,
    /// Models that took words.
    in_words: usize,
}

fn agree(level: Level, models: usize, rows: usize) {
    let mut dice = Dice(6);
    let mut tally = Tally::default();
    for _ in 0..models {
        let model = Model::random(&mut dice);
        let (quick, plain) = (model.guest(Some(level)), model.guest(None));
        let (quick_host, plain_host) = (model.host(Some(level)), model.host(None));
        let is_in_words = matches!(quick.quick, Some(Quick::Words(_)));
        assert_eq!(
            quick.quick.is_some(),
            !level.places_bits() || model.is_shallow()
        );
        assert_eq!(is_in_words, level.places_bits() && model.is_shallow());
        tally.in_words += usize::from(is_in_words);
        for _ in 0..rows {
            let row = model.row(&mut dice);
            let partials = model.partials(&mut dice, &quick.numberings);
            let (is_quick, leaves) = reached(&quick, &row, &partials);
            assert_eq!(
                leaves,
                reached(&plain, &row, &partials).1,
                "{level:?} {model:?} {row:?}",
                model = model.trees
            );
            assert_eq!(quick_host.decisions(&row), plain_host.decisions(&row));
            tally.quick += usize::from(is_quick);
            tally.refused += usize::from(leaves.is_err());
        }
    }
    // Both ways, and their faults, were really taken.
    let pairs = models * rows;
    let is_fair = tally.quick > pairs / 3
        && tally.quick < pairs
        && tally.refused > pairs / 1000
        && tally.refused < pairs / 4
        && (tally.in_words > models / 3) == level.places_bits();
    assert!(
        is_fair,
        "{level:?}: {tally:?} of {models} models, {pairs} pairs"
    );
    println!("{level:?}: {tally:?} of {models} models, {pairs} pairs");
}

#[test]
fn the_quick_ways_decide_as_the_plain_one() {
    for level in Level::of_this_processor() {
        agree(level, 300, 200);
    }
}

#[test]
#[ignore = "takes a minute for every level"]
fn the_quick_ways_decide_as_the_plain_one_ten_million_times() {
    for level in Level::of_this_processor() {
        agree(level, 25_000, 400);
    }
}
