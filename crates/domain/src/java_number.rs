//! Numbers as Java reads and writes them (contract 02 A1.2, A1.3; contract 01 §2.1).

/// Java's `Double.toString`, with the shortest digits that read back to the same value.
pub fn double_to_string(value: f64) -> String {
    let mut out = Vec::with_capacity(24);
    write_double(value, &mut out);
    // Everything written above is ASCII.
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends [`double_to_string`].
pub fn write_double(value: f64, out: &mut Vec<u8>) {
    use std::io::Write;
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        let text: &[u8] = if value > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        };
        return out.extend_from_slice(text);
    }
    let magnitude = value.abs();
    let start = out.len();
    // Writing to a vector cannot fail.
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        let _ = write!(out, "{value}");
        if !out[start..].contains(&b'.') {
            out.extend_from_slice(b".0");
        }
    } else {
        let _ = write!(out, "{value:E}");
        if !out[start..].contains(&b'.') {
            let exponent = out[start..].iter().position(|&byte| byte == b'E');
            let at = exponent.map_or(out.len(), |offset| start + offset);
            out.splice(at..at, *b".0");
        }
    }
}

/// Appends a JSON value: a number, or for values that JSON does not have a string, as Java's mappers do.
pub fn write_json_double(value: f64, out: &mut Vec<u8>) {
    if value.is_finite() {
        return write_double(value, out);
    }
    out.push(b'"');
    write_double(value, out);
    out.push(b'"');
}

/// Java's `Double.parseDouble`; `None` where Java throws.
pub fn parse_double(text: &str) -> Option<f64> {
    let trimmed = text.trim_matches(|c: char| c <= '\u{20}');
    let (is_negative, unsigned) = match trimmed.as_bytes().first()? {
        b'-' => (true, &trimmed[1..]),
        b'+' => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    let magnitude = match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" => f64::INFINITY,
        _ => parse_magnitude(unsigned)?,
    };
    Some(if is_negative { -magnitude } else { magnitude })
}

/// A number without sign: decimal or hexadecimal, with an optional type suffix.
fn parse_magnitude(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return parse_hexadecimal(strip_suffix(digits));
    }
    let digits = strip_suffix(text);
    let starts_as_number = digits
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_digit() || byte == b'.');
    // What is left of Rust's grammar is Java's: `inf`, `nan` and a second sign start with something else.
    starts_as_number.then(|| digits.parse().ok())?
}

fn strip_suffix(text: &str) -> &str {
    text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text)
}

/// `hex[.hex]p[+-]digits`, rounded once to the nearest double.
fn parse_hexadecimal(text: &str) -> Option<f64> {
    let (significand, exponent) = text.split_once(['p', 'P'])?;
    let exponent = parse_exponent(exponent)?;
    let (whole, fraction) = significand.split_once('.').unwrap_or((significand, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    // The first 15 significant digits (60 bits) are kept; whatever follows only matters as "something was there",
    // which the lowest bit remembers so that rounding stays right.
    let mut mantissa: u64 = 0;
    let mut dropped: i64 = 0;
    for byte in digits() {
        let digit = u64::from(char::from(byte).to_digit(16)?);
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | digit;
        } else {
            dropped += 4;
            mantissa |= u64::from(digit != 0);
        }
    }
    let point = i64::try_from(fraction.len()).ok()?.checked_mul(4)?;
    Some(scale(
        mantissa,
        exponent.saturating_sub(point).saturating_add(dropped),
    ))
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // An exponent beyond i32 gives zero or infinity anyway, whatever the digits in front of it say.
    let size = digits.parse::<i64>().unwrap_or(i64::MAX).min(1 << 40);
    Some(if text.starts_with('-') { -size } else { size })
}

/// `mantissa * 2^exponent`, rounded half to even, also where the result is subnormal.
fn scale(mantissa: u64, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let bits = 64 - i64::from(mantissa.leading_zeros());
    let top = bits - 1 + exponent;
    if top > 1023 {
        return f64::INFINITY;
    }
    // The weight of the last bit that the result can hold.
    let unit = (top - 52).max(-1074);
    let shift = unit - exponent;
    let rounded = match shift {
        ..=0 => mantissa << shift.unsigned_abs().min(63),
        1..=64 => round_shift(mantissa, shift.unsigned_abs()),
        _ => 0,
    };
    // At most 2^53, exact; both factors are powers of two that exist as doubles.
    let value = rounded as f64;
    if unit >= -1022 {
        value * power_of_two(unit)
    } else {
        value * power_of_two(-1022) * power_of_two(unit + 1022)
    }
}

/// `mantissa / 2^shift`, half to even, for shifts from 1 to 64.
fn round_shift(mantissa: u64, shift: u64) -> u64 {
    let wide = u128::from(mantissa);
    let kept = wide >> shift;
    let rest = wide & ((1_u128 << shift) - 1);
    let half = 1_u128 << (shift - 1);
    let round_up = rest > half || (rest == half && kept & 1 == 1);
    // A 64-bit number shifted right by at least one leaves room for the carry.
    (kept + u128::from(round_up)) as u64
}

/// `2^exponent` for exponents of normal doubles.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023).clamp(1, 2046) as u64) << 52)
}

