//! Rows as clients write them, read in one pass: an object of names without escapes and of values that are neither arrays
//! nor objects. Whatever else JSON allows, and whatever is none, is left to serde_json.

use std::borrow::Cow;

use fate_domain::plain_json::{name, space, string};

use crate::{Cell, cell::Spelling};

/// The members of an object, one by one. `None` from any of its functions: the text is not of the plain kind, and whoever
/// reads begins again with another reader.
pub(crate) struct Members<'a> {
    text: &'a str,
    at: usize,
    is_first: bool,
}

impl<'a> Members<'a> {
    /// Those of the object that `text` begins with; what follows the object is not looked at.
    pub(crate) fn of(text: &'a str) -> Option<Self> {
        let at = space(text.as_bytes(), 0);
        let is_object = text.as_bytes().get(at) == Some(&b'{');
        is_object.then_some(Members {
            text,
            at: at + 1,
            is_first: true,
        })
    }

    /// Whether there is another one; its name comes next.
    pub(crate) fn has_next(&mut self) -> Option<bool> {
        self.skip_space();
        let is_first = std::mem::take(&mut self.is_first);
        match self.peek()? {
            b'}' => Some(false),
            b',' if !is_first => {
                self.at += 1;
                self.skip_space();
                Some(true)
            }
            _ => is_first.then_some(true),
        }
    }

    /// Passes over the name and its colon if they are spelled so.
    pub(crate) fn skip_name(&mut self, spelled: &str) -> bool {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is_next = rest.starts_with(spelled.as_bytes());
        if is_next {
            self.at += spelled.len();
        }
        is_next
    }

    /// The name; passes over its colon, too.
    pub(crate) fn name(&mut self) -> Option<&'a str> {
        let (end, value) = name(self.text.as_bytes(), self.at)?;
        let name = self.text.get(self.at + 1..end - 1)?;
        self.at = value;
        Some(name)
    }

    /// The value behind the colon.
    pub(crate) fn value(&mut self) -> Option<Cell<'a>> {
        self.skip_space();
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => {
                let start = self.at + 1;
                self.at = string(self.text.as_bytes(), self.at)?;
                let text = self.text.get(start..self.at - 1)?;
                Some(Cell::Text(Cow::Borrowed(text)))
            }
            b't' => self.word("true", Cell::Bool(true)),
            b'f' => self.word("false", Cell::Bool(false)),
            b'n' => self.word("null", Cell::Null),
            _ => None,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        self.at = space(self.text.as_bytes(), self.at);
    }

    fn word(&mut self, word: &str, cell: Cell<'a>) -> Option<Cell<'a>> {
        let rest = self.text.get(self.at..)?;
        self.at += word.len();
        rest.starts_with(word).then_some(cell)
    }

    fn number(&mut self) -> Option<Cell<'a>> {
        let text = self.text.as_bytes();
        let start = self.at;
        let is_negative = text[start] == b'-';
        let first = start + usize::from(is_negative);
        let mut decimal = Decimal::default();
        let whole_end = decimal.digits(text, first)?;
        if text[first] == b'0' && whole_end > first + 1 {
            return None;
        }
        let (mut end, mut fraction, mut is_integer) = (whole_end, 0, true);
        if text.get(end) == Some(&b'.') {
            is_integer = false;
            let point = end;
            end = decimal.digits(text, point + 1)?;
            fraction = end - point - 1;
        }
        let digits = whole_end - first + fraction;
        let mut exact = decimal.exact(digits, fraction);
        if let Some(b'e' | b'E') = text.get(end) {
            is_integer = false;
            exact = None;
            end += 1;
            if let Some(b'+' | b'-') = text.get(end) {
                end += 1;
            }
            end = Decimal::default().digits(text, end)?;
        }
        self.at = end;
        let token = self.text.get(start..end)?;
        let value = match exact {
            Some(value) if is_negative => -value,
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
}

/// Digits as a whole number, right as long as there are no more than [`Decimal::DIGITS`].
#[derive(Default)]
struct Decimal(u64);

impl Decimal {
    const DIGITS: usize = 19;
    /// Whole numbers up to here are doubles.
    const LARGEST: u64 = 1 << 53;

    /// Takes the digits that begin at `at`, of which there must be one; where they end.
    fn digits(&mut self, text: &[u8], at: usize) -> Option<usize> {
        let mut end = at;
        while let Some(eight) = text.get(end..).and_then(<[u8]>::first_chunk) {
            let Some(value) = eight_digits(u64::from_le_bytes(*eight)) else {
                break;
            };
            self.0 = self.0.wrapping_mul(100_000_000).wrapping_add(value);
            end += eight.len();
        }
        while let Some(digit @ b'0'..=b'9') = text.get(end) {
            self.0 = self
                .0
                .wrapping_mul(10)
                .wrapping_add(u64::from(digit - b'0'));
            end += 1;
        }
        (end > at).then_some(end)
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

/// The number that eight bytes spell, the first one least significant in `bytes`; none if one of them is no digit.
#[inline]
fn eight_digits(bytes: u64) -> Option<u64> {
    const HIGH_HALVES: u64 = u64::from_ne_bytes([0xf0; 8]);
    const DIGITS: u64 = u64::from_ne_bytes([0x30; 8]);
    const BEYOND_NINE: u64 = u64::from_ne_bytes([0x06; 8]);
    let are_digits =
        bytes & HIGH_HALVES == DIGITS && bytes.wrapping_add(BEYOND_NINE) & HIGH_HALVES == DIGITS;
    if !are_digits {
        return None;
    }
    // Neighbours become numbers of two digits, these of four, and these of eight.
    let ones = bytes - DIGITS;
    let twos = (ones.wrapping_mul(10) + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos.wrapping_mul(100) + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff)
}

/// Powers of ten that are doubles.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
