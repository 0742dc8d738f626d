//! Mutates protobuf messages as messages: lengths stay true, so that more than the decoder is reached.

use libfuzzer_sys::fuzzer_mutate;

/// Bytes before the parts of an input of `buffers`: tag, flags, length of the Meta.
const HEAD: usize = 6;
const MAX_DEPTH: usize = 6;

const DOUBLES: [f64; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    1e-8,
    -1e-8,
    1e300,
    f64::MAX,
    f64::MIN_POSITIVE,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    709.9,
];
const INTEGERS: [u64; 12] = [
    0,
    1,
    2,
    3,
    7,
    255,
    i32::MAX as u64,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    u64::MAX,
    (-2_i64) as u64,
];
const TEXTS: [&str; 22] = [
    "",
    "0",
    "-1",
    "1.5",
    "NaN",
    "nan",
    "none",
    "None",
    "null",
    "a",
    "x0",
    "int",
    "float64",
    "str",
    "guest",
    "host",
    "host:10000",
    "guest:9999",
    "standard_scale",
    "min_max_scale",
    "sparse",
    "tag",
];

/// A stream of numbers from a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound.max(1)
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// One field as it stands: key, value, and what kind of value.
#[derive(Clone)]
struct Field {
    number: u64,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Integer(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Bytes(Vec<u8>),
}

/// For libFuzzer: mutates the first `size` bytes in place and returns the new size.
pub fn mutate(input: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut dice = Dice(u64::from(seed) << 20 | 0x9e37_79b9);
    dice.next();
    if size < HEAD || dice.below(8) == 0 {
        return fuzzer_mutate(input, size, max_size);
    }
    let meta_length = usize::from(u16::from_le_bytes([input[4], input[5]]));
    let (meta, param) = input[HEAD..size].split_at(meta_length.min(size - HEAD));
    let (mut meta, mut param) = (meta.to_vec(), param.to_vec());
    for _ in 0..=dice.below(3) {
        let part = if dice.below(3) == 0 {
            &mut meta
        } else {
            &mut param
        };
        match changed(part, &mut dice, 0) {
            Some(other) => *part = other,
            None => return fuzzer_mutate(input, size, max_size),
        }
    }
    let length = HEAD + meta.len() + param.len();
    if length > max_size.min(input.len()) {
        return fuzzer_mutate(input, size, max_size);
    }
    let meta_length = u16::try_from(meta.len()).unwrap_or(u16::MAX);
    input[4..HEAD].copy_from_slice(&meta_length.to_le_bytes());
    input[HEAD..HEAD + meta.len()].copy_from_slice(&meta);
    input[HEAD + meta.len()..length].copy_from_slice(&param);
    length
}

/// The message with one change; `None` when the bytes are none, or nothing is there to change.
fn changed(bytes: &[u8], dice: &mut Dice, depth: usize) -> Option<Vec<u8>> {
    let mut fields = parse(bytes)?;
    if fields.is_empty() {
        return None;
    }
    let at = dice.below(fields.len());
    match dice.below(12) {
        0 => drop(fields.remove(at)),
        1 => {
            let copy = fields[at].clone();
            fields.insert(dice.below(fields.len() + 1), copy);
        }
        2 => {
            let other = dice.below(fields.len());
            fields.swap(at, other);
        }
        3 => fields[at].number = 1 + dice.below(16) as u64,
        _ => change_value(&mut fields[at].value, dice, depth),
    }
    Some(written(&fields))
}

fn change_value(value: &mut Value, dice: &mut Dice, depth: usize) {
    match value {
        Value::Integer(number) => {
            *number = match dice.below(4) {
                0 => number.wrapping_add(1),
                1 => number.wrapping_sub(1),
                2 => dice.below(64) as u64,
                _ => dice.pick(&INTEGERS),
            }
        }
        Value::Eight(bytes) => *bytes = changed_double(*bytes, dice),
        Value::Four(bytes) => *bytes = (dice.pick(&DOUBLES) as f32).to_le_bytes(),
        Value::Bytes(bytes) => {
            let inner = (depth < MAX_DEPTH && dice.below(8) > 0)
                .then(|| changed(bytes, dice, depth + 1))
                .flatten();
            *bytes = inner.unwrap_or_else(|| changed_bytes(bytes, dice));
        }
    }
}

fn changed_double(bytes: [u8; 8], dice: &mut Dice) -> [u8; 8] {
    let number = f64::from_le_bytes(bytes);
    let other = match dice.below(4) {
        0 => -number,
        1 => number * 1e100,
        _ => dice.pick(&DOUBLES),
    };
    other.to_le_bytes()
}

/// A text, or numbers in a row.
fn changed_bytes(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut other = bytes.to_vec();
    if !bytes.is_empty() && bytes.len().is_multiple_of(8) && dice.below(2) == 0 {
        let at = dice.below(bytes.len() / 8) * 8;
        let mut one = [0; 8];
        one.copy_from_slice(&bytes[at..at + 8]);
        other[at..at + 8].copy_from_slice(&changed_double(one, dice));
        return other;
    }
    match dice.below(4) {
        0 => dice.pick(&TEXTS).as_bytes().to_vec(),
        1 => {
            other.extend_from_slice(dice.pick(&TEXTS).as_bytes());
            other
        }
        2 if !other.is_empty() => {
            other.truncate(dice.below(bytes.len()));
            other
        }
        _ => {
            let length = other.len();
            other.resize(length + 8, 0);
            let length = fuzzer_mutate(&mut other, length, length + 8);
            other.truncate(length);
            other
        }
    }
}

fn parse(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Integer(varint(&mut bytes)?),
            1 => Value::Eight(take(&mut bytes, 8)?.try_into().ok()?),
            2 => {
                let length = varint(&mut bytes)?;
                Value::Bytes(take(&mut bytes, usize::try_from(length).ok()?)?.to_vec())
            }
            5 => Value::Four(take(&mut bytes, 4)?.try_into().ok()?),
            _ => return None,
        };
        let number = key >> 3;
        if number == 0 || number > 1 << 29 {
            return None;
        }
        fields.push(Field { number, value });
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn written(fields: &[Field]) -> Vec<u8> {
    let mut out = Vec::new();
    for Field { number, value } in fields {
        let kind = match value {
            Value::Integer(_) => 0,
            Value::Eight(_) => 1,
            Value::Bytes(_) => 2,
            Value::Four(_) => 5,
        };
        put_varint(number << 3 | kind, &mut out);
        match value {
            Value::Integer(number) => put_varint(*number, &mut out),
            Value::Eight(bytes) => out.extend_from_slice(bytes),
            Value::Four(bytes) => out.extend_from_slice(bytes),
            Value::Bytes(bytes) => {
                put_varint(bytes.len() as u64, &mut out);
                out.extend_from_slice(bytes);
            }
        }
    }
    out
}

fn put_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
