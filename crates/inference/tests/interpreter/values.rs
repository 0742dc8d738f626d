//! Rows as maps of values, the way Java and Python hold them.

use std::collections::BTreeMap;

use fate_domain::java_number::{double_to_string, parse_double};

use crate::dice::Dice;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// An array or an object.
    Nested,
    /// A JSON number as it was written.
    Json(String),
    Text(String),
    /// An integer that a component made.
    Integer(i64),
    /// A double that a component made.
    Double(f64),
    /// What a sparse row leaves out: zero in sums and decisions, and never binned.
    LeftOut,
    /// Text that is no number in a column of numbers: offline the job ends.
    Refused,
}

pub(crate) type Row = BTreeMap<String, Value>;

impl Value {
    pub(crate) fn text_of(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    /// `parseDouble(v.toString())`; none where that throws.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Value::Null | Value::Bool(_) | Value::Nested | Value::Refused => None,
            // Rust's parser rounds once and takes 1e400 to infinity. An integer has no sign at zero.
            Value::Json(token) => token.parse().ok().map(|number: f64| {
                let is_zero = number == 0.0 && is_integer(token);
                if is_zero { 0.0 } else { number }
            }),
            Value::Integer(integer) => Some(*integer as f64),
            Value::Double(double) => Some(*double),
            Value::Text(text) => parse_double(text),
            Value::LeftOut => Some(0.0),
        }
    }

    /// `v.toString()`; none for null, and for what no token equals.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Value::Null | Value::Nested | Value::Refused => None,
            Value::Bool(boolean) => Some(boolean.to_string()),
            Value::Json(token) if token == "-0" => Some("0".to_owned()),
            Value::Json(token) if is_integer(token) => Some(token.clone()),
            Value::Json(token) => Some(double_to_string(token.parse().unwrap())),
            Value::Integer(integer) => Some(integer.to_string()),
            Value::Double(double) => Some(double_to_string(*double)),
            Value::Text(text) => Some(text.clone()),
            Value::LeftOut => Some("0".to_owned()),
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Value::Json(_) | Value::Integer(_) | Value::Double(_))
    }

    fn json(&self) -> String {
        match self {
            Value::Null => "null".to_owned(),
            Value::Bool(boolean) => boolean.to_string(),
            Value::Nested => r#"[1,{"p":null}]"#.to_owned(),
            Value::Json(token) => token.clone(),
            Value::Text(text) => quoted(text),
            other => panic!("no request can spell {other:?}"),
        }
    }
}

fn is_integer(token: &str) -> bool {
    !token.contains(['.', 'e', 'E'])
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// `featureData`.
pub(crate) fn json(row: &Row) -> String {
    let members = row.iter();
    let members: Vec<String> = members
        .map(|(name, value)| format!("{}:{}", quoted(name), value.json()))
        .collect();
    format!("{{{}}}", members.join(","))
}

/// What is done with a value that is not there (offline).
pub(crate) fn is_missing(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Double(double)) => double.is_nan(),
        Some(_) => false,
    }
}

const TOKENS: [&str; 16] = [
    "-9999",
    "-9999.0",
    "1.50",
    "1000000000.0",
    "1e9",
    "0",
    "-0",
    "-0.0",
    "0.0",
    "1e400",
    "-1E+400",
    "1e-400",
    "9007199254740993",
    "123456789012345678901234567890",
    "5e-9",
    "1.0",
];

const NUMBER_WORDS: [&str; 16] = [
    "1", "0", "-2.5", "1.50", "-9999", "1e400", " 3 ", "+7", "5.", ".5", "1.0e9", "-0", "007",
    "1E2", "2", "1.5",
];

const WORDS: [&str; 20] = [
    "", "na", "NA", "None", "none", "null", "NULL", "NaN", "nan", "Infinity", "inf", "2d", "0x1p1",
    "1_000", "1,5", "abc", "ABC", "男", "true", "1_",
];

/// Mostly numbers, near `interesting` ones too; some text, some nonsense.
pub(crate) fn random_value(dice: &mut Dice<'_>, interesting: &[f64]) -> Value {
    match dice.below(24) {
        0..=4 => number(dice.hundredths()),
        5..=8 => Value::Json((dice.hundredths() as i64).to_string()),
        9..=14 if !interesting.is_empty() => {
            let pivot = dice.pick(interesting);
            let slack = pivot + 1e-8;
            let near = [
                pivot,
                slack,
                slack.next_up(),
                slack.next_down(),
                pivot.next_up(),
                pivot.next_down(),
                pivot + 5e-9,
                pivot + 2e-8,
            ];
            let value = dice.pick(&near);
            match dice.below(3) {
                0 => Value::Text(value.to_string()),
                1 => Value::Text(format!("{value:e}")),
                _ => number(value),
            }
        }
        9..=14 => Value::Text(dice.hundredths().to_string()),
        15..=16 => Value::Json(dice.pick(&TOKENS).to_owned()),
        17..=19 => Value::text_of(dice.pick(&NUMBER_WORDS)),
        20..=22 => Value::text_of(dice.pick(&WORDS)),
        _ => dice.pick(&[
            Value::Null,
            Value::Bool(true),
            Value::Bool(false),
            Value::Nested,
        ]),
    }
}

/// A JSON number of that value.
pub(crate) fn number(value: f64) -> Value {
    Value::Json(format!("{value:?}"))
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

const NAMES: [&str; 10] = [
    "x0",
    "年龄",
    "Age",
    "age",
    "od280/od315 of wines",
    "p.q#1",
    "007",
    "7",
    "quo\"te\\",
    "\u{1f600} é",
];

/// Any text may name a column.
pub(crate) fn columns(dice: &mut Dice<'_>, count: usize) -> Vec<String> {
    let first = dice.below(NAMES.len());
    let names = NAMES.iter().cycle().skip(first).take(count);
    names.map(|&name| name.to_owned()).collect()
}

/// `1.11.4` as numbers; a model that does not tell counts as the latest.
/// What a dense row leaves out when it becomes a sparse vector (consts.py `FLOAT_ZERO`).
pub(crate) fn float_zero(version: &str) -> f64 {
    if release(version) < (1, 5, 0) {
        1e-6
    } else {
        1e-8
    }
}

pub(crate) fn release(version: &str) -> (u32, u32, u32) {
    let mut parts = version.split('.').filter_map(|part| part.parse().ok());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(major), Some(minor), Some(patch)) => (major, minor, patch),
        _ => (1, 99, 0),
    }
}
