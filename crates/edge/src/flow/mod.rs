//! Flow control and metrics: who may pass, and what passed.

mod control;
mod metrics;
mod rules_file;
mod window;

pub use control::{Clock, FlowControl, Rates};
pub use metrics::{MetricNode, Metrics, Samples};
