//! What belongs to no single room is tested here: see `tests/`.
//!
//! `data/numeric_examples.json` holds the worked examples of contract 02 for the core's tests. [`targets`] are what the
//! fuzzer of `fuzz/` calls, and what `tests/corpus.rs` calls with every input that the fuzzer keeps.

pub mod targets;
