//! Flow control as the federation asks for it.

use std::sync::Arc;

use fate_edge::flow::FlowControl;
use fate_federation::Admission;

/// Counters and limits by resource.
#[derive(Debug)]
pub(crate) struct FlowRules(pub(crate) Arc<FlowControl>);

impl Admission for FlowRules {
    fn pass(&self, resource: &str, times: u32) -> bool {
        self.0.pass(resource, times)
    }
}
