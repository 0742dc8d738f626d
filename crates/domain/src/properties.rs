//! Java `.properties` files (contract 01 §9.1), with the line of every entry for error messages.
//!
//! Unlike Java the text is taken as UTF-8 where it is valid UTF-8, so that values and comments in Chinese survive; only
//! other files are read as ISO-8859-1. Values keep trailing blanks: trimming is a matter of the reader's keys.

/// One `key = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// With escapes resolved.
    pub key: String,
    /// With escapes resolved; trailing blanks belong to it.
    pub value: String,
    /// Line on which the entry starts, from 1.
    pub line: usize,
}

/// The entries of a file in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties {
    entries: Vec<Entry>,
}

/// What is not a properties file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct PropertiesError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl Properties {
    /// The last entry of that key, as Java has it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// All entries in file order, repeated ones too.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }
}

/// Reads a file.
///
/// # Errors
/// A `\u` that four hexadecimal digits do not follow.
pub fn parse(bytes: &[u8]) -> Result<Properties, PropertiesError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    };
    let mut entries = Vec::new();
    for (line, text) in logical_lines(&text) {
        let error = |message| PropertiesError { line, message };
        let (key, value) = split(&text);
        entries.push(Entry {
            key: unescape(key).map_err(error)?,
            value: unescape(value).map_err(error)?,
            line,
        });
    }
    Ok(Properties { entries })
}

/// The text of a file as Java's `Properties.store` writes it, without the line of the date.
pub fn write<'a>(comment: &str, entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = format!("#{}\n", comment.replace(['\n', '\r'], " "));
    for (key, value) in entries {
        escape(key, true, &mut text);
        text.push('=');
        escape(value, false, &mut text);
        text.push('\n');
    }
    text
}

/// Of blanks, a value's first one is escaped only.
fn escape(part: &str, is_key: bool, out: &mut String) {
    for (position, c) in part.chars().enumerate() {
        match c {
            ' ' if is_key || position == 0 => out.push_str("\\ "),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\u{c}' => out.push_str("\\f"),
            '\\' | '=' | ':' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04X}"));
                }
            }
        }
    }
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// Lines with continuations joined, without comments and blank lines, each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let unix = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut natural = unix.split('\n').enumerate();
    let mut lines = Vec::new();
    while let Some((position, line)) = natural.next() {
        let line = line.trim_start_matches(BLANKS);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut joined = line.to_owned();
        while ends_with_open_escape(&joined) {
            joined.pop();
            match natural.next() {
                Some((_, next)) => joined.push_str(next.trim_start_matches(BLANKS)),
                None => break,
            }
        }
        lines.push((position + 1, joined));
    }
    lines
}

fn ends_with_open_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// The key ends at the first `=`, `:` or blank that is not escaped; one `=` or `:` may stand among the blanks after it.
fn split(line: &str) -> (&str, &str) {
    let mut is_escaped = false;
    let end = line
        .find(|c: char| {
            let ends = !is_escaped && (matches!(c, '=' | ':') || BLANKS.contains(&c));
            is_escaped = !is_escaped && c == '\\';
            ends
        })
        .unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(BLANKS);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(BLANKS))
}

fn unescape(text: &str) -> Result<String, String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let plain = match c {
            '\\' => match rest.next() {
                None => break,
                Some('u') => {
                    units.push(unicode_escape(&mut rest)?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
            },
            other => other,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    Ok(String::from_utf16_lossy(&units))
}

fn unicode_escape(rest: &mut std::str::Chars<'_>) -> Result<u16, String> {
    let digits: String = rest.by_ref().take(4).collect();
    let is_whole = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_whole
        .then(|| u16::from_str_radix(&digits, 16).ok())
        .flatten()
        .ok_or_else(|| format!("`\\u{digits}` is not \\u and four hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        let read = parse(text.as_bytes()).unwrap();
        read.iter()
            .map(|entry| (entry.key.clone(), entry.value.clone(), entry.line))
            .collect()
    }

    fn pair(text: &str) -> (String, String) {
        let mut all = pairs(text);
        assert_eq!(all.len(), 1, "{text:?}: {all:?}");
        let (key, value, _) = all.remove(0);
        (key, value)
    }

    #[test]
    fn separators_and_blanks() {
        for text in [
            "a=b",
            "a = b",
            "a:b",
            "  a\t:\t b",
            "a b",
            "a\u{c}b",
            "\ta   =b",
        ] {
            assert_eq!(pair(text), ("a".into(), "b".into()), "{text:?}");
        }
        assert_eq!(pair("port=8000 "), ("port".into(), "8000 ".into()));
        assert_eq!(pair("a==b"), ("a".into(), "=b".into()));
        assert_eq!(pair("a"), ("a".into(), String::new()));
        assert_eq!(pair("=b"), (String::new(), "b".into()));
        assert_eq!(
            pair("url=http://x:1/#y"),
            ("url".into(), "http://x:1/#y".into())
        );
    }

    #[test]
    fn escapes() {
        assert_eq!(pair(r"a\=b\:c\ d=e"), ("a=b:c d".into(), "e".into()));
        assert_eq!(
            pair(r"a=\u4e2d\u0041\t\q\\"),
            ("a".into(), "中A\tq\\".into())
        );
        assert_eq!(pair(r"a=\uD83D\uDE00"), ("a".into(), "\u{1F600}".into()));
        assert_eq!(pair(r"a\\=b"), ("a\\".into(), "b".into()));
    }

    #[test]
    fn comments_continuations_and_lines() {
        let text = "# c\r\n! c \\\n\n a = 1,\\\r\n     2,\\\n\t3\nb=2\\\\\nc=\\";
        assert_eq!(
            pairs(text),
            [
                ("a".into(), "1,2,3".into(), 4),
                ("b".into(), "2\\".into(), 7),
                ("c".into(), String::new(), 8)
            ]
        );
        assert!(pairs("").is_empty());
    }

    #[test]
    fn the_last_of_a_key_wins() {
        let read = parse(b"a=1\na=2\n").unwrap();
        assert_eq!(
            read.get("a")
                .map(|entry| (entry.value.as_str(), entry.line)),
            Some(("2", 2))
        );
        assert_eq!(read.get("b"), None);
    }

    #[test]
    fn other_charsets_are_latin() {
        assert_eq!(pair("\u{feff}名=值"), ("名".into(), "值".into()));
        let read = parse(b"a=\xe9").unwrap();
        assert_eq!(read.get("a").map(|entry| entry.value.as_str()), Some("é"));
    }

    #[test]
    fn a_broken_escape_names_its_line() {
        for text in [r"a=\u12", r"a=\u12g4", r"a=\u", r"a=\u+123"] {
            let error = parse(format!("x=1\n{text}").as_bytes()).unwrap_err();
            assert_eq!(error.line, 2, "{text}");
        }
    }

    #[test]
    fn written_as_java_stores_it() {
        let entries = [(" a b:=", "  x = 服#!\\\t"), ("k", "")];
        let text = write("Fate Registry Cache", entries);
        let java = "#Fate Registry Cache\n\\ a\\ b\\:\\==\\  x \\= \\u670D\\#\\!\\\\\\t\nk=\n";
        assert_eq!(text, java);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(key: String, value: String) {
            let text = write("c\nd", [(key.as_str(), value.as_str())]);
            let read = parse(text.as_bytes()).unwrap();
            let pairs: Vec<_> = read.iter().map(|one| (one.key.as_str(), one.value.as_str())).collect();
            prop_assert_eq!(pairs, vec![(key.as_str(), value.as_str())]);
        }

        #[test]
        fn no_file_is_too_strange(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
