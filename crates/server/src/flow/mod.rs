//! Flow control and metrics: who may pass, and what passed.

mod control;
mod metrics;
mod rules_file;
mod window;

pub(crate) use control::Clock;
pub use control::FlowControl;
pub(crate) use metrics::{Metrics, Samples};
