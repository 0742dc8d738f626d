//! JSON text as Java's mapper would write what it has read (contract 01 §2.1): compact, members without a value left
//! out, the last of equal names, decimals as doubles.

use fate_domain::java_number::{parse_double, write_json_double};
use fate_domain::members::Members;
use serde_json::value::RawValue;

/// Appends a valid JSON text in Java's spelling.
pub(crate) fn write(text: &str, out: &mut Vec<u8>) {
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        rewrite(text.trim(), MAX_DEPTH, out);
    }
}

/// Nesting that is rewritten; what lies deeper stays as it was sent, so that no request can exhaust the stack.
const MAX_DEPTH: usize = 32;

/// Whether Java would write the text as it stands. Says no too often rather than too seldom.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has_odd_byte = bytes
        .iter()
        .any(|byte| byte.is_ascii_whitespace() || matches!(byte, b'\\' | b'n'));
    let has_odd_number = bytes.windows(2).any(|pair| {
        pair[0].is_ascii_digit() && matches!(pair[1], b'.' | b'e' | b'E') || pair == b"-0"
    });
    // Equal names need two members.
    let has_one_member = bytes.iter().filter(|byte| **byte == b':').count() <= 1;
    !has_odd_byte && !has_odd_number && has_one_member
}

fn rewrite(text: &str, depth: usize, out: &mut Vec<u8>) {
    match (text.as_bytes().first(), depth.checked_sub(1)) {
        (Some(b'{'), Some(depth)) => rewrite_object(text, depth, out),
        (Some(b'['), Some(depth)) => rewrite_list(text, depth, out),
        (Some(b'"'), _) => rewrite_text(text, out),
        (Some(b'-' | b'0'..=b'9'), _) => rewrite_number(text, out),
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

fn rewrite_object(text: &str, depth: usize, out: &mut Vec<u8>) {
    let Some(members) = Members::leading(text) else {
        return out.extend_from_slice(b"{}");
    };
    out.push(b'{');
    let mut is_first = true;
    for (name, value) in members.iter().filter(|(_, value)| *value != "null") {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        rewrite(value, depth, out);
    }
    out.push(b'}');
}

fn rewrite_list(text: &str, depth: usize, out: &mut Vec<u8>) {
    let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
    out.push(b'[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        rewrite(item.get(), depth, out);
    }
    out.push(b']');
}

fn rewrite_text(text: &str, out: &mut Vec<u8>) {
    match serde_json::from_str::<String>(text) {
        Ok(value) => write_text(&value, out),
        // A lone surrogate: legal JSON, but no text that could be written otherwise.
        Err(_) => out.extend_from_slice(text.as_bytes()),
    }
}

fn rewrite_number(text: &str, out: &mut Vec<u8>) {
    if text == "-0" {
        return out.push(b'0');
    }
    match parse_double(text) {
        Some(value) if text.contains(['.', 'e', 'E']) => write_json_double(value, out),
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

/// Appends an integer.
pub(crate) fn write_int(value: i32, out: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut start = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        // Below ten.
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends a JSON string.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_what_java_would_write() {
        for (text, expected) in [
            (r#"{"id":"1","n":5,"d":1.5}"#, r#"{"id":"1","n":5,"d":1.5}"#),
            (
                r#"{ "id" : "a b" , "n" : [1, null, {"x":null}] }"#,
                r#"{"id":"a b","n":[1,null,{}]}"#,
            ),
            (
                r#"{"a":1.50,"b":1e5,"c":1e7}"#,
                r#"{"a":1.5,"b":100000.0,"c":1.0E7}"#,
            ),
            (
                r#"{"a":1e400,"b":-0,"c":-0.0}"#,
                r#"{"a":"Infinity","b":0,"c":-0.0}"#,
            ),
            (
                r#"{"n":12345678901234567890}"#,
                r#"{"n":12345678901234567890}"#,
            ),
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#"{"a":null}"#, "{}"),
            (r#"{"\u4eba":"\u0041\""}"#, r#"{"人":"A\""}"#),
            ("{}", "{}"),
        ] {
            assert_eq!(written(text), expected, "{text}");
        }
    }

    #[test]
    fn integers_are_written_as_any_others() {
        for value in [0, 7, -7, 10, -99, 1000, 123_456_789, i32::MAX, i32::MIN] {
            let mut out = Vec::new();
            write_int(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
    }

    #[test]
    fn nesting_without_end_is_passed_on() {
        let text = format!(
            "{{\"a b\":{}1{}}}",
            "[".repeat(200_000),
            "]".repeat(200_000)
        );
        assert_eq!(written(&text), text);
    }
}
