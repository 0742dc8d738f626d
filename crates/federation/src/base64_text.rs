//! Base64 with the standard alphabet and padding, in blocks that the compiler turns into vectors: a batch is tens of
//! kilobytes of it. Ends, and whatever is none, are left to the crate `base64`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of a block, and the letters that they become.
const BYTES: usize = 24;
const LETTERS: usize = 32;

/// Appends the text of these bytes.
pub(crate) fn write(bytes: &[u8], out: &mut Vec<u8>) {
    let (blocks, rest) = bytes.as_chunks::<BYTES>();
    let start = out.len();
    out.resize(start + blocks.len() * LETTERS, 0);
    let texts = out[start..].as_chunks_mut::<LETTERS>().0;
    for (text, block) in texts.iter_mut().zip(blocks) {
        *text = spread(block);
        text.iter_mut().for_each(|six| *six = letter(*six));
    }
    // There are at most as many letters as there is room for.
    let mut end = [0; LETTERS];
    let length = STANDARD.encode_slice(rest, &mut end).unwrap_or_default();
    out.extend_from_slice(&end[..length]);
}

/// The bytes of a text.
///
/// # Errors
/// It is not the text that any bytes have.
pub(crate) fn read(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let blocks = text.as_bytes().as_chunks::<LETTERS>().0;
    // The last one may be padded.
    let blocks = blocks
        .split_last()
        .map_or(&[][..], |(_, but_last)| but_last);
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    out.resize(blocks.len() * BYTES, 0);
    let mut odd = 0;
    for (bytes, block) in out.as_chunks_mut::<BYTES>().0.iter_mut().zip(blocks) {
        let sixes = block.map(six);
        odd |= sixes.iter().fold(0, |odd, six| odd | six);
        *bytes = joined(&sixes);
    }
    if odd & NO_LETTER != 0 {
        // Says what is wrong.
        return STANDARD.decode(text);
    }
    let end = &text.as_bytes()[blocks.len() * LETTERS..];
    match STANDARD.decode_vec(end, &mut out) {
        Ok(()) => Ok(out),
        Err(_) => STANDARD.decode(text),
    }
}

/// The letter of six bits.
#[inline(always)]
fn letter(six: u8) -> u8 {
    let mut letter = six + b'A';
    letter += if six > 25 { b'a' - b'Z' - 1 } else { 0 };
    letter -= if six > 51 { b'z' + 1 - b'0' } else { 0 };
    letter -= if six > 61 { b'9' + 1 - b'+' } else { 0 };
    letter += if six > 62 { b'/' - b'+' - 1 } else { 0 };
    letter
}

/// Set in what is no six bits.
const NO_LETTER: u8 = 0x80;

/// The six bits of a letter, or [`NO_LETTER`].
#[inline(always)]
fn six(letter: u8) -> u8 {
    let from = |first: u8, count: u8, six: u8| {
        let place = letter.wrapping_sub(first);
        if place < count {
            place.wrapping_add(six)
        } else {
            0
        }
    };
    let six = from(b'A', 26, 0) | from(b'a', 26, 26) | from(b'0', 10, 52);
    let six = six | from(b'+', 1, 62) | from(b'/', 1, 63);
    // No bits at all are those of the first letter only.
    if six == 0 && letter != b'A' {
        NO_LETTER
    } else {
        six
    }
}

/// Bytes as groups of six bits.
#[inline(always)]
fn spread(bytes: &[u8; BYTES]) -> [u8; LETTERS] {
    let word = |at: usize| {
        let word = bytes[at..].first_chunk().copied();
        u64::from_be_bytes(word.unwrap_or_default())
    };
    let (first, second, third) = (word(0), word(8), word(16));
    let groups = [
        first >> 16,
        (first << 32 | second >> 32) & LOW_48,
        (second << 16 | third >> 48) & LOW_48,
        third & LOW_48,
    ];
    let mut sixes = [0; LETTERS];
    for (sixes, group) in sixes.as_chunks_mut::<8>().0.iter_mut().zip(groups) {
        let halves = (group >> 24) << 32 | group & 0x00ff_ffff;
        let quarters = (halves & 0x00ff_f000_00ff_f000) << 4 | halves & 0x0000_0fff_0000_0fff;
        let eighths = (quarters & 0x0fc0_0fc0_0fc0_0fc0) << 2 | quarters & 0x003f_003f_003f_003f;
        *sixes = eighths.to_be_bytes();
    }
    sixes
}

const LOW_48: u64 = (1 << 48) - 1;

/// Groups of six bits as bytes.
#[inline(always)]
fn joined(sixes: &[u8; LETTERS]) -> [u8; BYTES] {
    let mut groups = [0; 4];
    for (group, sixes) in groups.iter_mut().zip(sixes.as_chunks::<8>().0) {
        let eighths = u64::from_be_bytes(*sixes);
        let quarters = (eighths & 0x3f00_3f00_3f00_3f00) >> 2 | eighths & 0x003f_003f_003f_003f;
        let halves = (quarters & 0x0fff_0000_0fff_0000) >> 4 | quarters & 0x0000_0fff_0000_0fff;
        *group = (halves >> 32) << 24 | halves & 0x00ff_ffff;
    }
    let words = [
        groups[0] << 16 | groups[1] >> 32,
        groups[1] << 32 | groups[2] >> 16,
        groups[2] << 48 | groups[3],
    ];
    let mut bytes = [0; BYTES];
    for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        let mut out = b">".to_vec();
        write(bytes, &mut out);
        String::from_utf8(out).unwrap().split_off(1)
    }

    #[test]
    fn bytes_have_the_text_that_everybody_gives_them() {
        let bytes: Vec<u8> = (0_u32..1000)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for length in (0..200).chain([999, 1000]) {
            let bytes = &bytes[..length];
            assert_eq!(text(bytes), STANDARD.encode(bytes), "{length}");
            assert_eq!(read(&text(bytes)).unwrap(), bytes, "{length}");
        }
        let sixes: Vec<u8> = (0..64).collect();
        assert_eq!(
            sixes
                .iter()
                .map(|six| char::from(letter(*six)))
                .collect::<String>(),
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        );
        let letters = (0..=255).filter(|letter| six(*letter) != NO_LETTER);
        assert!(letters.clone().all(|one| letter(six(one)) == one));
        assert_eq!(letters.count(), 64);
    }

    #[test]
    fn every_other_text_is_refused_in_the_same_words() {
        let good = text(&[0xa5; 100]);
        for length in 0..good.len() {
            let cut = &good[..length];
            assert_eq!(read(cut), STANDARD.decode(cut), "{cut}");
        }
        for at in 0..good.len() {
            for odd in [
                "=", "-", "_", "!", " ", "\n", "A", "B", "@", "[", "`", "{", ":",
            ] {
                let mut text = good.clone();
                text.replace_range(at..=at, odd);
                assert_eq!(read(&text), STANDARD.decode(&text), "{text}");
            }
        }
    }
}
