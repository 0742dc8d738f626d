//! A proxy that is called by the same process: by its server, without a socket between them.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use fate_domain::fault::Fault;
use fate_proto::proxy::Packet;
use tokio::time::Instant;

use crate::call::CallContext;
use crate::forward::Arrival;
use crate::node::Node;
use crate::wire_packet::WirePacket;

/// The intra port without the port. It does not keep the proxy alive.
#[derive(Debug, Clone)]
pub struct ProxyHandle {
    node: Weak<Node>,
    intra_addr: SocketAddr,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// The proxy is gone.
    #[error("the proxy of this process has stopped")]
    Stopped,
    /// The peer's answer is no packet.
    #[error("{}", .0.message)]
    Unreadable(Fault),
}

impl ProxyHandle {
    pub(crate) fn new(node: &Arc<Node>, intra_addr: SocketAddr) -> Self {
        Self {
            node: Arc::downgrade(node),
            intra_addr,
        }
    }

    /// Where others reach the same proxy.
    pub fn intra_addr(&self) -> SocketAddr {
        self.intra_addr
    }

    /// A packet of this party's server on its way to another party. Failures are packets as on the intra port. Works
    /// while the ports are closing, until the proxy is dropped: the server still has calls to answer.
    ///
    /// # Errors
    /// There is no packet to give back.
    pub async fn unary_call(&self, packet: Packet, deadline: Instant) -> Result<Packet, NoAnswer> {
        let node = self.node.upgrade().ok_or(NoAnswer::Stopped)?;
        let call = CallContext::of_own_server(deadline);
        let gate = &node.gates.own_server;
        let packet = WirePacket::encoded(packet);
        let reply = node.unary_in(gate, Arrival::Intra, packet, &call).await;
        reply.into_packet().map_err(NoAnswer::Unreadable)
    }
}
