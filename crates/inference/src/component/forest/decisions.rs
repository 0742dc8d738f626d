//! A party's decisions by feature: a value sends those nodes left whose thresholds are not below it. Behind one another in
//! order of thresholds, these are the end of a list; what the list's longer ends say together is written down at load as
//! whole rows of bits, so that a value takes one row and a few single bits, however many nodes there are.

use super::{Node, Trees, Value, bits::Bits, ranks::Ranks, simd::Level};

#[derive(Debug)]
pub(super) struct Decisions {
    ranks: Ranks,
    nodes: usize,
    /// Feature by feature: what goes left above so many of its thresholds, from none to all; then, of a missing value.
    sets: Vec<Set>,
    /// Where each feature's sets begin.
    starts: Vec<u32>,
    /// Single nodes, as their places among all decisions.
    places: Vec<u32>,
    /// Rows of bits, each as long as all decisions.
    rows: Vec<u64>,
    /// More single bits than these become a row.
    singles: usize,
    level: Level,
}

/// Nodes that go left together: those of a row, and some single ones.
#[derive(Debug, Clone, Copy)]
struct Set {
    /// Where the row begins.
    row: u32,
    from: u32,
    to: u32,
}

/// Where no bit is set.
const EMPTY_ROW: u32 = 0;

/// Rows that are written down: as many as there are thresholds, if that is not more. Joining a row is cheap and single bits
/// are not, because nobody foresees how many there are; but the memory for all rows must stay linear in the nodes.
const ROWS: usize = 1024;

impl Decisions {
    /// None for trees that have no ranks.
    pub(super) fn new(trees: &Trees, level: Level) -> Option<Self> {
        let ranks = Ranks::new(trees)?;
        let features = trees.features.columns.len();
        let mut by_threshold = vec![Vec::new(); features];
        let mut missing_left = vec![Vec::new(); features];
        let mut nodes: u32 = 0;
        for node in &trees.nodes {
            let Node::Own {
                slot,
                threshold,
                missing_left: is_left,
                ..
            } = *node
            else {
                continue;
            };
            let feature = slot as usize;
            if is_left {
                missing_left.get_mut(feature)?.push(nodes);
            }
            // Nothing is on the left of a threshold that is no number.
            if !threshold.is_nan() {
                let place = (ranks.below(feature, threshold), nodes);
                by_threshold.get_mut(feature)?.push(place);
            }
            nodes += 1;
        }
        let thresholds: usize = (0..features).map(|feature| ranks.count(feature)).sum();
        let singles = match thresholds + features <= ROWS {
            true => 0,
            false => (nodes as usize).div_ceil(ROWS),
        };
        let mut decisions = Decisions {
            ranks,
            nodes: nodes as usize,
            sets: Vec::new(),
            starts: Vec::new(),
            places: Vec::new(),
            rows: Bits::none(nodes as usize).words().to_vec(),
            singles,
            level,
        };
        for (feature, (nodes, missing)) in by_threshold.into_iter().zip(missing_left).enumerate() {
            decisions
                .starts
                .push(u32::try_from(decisions.sets.len()).ok()?);
            decisions.add_thresholds(nodes, decisions.ranks.count(feature))?;
            decisions.add_missing(&missing)?;
        }
        decisions.sets.shrink_to_fit();
        decisions.places.shrink_to_fit();
        decisions.rows.shrink_to_fit();
        Some(decisions)
    }

    /// `nodes` are thresholds, as their numbers in ascending order, and places. From the highest threshold to the lowest one
    /// more and more nodes go left; a row is written as soon as there are too many since the last one.
    fn add_thresholds(&mut self, mut nodes: Vec<(usize, u32)>, thresholds: usize) -> Option<()> {
        nodes.sort_unstable();
        let first = self.places.len();
        let mut set = self.no_row(first)?;
        let mut sets = vec![set];
        for threshold in (0..thresholds).rev() {
            while let Some((_, place)) = nodes.pop_if(|(of, _)| *of == threshold) {
                self.places.push(place);
            }
            set.to = u32::try_from(self.places.len()).ok()?;
            if self.has_too_many(set) {
                set.row = self.add_row(first)?;
                set.from = set.to;
            }
            sets.push(set);
        }
        self.sets.extend(sets.into_iter().rev());
        Some(())
    }

