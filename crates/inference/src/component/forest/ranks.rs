//! Thresholds as whole numbers: a row's value is placed once among its feature's thresholds, and every decision on that
//! feature becomes a comparison of small integers.
//!
//! The rank of a number is one more than the thresholds below it, so `value <= threshold` exactly when the value's rank
//! is at most the threshold's; nothing is rounded. A feature has two slots, one for its nodes that send missing values
//! left and one for the others: a missing value is below everything in the first and above everything in the second.

use super::{Node, Trees, Value};

/// A rank of the row, and of a node.
pub(super) type Rank = u16;

/// Below every threshold, those included that are no number and have nothing on their left.
const LOWEST: Rank = 0;
/// Above every threshold.
const HIGHEST: Rank = Rank::MAX;

/// Thresholds that are compared together, in vectors.
const TOGETHER: usize = 8;
/// What follows the last threshold in the last ones: below no number.
const FILLING: f64 = f64::INFINITY;
/// More tops than these are searched.
const FEW_TOPS: usize = 4;

/// The thresholds of every feature, on two levels: what is looked for lies behind as many of them as there are below it
/// among the tops, times [`TOGETHER`], and further on among those that the next top is the highest of.
#[derive(Debug)]
pub(super) struct Ranks {
    /// Ascending and distinct, feature by feature.
    thresholds: Vec<[f64; TOGETHER]>,
    /// The highest of each of these, feature by feature.
    tops: Vec<[f64; TOGETHER]>,
    features: Vec<OfFeature>,
}

/// Where a feature's thresholds are.
#[derive(Debug, Clone, Copy)]
struct OfFeature {
    thresholds: u32,
    tops: (u32, u32),
    count: u32,
}

/// What a node compares: the row's rank in a slot with its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) slot: u32,
    /// Ranks up to this one go left.
    pub(super) rank: Rank,
}

impl Ranks {
    /// None for more thresholds than a rank can tell apart.
    pub(super) fn new(trees: &Trees) -> Option<Self> {
        let mut of_features = vec![Vec::new(); trees.features.columns.len()];
        for node in &trees.nodes {
            if let Node::Own {
                slot, threshold, ..
            } = *node
                && !threshold.is_nan()
            {
                of_features.get_mut(slot as usize)?.push(threshold);
            }
        }
        let mut ranks = Ranks {
            thresholds: Vec::new(),
            tops: Vec::new(),
            features: Vec::with_capacity(of_features.len()),
        };
        for mut of_feature in of_features {
            of_feature.sort_unstable_by(f64::total_cmp);
            // Zero and its negative are one threshold: they compare as equal.
            of_feature.dedup();
            if of_feature.len() >= usize::from(HIGHEST) - 1 {
                return None;
            }
            ranks.add(&of_feature)?;
        }
        ranks.thresholds.shrink_to_fit();
        ranks.tops.shrink_to_fit();
        Some(ranks)
    }

    /// The next feature's thresholds, ascending.
    fn add(&mut self, of_feature: &[f64]) -> Option<()> {
        let start = u32::try_from(self.thresholds.len()).ok()?;
        let first_top = u32::try_from(self.tops.len()).ok()?;
        self.thresholds.extend(filled(of_feature));
        let lasts = filled(of_feature).map(|together| together[TOGETHER - 1]);
        self.tops.extend(filled(&lasts.collect::<Vec<_>>()));
        self.features.push(OfFeature {
            thresholds: start,
            tops: (first_top, u32::try_from(self.tops.len()).ok()?),
            count: u32::try_from(of_feature.len()).ok()?,
        });
        Some(())
    }

    /// How many slots a row has.
    pub(super) fn slots(&self) -> usize {
        2 * self.features.len()
    }

    /// The test of an own node.
    pub(super) fn test(&self, feature: u32, threshold: f64, missing_left: bool) -> Test {
        let below = self.below(feature as usize, threshold);
        Test {
            slot: 2 * feature + u32::from(!missing_left),
            rank: if threshold.is_nan() {
                LOWEST
            } else {
                rank_above(below)
            },
        }
    }

    /// How many thresholds of a feature are below a number; all of them for NaN, which goes left nowhere.
    #[inline(always)]
    pub(super) fn below(&self, feature: usize, number: f64) -> usize {
        let of_feature = self.features[feature];
        let count = of_feature.count as usize;
        let tops = &self.tops[of_feature.tops.0 as usize..of_feature.tops.1 as usize];
        let tops = match tops.len() <= FEW_TOPS {
            true => tops.iter().map(|tops| smaller(tops, number)).sum(),
            false => tops
                .as_flattened()
                .partition_point(|threshold| *threshold < number),
        };
        if number.is_nan() || TOGETHER * tops >= count {
            return count;
        }
        let thresholds = &self.thresholds[of_feature.thresholds as usize + tops];
        TOGETHER * tops + smaller(thresholds, number)
    }