/// Java's `Integer.parseInt`: ASCII or other decimal digits are the same to Java, ours are ASCII; no blanks.
pub fn parse_int(text: &str) -> Option<i32> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_are_written_as_java_does() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100_000.0, "100000.0"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (1.25e10, "1.25E10"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (6.137_630_494_698_321E-5, "6.137630494698321E-5"),
            (-3.25, "-3.25"),
            (f64::MAX, "1.7976931348623157E308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double_to_string(value), text);
        }
    }

    #[test]
    fn json_has_strings_for_what_it_cannot_say() {
        let written = |value| {
            let mut out = Vec::new();
            write_json_double(value, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(0.5), "0.5");
        assert_eq!(written(f64::NAN), "\"NaN\"");
        assert_eq!(written(f64::NEG_INFINITY), "\"-Infinity\"");
    }

    #[test]
    fn texts_are_read_as_java_does() {
        for (text, value) in [
            (" 1.5 ", 1.5),
            ("\u{0}\t1.5\n", 1.5),
            ("1.5d", 1.5),
            ("1.5F", 1.5),
            ("1e5D", 1e5),
            (".5", 0.5),
            ("5.", 5.0),
            ("-0", -0.0),
            ("+7", 7.0),
            ("1e400", f64::INFINITY),
            ("-1e400", f64::NEG_INFINITY),
            ("1e-400", 0.0),
            ("+Infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x1p1", 2.0),
            ("0X.8P1", 1.0),
            ("-0x1.8p3d", -12.0),
            ("0x1p-1074", f64::from_bits(1)),
            ("0x1p-1075", 0.0),
            ("0x1.00001p-1075", f64::from_bits(1)),
            ("0x1.fffffffffffff8p0", 2.0),
            (
                "0x1.fffffffffffff7p0",
                f64::from_bits(0x3fff_ffff_ffff_ffff),
            ),
            ("0x1.0000000000000800000000000000001p0", 1.0 + f64::EPSILON),
            ("0x1.00000000000008p0", 1.0),
            ("0x1p99999999999999999999", f64::INFINITY),
            ("0x0p99999999999999999999", 0.0),
            ("0x1p-99999999999999999999", 0.0),
        ] {
            let read = parse_double(text).unwrap_or_else(|| panic!("{text:?} is a number"));
            assert_eq!(read.to_bits(), value.to_bits(), "{text:?}");
        }
        for text in ["NaN", "+NaN", "-NaN"] {
            assert!(parse_double(text).unwrap().is_nan());
        }
    }

    #[test]
    fn what_java_refuses_is_refused() {
        for text in [
            "", " ", "inf", "nan", "infinity", "NAN", "1,5", "true", "[1]", "1_0", "--1", "+-1",
            "+", "e5", "1e", "1e+", ".", "d", "1dd", "0x1", "0xp1", "0x.p1", "0x1p", "0x1p1.0",
            "１", "\u{a0}1",
        ] {
            assert_eq!(parse_double(text), None, "{text:?}");
        }
    }

    #[test]
    fn integers_are_plain() {
        assert_eq!(parse_int("-12"), Some(-12));
        assert_eq!(parse_int("+3"), Some(3));
        for text in ["", " 1", "1.0", "2147483648", "1e3", "+", "-"] {
            assert_eq!(parse_int(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_double_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            let read = parse_double(&double_to_string(value)).unwrap();
            prop_assert!(read.to_bits() == value.to_bits() || value.is_nan() && read.is_nan());
        }

        #[test]
        fn no_text_is_too_strange(text: String) {
            let _ = parse_double(&text);
            let _ = parse_int(&text);
        }

        #[test]
        fn every_double_reads_back_from_hexadecimal(bits: u64) {
            let value = f64::from_bits(bits & !(1 << 63));
            prop_assume!(value.is_finite());
            let fraction = bits & ((1 << 52) - 1);
            let exponent = (value.to_bits() >> 52) as i64;
            let text = if exponent == 0 {
                format!("0x0.{fraction:013x}p-1022")
            } else {
                format!("0x1.{fraction:013x}p{}", exponent - 1023)
            };
            prop_assert_eq!(parse_double(&text).unwrap().to_bits(), value.to_bits());
        }
    }
}