    fn add_missing(&mut self, missing: &[u32]) -> Option<()> {
        let first = self.places.len();
        let mut set = self.no_row(first)?;
        self.places.extend_from_slice(missing);
        set.to = u32::try_from(self.places.len()).ok()?;
        if self.has_too_many(set) {
            set.row = self.add_row(first)?;
            set.to = set.from;
            self.places.truncate(first);
        }
        self.sets.push(set);
        Some(())
    }

    fn no_row(&self, first: usize) -> Option<Set> {
        let first = u32::try_from(first).ok()?;
        Some(Set {
            row: EMPTY_ROW,
            from: first,
            to: first,
        })
    }

    fn has_too_many(&self, set: Set) -> bool {
        (set.to - set.from) as usize > self.singles
    }

    /// A row of the places from `first` on.
    fn add_row(&mut self, first: usize) -> Option<u32> {
        let mut row = Bits::none(self.nodes);
        self.places[first..]
            .iter()
            .for_each(|place| row.set(*place));
        let start = u32::try_from(self.rows.len()).ok()?;
        self.rows.extend_from_slice(row.words());
        Some(start)
    }

    /// None for a row with a value that is no number.
    pub(super) fn of(&self, values: impl Iterator<Item = Value>) -> Option<Bits> {
        self.level.decide(self, values)
    }

    /// As [`Decisions::of`], compiled for whoever calls it.
    #[inline(always)]
    pub(super) fn decide(&self, values: impl Iterator<Item = Value>) -> Option<Bits> {
        let mut bits = Bits::none(self.nodes);
        // Rows are joined together, so that the bits are written once for all of them.
        let mut rows = [EMPTY_ROW; JOINED];
        let mut waiting = 0;
        for (feature, value) in values.enumerate() {
            let set = match value {
                Value::Number(number) => self.ranks.below(feature, number),
                Value::Missing => self.ranks.count(feature) + 1,
                Value::Bad => return None,
            };
            let set = self.sets[self.starts[feature] as usize + set];
            if set.from < set.to {
                self.set_single(set, &mut bits);
            }
            if waiting == JOINED {
                join(bits.words_mut(), &self.rows, &rows);
                waiting = 0;
            }
            rows[waiting] = set.row;
            waiting += 1;
        }
        join(bits.words_mut(), &self.rows, &rows[..waiting]);
        Some(bits)
    }

    fn set_single(&self, set: Set, bits: &mut Bits) {
        for place in &self.places[set.from as usize..set.to as usize] {
            bits.set(*place);
        }
    }
}

/// Rows that are joined together.
const JOINED: usize = 32;

/// Sets the bits of rows that begin there in the table and are as long as the bits. Some words after the others, each for
/// all rows, so that they stay in registers.
#[inline(always)]
fn join(bits: &mut [u64], table: &[u64], rows: &[u32]) {
    let (groups, rest) = bits.as_chunks_mut::<16>();
    let mut at = 0;
    for group in groups {
        join_some(group, table, rows, at);
        at += group.len();
    }
    let (groups, rest) = rest.as_chunks_mut::<4>();
    for group in groups {
        join_some(group, table, rows, at);
        at += group.len();
    }
    for word in rest {
        join_some(std::array::from_mut(word), table, rows, at);
        at += 1;
    }
}

#[inline(always)]
fn join_some<const N: usize>(words: &mut [u64; N], table: &[u64], rows: &[u32], at: usize) {
    let mut joined = *words;
    for row in rows {
        let row = table
            .get(*row as usize + at..)
            .and_then(<[u64]>::first_chunk::<N>);
        for (word, more) in joined.iter_mut().zip(row.unwrap_or(&[0; N])) {
            *word |= more;
        }
    }
    *words = joined;
}
