//! JSON as programs write it, passed over in one walk and without copies: strings without escapes, lists and objects that are
//! not too deep. Whatever else JSON allows, and whatever is none, is left to serde_json: here it is `None`.
//!
//! Functions take a position in the text and give the one behind what they passed over.

/// Deeper than whatever clients nest.
const DEEPEST: u32 = 64;

/// Which bytes end a stretch of a string: its closing quote, an escape, and what must be escaped.
const ENDS_STRETCH: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Behind white space.
#[inline]
pub fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// Behind a string without escapes. What is between its quotes is `text[at + 1..end - 1]`.
#[inline]
pub fn string(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut end = at + 1;
    while !ENDS_STRETCH[usize::from(*text.get(end)?)] {
        end += 1;
        if end - at == SHORT {
            end = long_stretch(text, end);
        }
    }
    (text[end] == b'"').then_some(end + 1)
}

/// Most strings are shorter.
const SHORT: usize = 32;

/// Behind all blocks from a place on in which no byte ends a stretch; in vectors.
fn long_stretch(text: &[u8], mut at: usize) -> usize {
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<32>) {
        let ends = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < 0x20;
        if block.iter().fold(false, |any, byte| any | ends(byte)) {
            break;
        }
        at += block.len();
    }
    at
}

/// Behind a name and its colon, where the value begins; and where the name ended.
#[inline]
pub fn name(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let end = string(text, at)?;
    let colon = space(text, end);
    (text.get(colon) == Some(&b':')).then(|| (end, space(text, colon + 1)))
}

/// Behind a value.
pub fn value(text: &[u8], mut at: usize) -> Option<usize> {
    // What the value is in, a bit each, the innermost last: whether it is an object.
    let (mut around, mut depth) = (0_u64, 0);
    loop {
        let byte = *text.get(at)?;
        match byte {
            b'"' => at = string(text, at)?,
            b'-' | b'0'..=b'9' => at = number(text, at)?,
            b'{' | b'[' => {
                let is_object = byte == b'{';
                at = space(text, at + 1);
                let is_empty = *text.get(at)? == if is_object { b'}' } else { b']' };
                if is_empty {
                    at += 1;
                } else if depth == DEEPEST {
                    return None;
                } else {
                    around = around << 1 | u64::from(is_object);
                    depth += 1;
                    if is_object {
                        at = name(text, at)?.1;
                    }
                    continue;
                }
            }
            _ => at = word(text, at)?,
        }
        // A value has ended, and perhaps what it is in.
        loop {
            if depth == 0 {
                return Some(at);
            }
            at = space(text, at);
            let is_object = around & 1 == 1;
            match *text.get(at)? {
                b',' => {
                    at = space(text, at + 1);
                    if is_object {
                        at = name(text, at)?.1;
                    }
                    break;
                }
                b'}' if is_object => at += 1,
                b']' if !is_object => at += 1,
                _ => return None,
            }
            around >>= 1;
            depth -= 1;
        }
    }
}

/// Behind `true`, `false` or `null`.
fn word(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let words: [&[u8]; 3] = [b"true", b"false", b"null"];
    let word = words.into_iter().find(|word| rest.starts_with(word))?;
    Some(at + word.len())
}

/// Behind a number.
fn number(text: &[u8], mut at: usize) -> Option<usize> {
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at) {
        Some(b'0') => at + 1,
        _ => digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(text, at)?;
    }
    Some(at)
}

/// Behind digits, of which there must be one.
#[inline]
fn digits(text: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while let Some(b'0'..=b'9') = text.get(end) {
        end += 1;
    }
    (end > at).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(text: &str) -> Option<&str> {
        value(text.as_bytes(), 0).map(|end| &text[end..])
    }

    #[test]
    fn values_end_where_they_end() {
        for text in [
            "1",
            "-0.5e+7",
            "\"\"",
            "\"年 \"",
            "true",
            "false",
            "null",
            "[]",
            "[ ]",
            "{}",
            "[[],{}]",
            "{ \"a\" : [ 1 , { \"b\" : null } ] , \"\" : -0 }",
        ] {
            assert_eq!(behind(&format!("{text},")), Some(","), "{text}");
            assert_eq!(behind(text), Some(""), "{text}");
        }
        // A second digit is not a number's: whoever reads on finds neither a comma nor a brace.
        assert_eq!(behind("01"), Some("1"));
    }

    #[test]
    fn long_strings_end_where_short_ones_do() {
        for length in 0..200 {
            let text = format!("\"{}\",", "\u{5e74}".repeat(length));
            assert_eq!(string(text.as_bytes(), 0), Some(text.len() - 1));
            for odd in ["\\n", "\t", "\u{1f}"] {
                let text = format!("\"{}{odd}{}\"", "a".repeat(length), "b".repeat(40));
                assert_eq!(string(text.as_bytes(), 0), None, "{text}");
            }
            assert_eq!(string(&text.as_bytes()[..text.len() - 2], 0), None);
        }
    }

    #[test]
    fn what_is_not_plain_is_left_alone() {
        for text in [
            "",
            "-",
            "1.",
            "1e",
            "+1",
            ".5",
            "tru",
            "nul",
            "\"",
            "\"a\\n\"",
            "\"\t\"",
            "[",
            "[1",
            "[1,]",
            "[1}",
            "{\"a\":1]",
            "{\"a\"}",
            "{1:1}",
            "{\"a\":1,}",
            "{,}",
        ] {
            assert_eq!(behind(text), None, "{text}");
        }
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(behind(&nested(64)), Some(""));
        assert_eq!(behind(&nested(65)), None);
    }
}
