//! Rows as maps of values, the way Java and Python hold them.

use std::collections::BTreeMap;

use fate_domain::java_number::{double_to_string, parse_double};

use crate::dice::Dice;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Double(f64),
    Text(String),
    /// What a sparse row leaves out: zero in sums and decisions, and never binned.
    LeftOut,
}

pub(crate) type Row = BTreeMap<String, Value>;

impl Value {
    /// `parseDouble(v.toString())`; none where that throws.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Value::Null | Value::Bool(_) => None,
            Value::Integer(integer) => Some(*integer as f64),
            Value::Double(double) => Some(*double),
            Value::Text(text) => parse_double(text),
            Value::LeftOut => Some(0.0),
        }
    }

    /// `v.toString()`; none for null.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Value::Null => None,
            Value::Bool(boolean) => Some(boolean.to_string()),
            Value::Integer(integer) => Some(integer.to_string()),
            Value::Double(double) => Some(double_to_string(*double)),
            Value::Text(text) => Some(text.clone()),
            Value::LeftOut => Some("0".to_owned()),
        }
    }

    fn json(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(boolean) => (*boolean).into(),
            Value::Integer(integer) => (*integer).into(),
            Value::Double(double) => (*double).into(),
            Value::Text(text) => text.as_str().into(),
            Value::LeftOut => panic!("no request can spell it"),
        }
    }
}

/// `featureData`.
pub(crate) fn json(row: &Row) -> String {
    let members: serde_json::Map<String, serde_json::Value> = row
        .iter()
        .map(|(name, value)| (name.clone(), value.json()))
        .collect();
    serde_json::Value::Object(members).to_string()
}

/// What is done with a value that is not there (offline), or has no number.
pub(crate) fn is_missing(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Double(double)) => double.is_nan(),
        Some(_) => false,
    }
}

/// Mostly numbers, near `interesting` ones too; some text, some nonsense.
pub(crate) fn random_value(dice: &mut Dice<'_>, interesting: &[f64]) -> Value {
    const WORDS: [&str; 15] = [
        "1", "abc", " 3 ", "1.50", "2d", "-9999", "", "Infinity", "na", "NA", "None", "null",
        "NaN", "NULL", "-2.5",
    ];
    match dice.below(20) {
        0..=5 => Value::Double(dice.hundredths()),
        6..=9 => Value::Integer(dice.hundredths() as i64),
        10..=14 if !interesting.is_empty() => {
            let near = dice.pick(&[0.0, 5e-9, 1e-8, 2e-8, -1e-8]);
            Value::Double(dice.pick(interesting) + near)
        }
        10..=14 => Value::Text(dice.hundredths().to_string()),
        15 => dice.pick(&[
            Value::Double(0.0),
            Value::Double(5e-9),
            Value::Integer(-9999),
            Value::Double(1e9),
        ]),
        16..=17 => Value::Text(dice.pick(&WORDS[..8]).to_owned()),
        18 => Value::Text(dice.pick(&WORDS).to_owned()),
        _ => dice.pick(&[Value::Null, Value::Bool(true), Value::Double(1.0)]),
    }
}

/// A row of the columns, some left out, sometimes with one that no model knows.
pub(crate) fn random_row(dice: &mut Dice<'_>, columns: &[String], interesting: &[f64]) -> Row {
    let mut row = Row::new();
    for column in columns {
        if !dice.chance(12) {
            row.insert(column.clone(), random_value(dice, interesting));
        }
    }
    if dice.chance(20) {
        row.insert("stranger".to_owned(), random_value(dice, interesting));
    }
    row
}

/// `x0`, `x1`, …
pub(crate) fn columns(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}{index}")).collect()
}
