//! Decisions of a party's nodes: one bit each, set for left, in the order of the nodes.

/// Bits in words, the first one least significant, and a word more behind them, so that 64 bits can be read from any place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bits(Box<[u64]>);

const WORD: usize = u64::BITS as usize;
const BYTES: usize = WORD / 8;

impl Bits {
    /// No bit is set.
    pub(super) fn none(nodes: usize) -> Self {
        Bits(vec![0; Self::words_for(nodes)].into())
    }

    /// How many words so many bits take; at least two, so that there is a first window, too.
    pub(super) fn words_for(nodes: usize) -> usize {
        nodes.div_ceil(WORD).max(1) + 1
    }

    pub(super) fn of(decisions: impl ExactSizeIterator<Item = bool>) -> Self {
        let mut bits = Self::none(decisions.len());
        for (place, decision) in decisions.enumerate() {
            bits.0[place / WORD] |= u64::from(decision) << (place % WORD);
        }
        bits
    }

    /// From bytes, the first bit least significant in the first byte.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut bits = Self::none(bytes.len() * 8);
        let (wholes, rest) = bytes.as_chunks::<BYTES>();
        for (word, whole) in bits.0.iter_mut().zip(wholes) {
            *word = u64::from_le_bytes(*whole);
        }
        if !rest.is_empty() {
            let mut whole = [0; BYTES];
            whole[..rest.len()].copy_from_slice(rest);
            bits.0[wholes.len()] = u64::from_le_bytes(whole);
        }
        bits
    }

    /// Appends so many bytes.
    pub(super) fn write(&self, bytes: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + bytes.next_multiple_of(BYTES), 0);
        let wholes = out[start..].as_chunks_mut::<BYTES>().0;
        for (whole, word) in wholes.iter_mut().zip(&self.0) {
            *whole = word.to_le_bytes();
        }
        out.truncate(start + bytes);
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }

    pub(super) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }

    /// Sets a bit that there is.
    pub(super) fn set(&mut self, place: u32) {
        self.0[place as usize / WORD] |= 1 << (place as usize % WORD);
    }

    /// False where there is none.
    pub(super) fn get(&self, place: u32) -> bool {
        let word = self.0.get(place as usize / WORD).copied().unwrap_or(0);
        word >> (place as usize % WORD) & 1 == 1
    }
}

/// 64 bits from the first place or from one that is there.
#[inline(always)]
pub(super) fn window(words: &[u64], place: u32) -> u64 {
    let (at, shift) = (place as usize / WORD, place as usize % WORD);
    let (low, high) = (words[at], words[at + 1]);
    // Shifted twice: by 64 at once would be an overflow.
    low >> shift | high << 1 << (WORD - 1 - shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_where_they_were_put() {
        let decisions: Vec<bool> = (0..203)
            .map(|place| place % 3 == 0 || place > 190)
            .collect();
        let bits = Bits::of(decisions.iter().copied());
        let mut bytes = Vec::new();
        bits.write(26, &mut bytes);
        assert_eq!(bytes.len(), 26);
        assert_eq!(bytes[0], 0b0100_1001);
        let read = Bits::read(&bytes);
        assert_eq!(read, bits);
        for (place, decision) in (0..).zip(&decisions) {
            assert_eq!(read.get(place), *decision, "{place}");
            let from_here = decisions[place as usize..].iter().zip(0..WORD);
            let expected = from_here.fold(0, |word, (set, at)| word | u64::from(*set) << at);
            assert_eq!(window(read.words(), place), expected, "{place}");
        }
        assert!(!bits.get(4_000_000));
        assert_eq!(Bits::read(&[]), Bits::none(0));
    }
}
