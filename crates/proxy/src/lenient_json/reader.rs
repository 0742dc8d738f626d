//! From text to values.

use std::collections::HashMap;

use super::{Node, Position, Value};

/// Larger texts are refused: a route table of a thousand parties has a few hundred KiB.
pub const MAX_BYTES: usize = 8 << 20;

/// Nesting that is followed; a route table needs six levels.
const MAX_DEPTH: usize = 64;

/// Values of one text: each takes many times the memory of the character that may be all there is of it. A table of ten
/// thousand parties has some 200,000.
const MAX_VALUES: usize = 1 << 20;

/// What is not JSON even to a lenient reader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct SyntaxError {
    /// Where reading stopped.
    pub at: Position,
    /// What was expected.
    pub message: String,
}

/// Reads the first value of a text. Bytes that are no UTF-8 become U+FFFD, as in Java, so that a comment in another
/// encoding does no harm.
///
/// # Errors
/// The text is not JSON, is nested too deeply, has too many values, or is larger than [`MAX_BYTES`].
pub fn parse(bytes: &[u8]) -> Result<Node, SyntaxError> {
    let text = String::from_utf8_lossy(bytes.get(..MAX_BYTES).unwrap_or(bytes));
    let mut reader = Reader::new(&text);
    if bytes.len() > MAX_BYTES {
        return Err(reader.error(format!("the text is larger than {MAX_BYTES} bytes")));
    }
    reader.skip_prefix();
    reader.skip_blanks()?;
    reader.value(MAX_DEPTH)
}

