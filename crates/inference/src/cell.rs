//! One feature value, as it arrived or as a component left it.

use std::borrow::Cow;

use fate_domain::java_number::{double_to_string, parse_double, parse_int};

/// A feature value. Components look at text as well as numbers (missing tokens, one-hot categories), so both survive.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Cell<'a> {
    /// The name was not in the row.
    #[default]
    Absent,
    /// JSON null, or found missing by a component.
    Null,
    /// JSON true or false.
    Bool(bool),
    /// A number.
    Number(f64, Spelling<'a>),
    /// Text, unescaped.
    Text(Cow<'a, str>),
    /// An array or an object, or text that its column's type does not take: never a number, never a token.
    Nested,
    /// A position that a sparse row leaves out: zero in every sum, but not a value that gets binned (contract 02 B2.11).
    ImplicitZero,
}

/// How a number was written, as far as anybody asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spelling<'a> {
    /// A JSON number token.
    Token(&'a str),
    /// A double from a feature source or from arithmetic; prints as Java's `Double.toString`.
    Double,
    /// An integer made by a component (a bin index).
    Integer,
    /// Text with a number in it (a replacement value): prints as it stands, `1.50`.
    Text(&'a str),
}

impl Cell<'_> {
    /// A double.
    pub(crate) fn double(value: f64) -> Self {
        Cell::Number(value, Spelling::Double)
    }

    /// The number that arithmetic sees, Java's `parseDouble(v.toString())` (contract 02 A1.2); none where that throws.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Cell::Number(value, _) => Some(*value),
            Cell::ImplicitZero => Some(0.0),
            Cell::Text(text) => parse_double(text),
            Cell::Absent | Cell::Null | Cell::Bool(_) | Cell::Nested => None,
        }
    }

    /// Java's `toString`, for comparison with tokens; none for null and absent cells.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Cell::Absent | Cell::Null | Cell::Nested => None,
            Cell::Bool(true) => Some("true".into()),
            Cell::Bool(false) => Some("false".into()),
            Cell::Text(text) => Some(Cow::Borrowed(text)),
            Cell::ImplicitZero => Some("0".into()),
            Cell::Number(value, Spelling::Token(token)) => Some(java_token_text(*value, token)),
            Cell::Number(_, Spelling::Text(text)) => Some(Cow::Borrowed(text)),
            Cell::Number(value, Spelling::Double) => Some(double_to_string(*value).into()),
            Cell::Number(value, Spelling::Integer) => Some(format!("{value:.0}").into()),
        }
    }

    /// Java's `Integer.parseInt(v.toString())` (contract 02 A1.3).
    pub(crate) fn java_int(&self) -> Option<i32> {
        match self {
            Cell::Number(value, Spelling::Integer) => Some(*value as i32),
            Cell::Number(_, Spelling::Double) => None,
            Cell::Number(_, Spelling::Token(token)) if !is_integer_token(token) => None,
            _ => self.text().and_then(|text| parse_int(&text)),
        }
    }

    /// No value: absent, or found missing.
    pub(crate) fn is_missing(&self) -> bool {
        match self {
            Cell::Absent | Cell::Null => true,
            Cell::Number(value, _) => value.is_nan(),
            _ => false,
        }
    }
}

/// JSON tells integers from doubles by their spelling.
pub(crate) fn is_integer_token(token: &str) -> bool {
    !token.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

fn java_token_text(value: f64, token: &str) -> Cow<'_, str> {
    match (is_integer_token(token), token) {
        (true, "-0") => "0".into(),
        (true, token) => token.into(),
        (false, _) => double_to_string(value).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Cell<'_> {
        Cell::Number(text.parse().unwrap(), Spelling::Token(text))
    }

    #[test]
    fn text_is_what_java_prints() {
        for (cell, text) in [
            (token("-9999"), "-9999"),
            (token("-9999.0"), "-9999.0"),
            (token("1000000000.0"), "1.0E9"),
            (token("-0"), "0"),
            (Cell::double(1e-5), "1.0E-5"),
            (Cell::Number(3.0, Spelling::Integer), "3"),
            (Cell::Number(1.5, Spelling::Text("1.50")), "1.50"),
            (Cell::Bool(true), "true"),
        ] {
            assert_eq!(cell.text().unwrap(), text);
        }
        assert_eq!(Cell::Null.text(), None);
    }

    #[test]
    fn only_integers_are_java_integers() {
        assert_eq!(token("1").java_int(), Some(1));
        assert_eq!(token("1.0").java_int(), None);
        assert_eq!(Cell::Text("2".into()).java_int(), Some(2));
        assert_eq!(Cell::Text("1.0".into()).java_int(), None);
        assert_eq!(token("3000000000").java_int(), None);
        assert_eq!(Cell::Null.java_int(), None);
    }
}
