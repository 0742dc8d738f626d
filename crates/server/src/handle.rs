//! A server that is called by the same process: by its proxy, without a socket between them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use fate_edge::trace;
use fate_model::Binding;
use fate_proto::proxy::Packet;

use crate::caller::Caller;
use crate::node::Node;

/// What the ports of a server do, without the ports. Calls are counted, limited and logged as those of the ports are.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    node: Arc<Node>,
    grpc_addr: SocketAddr,
}

impl ServerHandle {
    pub(crate) fn new(node: Arc<Node>, grpc_addr: SocketAddr) -> Self {
        Self { node, grpc_addr }
    }

    /// Where others reach the same server.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// Whether the host model that a packet is for is loaded.
    pub fn holds(&self, packet: &Packet) -> bool {
        self.node.host().holds(packet)
    }

    /// Whether a service id is bound to a model that is loaded.
    pub fn is_bound(&self, service_id: &str) -> bool {
        let bound = self.node.models.snapshot().bound(service_id);
        matches!(bound, Binding::Model(_))
    }

    /// A guest's packet to this party's host (contract 01 §1.5).
    pub async fn unary_call(&self, packet: Packet) -> Packet {
        self.node.unary_call(packet, caller()).await
    }

    /// One row for this party's guest; both bodies are the JSON of contract 01 §2.2.
    pub async fn infer(&self, body: Bytes) -> Vec<u8> {
        self.node.infer(body, caller()).await
    }

    /// Many rows (contract 01 §2.3).
    pub async fn infer_batch(&self, body: Bytes) -> Vec<u8> {
        self.node.infer_batch(body, caller()).await
    }
}

/// Whoever calls in this process, in the span it is in.
fn caller() -> Caller {
    Caller {
        trace: trace::current(),
        ..Caller::default()
    }
}