struct Reader<'a> {
    rest: std::str::Chars<'a>,
    at: Position,
    values: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            rest: text.trim_start_matches('\u{feff}').chars(),
            at: Position { line: 1, column: 1 },
            values: 0,
        }
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError {
            at: self.at,
            message: message.into(),
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let char = self.rest.next()?;
        if char == '\n' {
            self.at.line += 1;
            self.at.column = 1;
        } else {
            self.at.column += 1;
        }
        Some(char)
    }

    fn skip(&mut self, text: &str) -> bool {
        let found = self.rest.as_str().starts_with(text);
        if found {
            for _ in text.chars() {
                self.next();
            }
        }
        found
    }

    /// What some servers put in front of JSON against inclusion as a script; Gson skips it.
    fn skip_prefix(&mut self) {
        self.skip(")]}'\n");
    }

    fn skip_blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r' | '\n') => {
                    self.next();
                }
                Some('#') => self.skip_line(),
                Some('/') if self.rest.as_str().starts_with("//") => self.skip_line(),
                Some('/') if self.rest.as_str().starts_with("/*") => self.skip_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.peek().is_some_and(|char| !matches!(char, '\n' | '\r')) {
            self.next();
        }
    }

    fn skip_comment(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        self.skip("/*");
        while !self.skip("*/") {
            if self.next().is_none() {
                return Err(SyntaxError {
                    at: start,
                    message: "the comment does not end".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The reader stands on the first character.
    fn value(&mut self, depth: usize) -> Result<Node, SyntaxError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.error(format!("nested more than {MAX_DEPTH} levels deep")));
        };
        self.count_value()?;
        let at = self.at;
        let value = match self.peek() {
            None => return Err(self.error("a value is expected, but the text ends")),
            Some('{') => self.object(depth)?,
            Some('[') => self.list(depth)?,
            Some(quote @ ('"' | '\'')) => Value::Text(self.quoted(quote)?),
            Some(_) => self.unquoted_value()?,
        };
        Ok(Node { at, value })
    }

    fn count_value(&mut self) -> Result<(), SyntaxError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.error(format!("there are more than {MAX_VALUES} values")));
        }
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.next();
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        self.skip_blanks()?;
        if self.skip("}") {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_blanks()?;
            let name = self.name()?;
            self.name_separator()?;
            self.skip_blanks()?;
            let node = self.value(depth)?;
            match places.get(&name).and_then(|place| members.get_mut(*place)) {
                Some(known) => known.1 = node,
                None => {
                    places.insert(name.clone(), members.len());
                    members.push((name, node));
                }
            }
            self.skip_blanks()?;
            match self.peek() {
                Some('}') => {
                    self.next();
                    return Ok(Value::Object(members));
                }
                Some(',' | ';') => {
                    self.next();
                }
                _ => return Err(self.error("`,` or `}` is expected after a member")),
            }
        }
    }

    fn name(&mut self) -> Result<String, SyntaxError> {
        match self.peek() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            Some(char) if is_literal(char) => Ok(self.unquoted()),
            _ => Err(self.error("a name is expected")),
        }
    }

    fn name_separator(&mut self) -> Result<(), SyntaxError> {
        self.skip_blanks()?;
        if self.skip(":") || self.skip("=>") || self.skip("=") {
            return Ok(());
        }
        Err(self.error("`:` is expected after a name"))
    }

    /// A place without a value, as in `[1,,2]` or `[1,]`, is null.
    fn list(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.next();
        let mut items = Vec::new();
        self.skip_blanks()?;
        if self.skip("]") {
            return Ok(Value::List(items));
        }
        loop {
            self.skip_blanks()?;
            items.push(match self.peek() {
                Some(',' | ';' | ']') => {
                    self.count_value()?;
                    Node {
                        at: self.at,
                        value: Value::Null,
                    }
                }
                _ => self.value(depth)?,
            });
            self.skip_blanks()?;
            match self.peek() {
                Some(']') => {
                    self.next();
                    return Ok(Value::List(items));
                }
                Some(',' | ';') => {
                    self.next();
                }
                _ => return Err(self.error("`,` or `]` is expected after an item")),
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let start = self.at;
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => {
                    return Err(SyntaxError {
                        at: start,
                        message: "the text does not end".to_owned(),
                    });
                }
                Some(char) if char == quote => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(char) => text.push(char),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let at = self.at;
        let wrong = move |message: &str| SyntaxError {
            at,
            message: message.to_owned(),
        };
        Ok(match self.next() {
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('f') => '\u{c}',
            Some(char @ ('\n' | '\'' | '"' | '\\' | '/')) => char,
            Some('u') => {
                let first = self.four_digits()?;
                let is_high = (0xd800..0xdc00).contains(&first);
                let mut units = vec![first];
                if is_high && self.rest.as_str().starts_with("\\u") {
                    self.skip("\\u");
                    units.push(self.four_digits()?);
                }
                let mut chars = char::decode_utf16(units);
                match (chars.next(), chars.next()) {
                    (Some(Ok(char)), None) => char,
                    _ => return Err(wrong("half of a surrogate pair")),
                }
            }
            _ => return Err(wrong("unknown escape after `\\`")),
        })
    }

    fn four_digits(&mut self) -> Result<u16, SyntaxError> {
        let error = self.error("`\\u` needs four hexadecimal digits");
        let mut unit = 0;
        for _ in 0..4 {
            match self.next().and_then(|char| char.to_digit(16)) {
                Some(digit) => unit = unit << 4 | digit,
                None => return Err(error),
            }
        }
        u16::try_from(unit).map_err(|_| error)
    }

    fn unquoted(&mut self) -> String {
        let rest = self.rest.as_str();
        let end = rest.find(|char| !is_literal(char)).unwrap_or(rest.len());
        let text = rest.get(..end).unwrap_or_default().to_owned();
        self.skip(&text);
        text
    }

    fn unquoted_value(&mut self) -> Result<Value, SyntaxError> {
        let text = self.unquoted();
        if text.is_empty() {
            return Err(self.error("a value is expected"));
        }
        Ok(if text.eq_ignore_ascii_case("null") {
            Value::Null
        } else if text.eq_ignore_ascii_case("true") {
            Value::Flag(true)
        } else if text.eq_ignore_ascii_case("false") {
            Value::Flag(false)
        } else if is_number(&text) {
            Value::Number(text)
        } else {
            Value::Text(text)
        })
    }
}

/// Whether the character may be part of unquoted text.
fn is_literal(char: char) -> bool {
    let ends = matches!(
        char,
        '/' | '\\' | ';' | '#' | '=' | '{' | '}' | '[' | ']' | ':' | ','
    );
    !ends && !matches!(char, ' ' | '\t' | '\u{c}' | '\r' | '\n')
}

/// JSON's grammar of numbers.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}
