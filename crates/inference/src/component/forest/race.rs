//! What the ways down the trees take beside each other, in one run: `cargo test --release -p fate-inference --lib race --
//! --ignored --nocapture`. Complete trees over 25 features a party, thresholds from 32 bins, rows that rotate.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "its output is what it is for"
)]

use std::hint::black_box;
use std::time::Instant;

use super::{
    Features, Node, Trees, ValueRule,
    compact::HostNumberings,
    guest::ForestGuest,
    host::ForestHost,
    quick::Quick,
    score::{Leaves, Scoring},
    simd::Level,
};
use crate::{Cell, Partial, Row, component::GuestModel, partial::Share, symbols::Column};

const FEATURES: usize = 25;
const ROWS: usize = 16_384;

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// The guest's trees or the host's; both come from the same rolls.
fn trees(trees: u32, depth: u32, bins: u64, is_guest: bool) -> Trees {
    let mut dice = Dice(17);
    let size = (2 << depth) - 1;
    let mut nodes = Vec::new();
    for tree in 0..trees {
        let root = tree * size;
        for node in 0..size {
            let (left, right) = (root + 2 * node + 1, root + 2 * node + 2);
            let is_own = (dice.below(2) == 0) == is_guest;
            let slot = dice.below(FEATURES as u64) as u32;
            let threshold = dice.below(bins - 1) as f64 / bins as f64;
            let missing_left = dice.below(2) == 0;
            nodes.push(match node {
                _ if node >= size / 2 => Node::Leaf,
                _ if is_own => Node::Own {
                    slot,
                    threshold,
                    missing_left,
                    left,
                    right,
                },
                _ => Node::Foreign {
                    host: Some(0),
                    left,
                    right,
                },
            });
        }
    }
    Trees {
        nodes,
        starts: (0..=trees).map(|tree| tree * size).collect(),
        features: Features {
            columns: (0..FEATURES).map(Column::at).collect(),
            rule: ValueRule::fate(Some(1e-8), false),
        },
    }
}

fn rows() -> Vec<Row<'static>> {
    let mut dice = Dice(5);
    let row = |_| {
        let mut row = Row::with_columns(FEATURES);
        for feature in 0..FEATURES {
            if dice.below(50) > 0 {
                row.set(
                    Column::at(feature),
                    Cell::double(dice.below(1 << 20) as f64 / f64::from(1 << 20)),
                );
            }
        }
        row
    };
    (0..ROWS).map(row).collect()
}

fn guest(count: u32, depth: u32, bins: u64, level: Level) -> ForestGuest {
    let trees = trees(count, depth, bins, true);
    let numberings = HostNumberings::of_nodes(&trees, 1);
    let owned_by_host = vec![None; trees.len()];
    let quick = Quick::at_level(&trees, &numberings, &owned_by_host, level);
    let weights = (0..trees.nodes.len())
        .map(|node| node as f64 / 1e6)
        .collect();
    ForestGuest {
        component: "forest".into(),
        leaves: Leaves::single(weights),
        scoring: Scoring::Binary { init: 0.0 },
        owned_by_host,
        hosts: 1,
        numberings,
        quick,
        trees,
    }
}

/// Rows that are timed together: short enough to be done between two interruptions on a busy machine.
const TIMED: usize = 128;

/// The lower quartile of all timed pieces of two passes over the rows, in microseconds per row.
fn timed(mut row: impl FnMut(usize)) -> f64 {
    let pieces = (0..2 * ROWS / TIMED).map(|piece| {
        let start = Instant::now();
        for number in 0..TIMED {
            row((piece * TIMED + number) % ROWS);
        }
        start.elapsed().as_secs_f64() * 1e6 / TIMED as f64
    });
    let mut pieces: Vec<f64> = pieces.collect();
    pieces.sort_by(f64::total_cmp);
    pieces[pieces.len() / 4]
}

#[test]
#[ignore = "measures"]
fn race() {
    let rows = rows();
    println!(
        "trees depth bins  level                   host part  guest part  guest part + merge (us a row)"
    );
    for (count, depth, bins) in [
        (10, 6, 32),
        (100, 3, 32),
        (100, 6, 32),
        (100, 6, 256),
        (500, 6, 32),
        (1000, 6, 32),
        (2000, 6, 32),
    ] {
        for level in Level::of_this_processor() {
            let host = ForestHost::new(trees(count, depth, bins, false), false, level);
            let guest = guest(count, depth, bins, level);
            let host_part = timed(|row| {
                let _ = black_box(host.decisions(&rows[row]));
            });
            let parts: Vec<Partial> = rows
                .iter()
                .map(|row| Partial(Share::Bits(host.decisions(row).unwrap())))
                .collect();
            let guest_part = timed(|row| {
                let _ = black_box(guest.local(&rows[row]));
            });
            let whole = timed(|row| {
                let local = guest.local(&rows[row]).unwrap();
                let _ = black_box(guest.merge(local, &[&parts[row]]));
            });
            println!(
                "{count:>5} {depth:>5} {bins:>4}  {:<22}{host_part:>10.3}{guest_part:>12.3}{whole:>12.3}",
                format!("{level:?}")
            );
        }
    }
}
