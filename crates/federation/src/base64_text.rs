//! Base64 with the standard alphabet and padding, written in blocks that the compiler turns into vectors: a batch is tens
//! of kilobytes of it. Ends, and reading, which was not quicker so, are left to the crate `base64`.

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
    STANDARD.decode(text)
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
    }
}
