//! The inference core: a party's component buffers become a [`Plan`]; a plan turns one row of features into
//! what that party contributes ([`Partial`] of a host, [`GuestLocal`] of the guest) and merges the parts to a [`Score`].
//!
//! May depend on `fate-domain` and `fate-proto` (messages only). No I/O, no async, no clock, no randomness.
//!
//! Promises: a plan is immutable and shared freely; the same row always gives the same bits; no input panics;
//! a pipeline that cannot give a score never compiles ([`Refusal`], return code 123); a score is only given when
//! every party's part is there. Numbers follow contract 02; the two semantics are those of [`Semantics`].

// Allowed in component/forest/simd.rs alone, which says why.
#![deny(unsafe_code)]

mod buffers;
pub mod catalog;
mod cell;
mod component;
mod coverage;
mod dsl;
mod merge;
mod partial;
mod plain_json;
mod plan;
mod python_number;
mod refusal;
mod row;
mod semantics;
mod symbols;
mod verdict;

pub use buffers::{Buffers, PIPELINE_KEY};
pub use cell::{Cell, Spelling};
pub use component::classes;
pub use coverage::{Coverage, Figures};
pub use merge::Score;
pub use partial::{CompactForm, GuestLocal, Partial};
pub use plan::{Plan, Site, compile};
pub use refusal::Refusal;
pub use row::Row;
pub use semantics::Semantics;
pub use verdict::{ComponentReport, Treatment, Verdict};
