//! The merged result of all parties.

use fate_domain::java_number::write_json_double;

/// A score, ready to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    pub(crate) values: Values,
    pub(crate) label: Option<Box<str>>,
    pub(crate) hit_rates: Option<HitRates>,
}

/// What FATE-Serving 2.1.7 tells beside the score of a factorization machine (contract 02 A10).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HitRates {
    /// Share of the guest's weights whose feature was in the row.
    pub(crate) weights: f64,
    /// Share of the row's features that have a weight.
    pub(crate) row: f64,
}

/// One number, or one per class.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Values {
    One([f64; 1]),
    Many(Vec<f64>),
}

impl Score {
    pub(crate) fn one(value: f64) -> Self {
        Score {
            values: Values::One([value]),
            label: None,
            hit_rates: None,
        }
    }

    /// A number per class, and the class of the first largest one.
    pub(crate) fn classes(values: Vec<f64>, classes: &[Box<str>]) -> Self {
        let best = first_largest(&values);
        Score::labelled(values, classes, best)
    }

    /// A number per class, and the class at `label`.
    pub(crate) fn labelled(values: Vec<f64>, classes: &[Box<str>], label: usize) -> Self {
        Score {
            label: classes.get(label).cloned(),
            values: Values::Many(values),
            hit_rates: None,
        }
    }

    /// Predicted class, where the model has several.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// One score, or one per class in class order.
    pub fn scores(&self) -> &[f64] {
        match &self.values {
            Values::One(one) => one,
            Values::Many(many) => many,
        }
    }

    /// Appends JSON members without braces: `"score":0.71`, or `"score":[…],"label":"2"`; behind them the two hit rates
    /// of a factorization machine.
    pub fn write_members(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"score\":");
        match &self.values {
            Values::One([value]) => write_json_double(*value, out),
            Values::Many(values) => write_list(values, out),
        }
        if let Some(label) = &self.label {
            out.extend_from_slice(b",\"label\":");
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut *out, &**label);
        }
        if let Some(rates) = self.hit_rates {
            out.extend_from_slice(b",\"guestModelWeightHitRate\":");
            write_json_double(rates.weights, out);
            out.extend_from_slice(b",\"guestInputDataHitRate\":");
            write_json_double(rates.row, out);
        }
    }
}

/// Position of the first largest number.
pub(crate) fn first_largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// `exp(z_i - max)` over their sum, added in class order.
pub(crate) fn softmax(sums: &mut [f64]) {
    let max = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    sums.iter_mut().for_each(|sum| *sum = (*sum - max).exp());
    let total: f64 = sums.iter().sum();
    sums.iter_mut().for_each(|share| *share /= total);
}

/// A JSON list of doubles.
pub(crate) fn write_list(values: &[f64], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_json_double(*value, out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(score: &Score) -> String {
        let mut out = Vec::new();
        score.write_members(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_are_what_java_writes() {
        assert_eq!(
            text(&Score::one(6.137630494698321e-5)),
            r#""score":6.137630494698321E-5"#
        );
        let classes = ["a\"".into(), "b".into()];
        assert_eq!(
            text(&Score::classes(vec![0.5, 0.5], &classes)),
            r#""score":[0.5,0.5],"label":"a\"""#
        );
    }
}
