//! Tokens that stand for a missing value or an outlier, compared as text (contract 02 A4).

use std::collections::BTreeSet;

use fate_domain::java_number::parse_double;

use crate::{Cell, Semantics, cell::Spelling, python_number::parse_float};

/// A compiled token list.
#[derive(Debug, Clone)]
pub(crate) struct Sentinels {
    texts: BTreeSet<Box<str>>,
    /// A bit for each length that a token has, the last one for all longer ones too: hardly any value has one.
    lengths: u64,
    /// The tokens that are numbers, so that a JSON number can meet them without being printed.
    numbers: Vec<f64>,
    semantics: Semantics,
}

impl Sentinels {
    pub(crate) fn new<T: AsRef<str>>(
        tokens: impl IntoIterator<Item = T>,
        semantics: Semantics,
    ) -> Self {
        let texts: BTreeSet<Box<str>> = tokens
            .into_iter()
            .map(|token| token.as_ref().into())
            .collect();
        let parse = match semantics {
            Semantics::Fate => parse_float,
            Semantics::Java => parse_double,
        };
        let numbers = texts.iter().filter_map(|token| parse(token)).collect();
        let lengths = texts.iter().fold(0, |bits, text| bits | length_bit(text));
        Sentinels {
            texts,
            lengths,
            numbers,
            semantics,
        }
    }

    /// Whether the cell's value is one of the tokens. Absent cells and nulls are the caller's business.
    pub(crate) fn contains(&self, cell: &Cell<'_>) -> bool {
        match (self.semantics, cell) {
            (_, Cell::Absent | Cell::Null | Cell::Nested | Cell::ImplicitZero) => false,
            (Semantics::Fate, Cell::Number(value, spelling)) => self.has_number(*value, spelling),
            (Semantics::Fate, Cell::Text(text)) => self.has_text(text),
            (Semantics::Java, Cell::Number(value, _)) if !self.may_match_number(*value) => false,
            (Semantics::Java, cell) => cell.text().is_some_and(|text| self.has_lower_case(&text)),
            (Semantics::Fate, Cell::Bool(_)) => false,
        }
    }

    /// Offline every value is text; a number sent as JSON meets a token that names the same number.
    fn has_number(&self, value: f64, spelling: &Spelling<'_>) -> bool {
        self.numbers
            .iter()
            .any(|number| number.to_bits() == value.to_bits() || *number == value)
            || matches!(spelling, Spelling::Token(text) | Spelling::Text(text) if self.has_text(text))
    }

    /// Printing a double is dear; no token can match it unless one parses to the same number.
    fn may_match_number(&self, value: f64) -> bool {
        self.numbers
            .iter()
            .any(|number| *number == value || (number.is_nan() && value.is_nan()))
            || (!value.is_finite() && !self.texts.is_empty())
    }

    pub(crate) fn has_text(&self, text: &str) -> bool {
        self.lengths & length_bit(text) != 0 && self.texts.contains(text)
    }

    /// Whether the text in lower case is a token.
    pub(crate) fn has_lower_case(&self, text: &str) -> bool {
        if text
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
        {
            self.texts.contains(text.to_lowercase().as_str())
        } else {
            self.texts.contains(text)
        }
    }
}

fn length_bit(text: &str) -> u64 {
    1 << text.len().min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(semantics: Semantics, tokens: &[&str], cell: Cell<'_>) -> bool {
        Sentinels::new(tokens, semantics).contains(&cell)
    }

    fn json(token: &str) -> Cell<'_> {
        Cell::Number(token.parse().unwrap(), Spelling::Token(token))
    }

    /// The sentinel table of contract 02 A4 (E13).
    #[test]
    fn java_compares_printed_lower_case_text() {
        use Semantics::Java;
        assert!(matches(Java, &["-9999"], json("-9999")));
        assert!(matches(Java, &["-9999"], Cell::Text("-9999".into())));
        assert!(!matches(Java, &["-9999"], json("-9999.0")));
        assert!(matches(Java, &["1.0e9"], json("1000000000.0")));
        assert!(!matches(Java, &["NA"], Cell::Text("NA".into())));
        assert!(matches(Java, &["na"], Cell::Text("Na".into())));
        assert!(matches(Java, &["nan"], Cell::Text("NaN".into())));
        assert!(!matches(Java, &["-9999"], Cell::Null));
    }

    #[test]
    fn fate_compares_text_exactly_and_numbers_by_value() {
        use Semantics::Fate;
        assert!(matches(Fate, &["NA"], Cell::Text("NA".into())));
        assert!(matches(Fate, &["-9999"], json("-9999")));
        assert!(matches(Fate, &["-9999"], Cell::double(-9999.0)));
        assert!(!matches(Fate, &["-9999"], Cell::Text("-9999.0".into())));
        let (long, longer) = ("x".repeat(70), "x".repeat(80));
        assert!(matches(
            Fate,
            &["", &long],
            Cell::Text(long.as_str().into())
        ));
        assert!(matches(Fate, &["", &long], Cell::Text("".into())));
        assert!(!matches(Fate, &["", &long], Cell::Text(longer.into())));
    }
}
