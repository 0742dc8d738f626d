//! What Prometheus scrapes: meters that cost a call an atomic add, and the page they are written to (text format 0.0.4).
//!
//! The meters are plain fields of a role's own struct: nothing is registered anywhere, nothing is looked up by name while
//! a call runs. Labels are bounded: fixed words, known return codes, and no more than so many parties.

mod meters;
mod page;
mod parties;
mod process;

pub use meters::{CodeCounters, Counter, Histogram, Shed, ShedCounters, SizeHistogram};
pub use page::{CONTENT_TYPE, Family, Kind, Page};
pub use parties::PartyMeters;
pub use process::write_process;

/// `fate_serving_build_info`.
pub fn write_build_info(page: &mut Page, role: &str) {
    let labels = [("role", role), ("version", env!("CARGO_PKG_VERSION"))];
    page.family(
        "fate_serving_build_info",
        Kind::Gauge,
        "What runs here; always 1.",
    )
    .value(&labels, 1.0);
}
