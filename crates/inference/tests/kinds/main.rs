//! Kinds of models that the golden sets do not have, on small models whose scores are worked out beside them: from the
//! definition of the kind where it has one, from FATE's formula (named) otherwise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod baseline;
mod classes;
mod fm;
mod forest;
mod homo;
mod kmeans;
mod linear;
mod missing;
mod mix;
mod party;
mod scorecard;
