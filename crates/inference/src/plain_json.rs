//! Rows as clients write them, read in one pass: an object of names without escapes and of values that are neither arrays
//! nor objects. Whatever else JSON allows, and whatever is none, is left to serde_json.

use std::borrow::Cow;

use crate::{Cell, cell::Spelling};

/// Gives every member of the object that `text` begins with to `member`; what follows the object is not looked at.
/// `None`: it is not of the plain kind, and what was given away so far may be repeated.
pub(crate) fn members<'a>(text: &'a str, mut member: impl FnMut(&'a str, Cell<'a>)) -> Option<()> {
    let mut reader = Reader { text, at: 0 };
    reader.skip_space();
    reader.expect(b'{')?;
    reader.skip_space();
    if reader.peek()? == b'}' {
        return Some(());
    }
    loop {
        let name = reader.string()?;
        reader.skip_space();
        reader.expect(b':')?;
        reader.skip_space();
        member(name, reader.value()?);
        reader.skip_space();
        match reader.next()? {
            b',' => reader.skip_space(),
            b'}' => return Some(()),
            _ => return None,
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// A string without escapes; what is between its quotes.
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let rest = self.text.as_bytes().get(self.at..)?;
        let length = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        let string = self.text.get(self.at..self.at + length)?;
        self.at += length;
        self.expect(b'"')?;
        Some(string)
    }

    fn value(&mut self) -> Option<Cell<'a>> {
        match self.peek()? {
            b'"' => Some(Cell::Text(Cow::Borrowed(self.string()?))),
            b't' => self.word("true", Cell::Bool(true)),
            b'f' => self.word("false", Cell::Bool(false)),
            b'n' => self.word("null", Cell::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, cell: Cell<'a>) -> Option<Cell<'a>> {
        let rest = self.text.get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word).then_some(cell)
    }

    fn number(&mut self) -> Option<Cell<'a>> {
        let start = self.at;
        let mut decimal = Decimal::default();
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let whole = self.digits(&mut decimal)?;
        if whole > 1 && self.text.as_bytes().get(self.at - whole) == Some(&b'0') {
            return None;
        }
        let mut is_integer = true;
        let mut fraction = 0;
        if self.peek() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            fraction = self.digits(&mut decimal)?;
        }
        let has_power = matches!(self.peek(), Some(b'e' | b'E'));
        if has_power {
            is_integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits(&mut Decimal::default())?;
        }
        let token = self.text.get(start..self.at)?;
        let value = match decimal
            .exact(whole + fraction, fraction)
            .filter(|_| !has_power)
        {
            Some(value) if token.starts_with('-') => -value,
            Some(value) => value,
            // It rounds correctly and takes 1e400 to infinity, as Java does.
            None => token.parse().ok()?,
        };
        // -0 is the integer 0 in Java.
        let value = if is_integer && value == 0.0 {
            0.0
        } else {
            value
        };
        Some(Cell::Number(value, Spelling::Token(token)))
    }

    /// How many digits there are; at least one.
    fn digits(&mut self, decimal: &mut Decimal) -> Option<usize> {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            decimal.push(digit - b'0');
            self.at += 1;
        }
        (self.at > start).then_some(self.at - start)
    }
}

/// Digits as a whole number, right as long as there are no more than [`Decimal::DIGITS`].
#[derive(Default)]
struct Decimal(u64);

impl Decimal {
    const DIGITS: usize = 19;
    /// Whole numbers up to here are doubles.
    const LARGEST: u64 = 1 << 53;

    fn push(&mut self, digit: u8) {
        self.0 = self.0.wrapping_mul(10).wrapping_add(u64::from(digit));
    }

    /// The number with its last `fraction` digits behind the point, where one division of doubles, which rounds correctly,
    /// gives it.
    #[allow(clippy::cast_precision_loss, reason = "up to 2^53 nothing is lost")]
    fn exact(&self, digits: usize, fraction: usize) -> Option<f64> {
        let is_exact = digits <= Self::DIGITS && self.0 <= Self::LARGEST;
        let power = POWERS.get(fraction).filter(|_| is_exact)?;
        Some(self.0 as f64 / power)
    }
}

/// Powers of ten that are doubles.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
