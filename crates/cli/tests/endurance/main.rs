//! What only time shows: a cluster whose processes are killed under load (`scripts/chaos`), and what processes hold under
//! steady load and under ten times too much (`scripts/soak`). Both print a report in Markdown; a plain `cargo test` leaves
//! them out.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a report")]

mod asking;
mod chaos;
mod cluster;
mod figures;
#[path = "../made_sets/mod.rs"]
mod made_sets;
#[path = "../process/mod.rs"]
mod process;
#[path = "../slow_features/mod.rs"]
mod slow_features;
mod soak;

use std::time::Duration;

/// A number of seconds that a script hands over.
fn seconds(name: &str, default: u64) -> Duration {
    let given = std::env::var(name).ok();
    Duration::from_secs(given.map_or(default, |text| text.parse().unwrap()))
}
