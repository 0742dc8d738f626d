//! A small seeded generator and the odd values that rows are made of.

use serde_json::{Value, json};

/// SplitMix64: the same models and rows in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Evenly in -1 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    /// A number of a few digits, as thresholds and values in tables are.
    pub(crate) fn short(&mut self) -> f64 {
        (self.unit() * 500.0).round() / 100.0
    }
}

/// A value around `pivots`: what decisions hang on.
pub(crate) fn number(random: &mut Random, pivots: &[f64]) -> f64 {
    if pivots.is_empty() || random.chance(40) {
        return random.short();
    }
    let pivot = pivots[random.below(pivots.len())];
    match random.below(8) {
        0 => pivot,
        1 => pivot + 1e-8,
        2 => (pivot + 1e-8).next_up(),
        3 => (pivot + 1e-8).next_down(),
        4 => pivot.next_up(),
        5 => pivot.next_down(),
        6 => 0.0,
        _ => 5e-9,
    }
}

/// The value as JSON: a number, or text of one.
pub(crate) fn spelled(random: &mut Random, value: f64) -> Value {
    match random.below(3) {
        0 => json!(value.to_string()),
        1 => json!(format!("{value:e}")),
        _ => json!(value),
    }
}