    /// How many different thresholds a feature has.
    pub(super) fn count(&self, feature: usize) -> usize {
        self.features[feature].count as usize
    }

    /// Appends the ranks of a row's values; false, with fewer of them, for a row with a value that is no number.
    pub(super) fn write(&self, values: impl Iterator<Item = Value>, out: &mut Vec<Rank>) -> bool {
        for (feature, value) in values.enumerate() {
            match value {
                Value::Number(number) => {
                    out.extend([rank_above(self.below(feature, number)); 2]);
                }
                Value::Missing => out.extend([LOWEST, HIGHEST]),
                Value::Bad => return false,
            }
        }
        true
    }
}

/// How many are below a number.
#[inline(always)]
fn smaller(thresholds: &[f64; TOGETHER], number: f64) -> usize {
    let smaller: u64 = thresholds
        .iter()
        .map(|threshold| u64::from(*threshold < number))
        .sum();
    smaller as usize
}

/// The numbers in groups, the last one filled up.
fn filled(numbers: &[f64]) -> impl Iterator<Item = [f64; TOGETHER]> {
    numbers.chunks(TOGETHER).map(|some| {
        let mut together = [FILLING; TOGETHER];
        together[..some.len()].copy_from_slice(some);
        together
    })
}

/// [`Ranks::new`] keeps this below [`HIGHEST`].
#[allow(
    clippy::cast_possible_truncation,
    reason = "the number of thresholds is bounded when they are collected"
)]
fn rank_above(below: usize) -> Rank {
    below as Rank + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::forest::{Features, ValueRule, goes_left};
    use crate::symbols::Column;

    fn trees(thresholds: &[f64]) -> Trees {
        let own = |threshold: &f64| Node::Own {
            slot: 0,
            threshold: *threshold,
            missing_left: false,
            left: 0,
            right: 0,
        };
        Trees {
            nodes: thresholds.iter().map(own).collect(),
            starts: vec![0, thresholds.len() as u32],
            features: Features {
                columns: vec![Column::at(0)],
                rule: ValueRule::Java,
            },
        }
    }

    #[test]
    fn ranks_decide_as_numbers_do() {
        let (inf, nan, tiny) = (f64::INFINITY, f64::NAN, f64::from_bits(1));
        let thresholds = [
            0.5,
            -0.0,
            0.0,
            tiny,
            -tiny,
            inf,
            -inf,
            nan,
            1e300,
            0.5_f64.next_up(),
            0.5,
            f64::MAX,
        ];
        let ranks = Ranks::new(&trees(&thresholds)).unwrap();
        let near = |x: &f64| [x.next_down(), *x, x.next_up()];
        let mut values: Vec<Value> = thresholds
            .iter()
            .flat_map(near)
            .map(Value::Number)
            .collect();
        values.push(Value::Missing);
        for value in values {
            let mut row = Vec::new();
            assert!(ranks.write([value].into_iter(), &mut row));
            assert_eq!(row.len(), ranks.slots());
            for threshold in thresholds {
                for missing_left in [false, true] {
                    let test = ranks.test(0, threshold, missing_left);
                    assert_eq!(
                        row[test.slot as usize] <= test.rank,
                        goes_left(value, threshold, missing_left).unwrap(),
                        "{value:?} {threshold} {missing_left}"
                    );
                }
            }
        }
        assert!(!ranks.write([Value::Bad].into_iter(), &mut Vec::new()));
    }

    #[test]
    fn numbers_lie_above_as_many_thresholds_as_are_smaller() {
        for count in [0, 1, 7, 8, 9, 63, 64, 65, 255, 256, 257, 500, 4096] {
            let thresholds: Vec<f64> = (0..count).map(f64::from).collect();
            let ranks = Ranks::new(&trees(&thresholds)).unwrap();
            assert_eq!(ranks.count(0), thresholds.len());
            for at in 0..=count {
                for number in [f64::from(at) - 0.5, f64::from(at)] {
                    let below = thresholds.iter().filter(|one| **one < number).count();
                    assert_eq!(ranks.below(0, number), below, "{count} {number}");
                }
            }
            let ends = [f64::NEG_INFINITY, f64::INFINITY, f64::NAN];
            let below = ends.map(|number| ranks.below(0, number));
            assert_eq!(below, [0, thresholds.len(), thresholds.len()], "{count}");
        }
    }

    #[test]
    fn more_thresholds_than_ranks_are_not_ranked() {
        let many: Vec<f64> = (0..65_534).map(f64::from).collect();
        assert!(Ranks::new(&trees(&many)).is_none());
        assert!(Ranks::new(&trees(&many[1..])).is_some());
    }
}
