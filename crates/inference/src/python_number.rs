//! Numbers as Python reads them from text: what FATE's offline jobs make of a table's cells.

use std::borrow::Cow;

/// Python's `float(text)`; none where that throws. Unlike Java it takes `inf`, `NAN` and `1_000`, and neither `1.5d` nor
/// hexadecimals. Digits of other scripts are not read.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    // What is left is Rust's grammar.
    without_underscores(trim(text))?.parse().ok()
}

/// Python's `int(text)` as far as a 64-bit column holds it.
pub(crate) fn parse_int(text: &str) -> Option<f64> {
    let integer: i64 = without_underscores(trim(text))?.parse().ok()?;
    Some(integer as f64)
}

fn trim(text: &str) -> &str {
    text.trim_matches(char::is_whitespace)
}

/// An underscore may stand between two digits.
fn without_underscores(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('_') {
        return Some(text.into());
    }
    let bytes = text.as_bytes();
    let is_digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_digit);
    let stands_between_digits = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        is_digit(before) && is_digit(bytes.get(at + 1))
    };
    let mut underscores = (0..bytes.len()).filter(|&at| bytes[at] == b'_');
    underscores
        .all(stands_between_digits)
        .then(|| text.replace('_', "").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line was tried in Python 3.11.
    #[test]
    fn floats_are_pythons() {
        for (text, value) in [
            ("1", 1.0),
            (" 1.5\n", 1.5),
            ("\u{3000}-.5\u{b}", -0.5),
            ("5.", 5.0),
            ("+1e3", 1000.0),
            ("1_000.2_5", 1000.25),
            ("1e1_0", 1e10),
            ("inf", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e400", f64::INFINITY),
            ("007", 7.0),
        ] {
            assert_eq!(parse_float(text), Some(value), "{text:?}");
        }
        for text in ["nan", "NaN", "-NAN", "+nan"] {
            assert!(parse_float(text).unwrap().is_nan(), "{text:?}");
        }
        for text in [
            "", " ", "1.5d", "0x1p1", "0x10", "1,5", "_1", "1_", "1__0", "1_.5", "1e_5", "e5", ".",
            "+-1", "true", "None", "1 2", "\u{1c}1",
        ] {
            assert_eq!(parse_float(text), None, "{text:?}");
        }
    }

    #[test]
    fn integers_are_pythons() {
        for (text, value) in [("12", 12.0), (" +1_2 ", 12.0), ("-0", 0.0), ("007", 7.0)] {
            assert_eq!(parse_int(text), Some(value), "{text:?}");
        }
        for text in ["", "1.0", "1e3", "nan", "0x1", "9223372036854775808", "1_"] {
            assert_eq!(parse_int(text), None, "{text:?}");
        }
    }
}
