//! The forest's inner loops, compiled for what the processor has. The only room of the core with `unsafe` in it. AVX-512 was
//! tried and was not quicker: benches/RESULTS.md.
//!
//! Nothing here touches memory by itself: the loops are plain code over slices, checked like any other. Unsafe is only to
//! call code that was compiled for instructions which older processors lack; a [`Level`] is the proof that this one has
//! them, because nobody can make one without asking it.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::_pdep_u64;

use super::{
    Value,
    bits::Bits,
    decisions::Decisions,
    words::{BLOCK, Span, descend},
};

/// Instructions that the processor has beyond the least of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// None that matter here.
    Plain,
    /// 256-bit vectors, and bits put in places by a mask.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Level {
    pub(super) const PLAIN: Level = Level(Kind::Plain);

    /// All that this processor can run, the best one last.
    pub(super) fn of_this_processor() -> Vec<Level> {
        #[allow(unused_mut, reason = "other processors have no more")]
        let mut levels = vec![Level::PLAIN];
        #[cfg(target_arch = "x86_64")]
        {
            let has_bits = is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2");
            if has_bits && is_x86_feature_detected!("avx2") {
                levels.push(Level(Kind::Avx2));
            }
        }
        levels
    }

    pub(super) fn best() -> Level {
        Self::of_this_processor().pop().unwrap_or(Level::PLAIN)
    }

    /// Whether [`Level::words`] does anything.
    pub(super) fn places_bits(self) -> bool {
        self != Level::PLAIN
    }

    /// See [`Decisions::of`].
    pub(super) fn decide(
        self,
        decisions: &Decisions,
        values: impl Iterator<Item = Value>,
    ) -> Option<Bits> {
        match self.0 {
            Kind::Plain => decisions.decide(values),
            // SAFETY: a level is only made where the processor has the instructions.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2::decide(decisions, values) },
        }
    }

    /// Puts a party's decisions of some trees into their words. Not on [`Level::PLAIN`].
    pub(super) fn words(self, words: &mut [u64; BLOCK], spans: &[Span], bits: &[u64]) {
        match self.0 {
            Kind::Plain => {}
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2::words(words, spans, bits) },
        }
    }

    /// Turns words of decisions into leaves, see [`descend`].
    pub(super) fn leaves(self, words: &mut [u64], depth: u32) {
        match self.0 {
            Kind::Plain => descend(words, depth),
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => unsafe { avx2::leaves(words, depth) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{_pdep_u64, BLOCK, Bits, Decisions, Span, Value, descend};
    use crate::component::forest::bits::window;

    #[target_feature(enable = "avx2,bmi1,bmi2")]
    pub(super) fn decide(
        decisions: &Decisions,
        values: impl Iterator<Item = Value>,
    ) -> Option<Bits> {
        decisions.decide(values)
    }

    #[target_feature(enable = "avx2,bmi1,bmi2")]
    pub(super) fn words(words: &mut [u64; BLOCK], spans: &[Span], bits: &[u64]) {
        for (word, span) in words.iter_mut().zip(spans) {
            *word |= _pdep_u64(window(bits, span.start), span.mask);
        }
    }

    #[target_feature(enable = "avx2,bmi1,bmi2")]
    pub(super) fn leaves(words: &mut [u64], depth: u32) {
        descend(words, depth);
    }
}
