//! `unaryCall`: a packet on its way to another party, or from one to a server of this party (contract 04 A.4).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_edge::admission::Gate;
use fate_edge::guard::guarded;
use fate_edge::trace;
use fate_proto::proxy::{Data, Packet, Topic};
use prost::Message as _;
use tonic::Status;

use crate::call::CallContext;
use crate::forward::Arrival;
use crate::grpc::UNARY_CALL;
use crate::node::{MAX_ADDRESSES, Node, NotSent, ServiceName, Trail, fault_body};
use crate::peers::{Link, NotAnswered, in_time};
use crate::route_table::{Route, Target};
use crate::wire_packet::WirePacket;

const UNARY: ServiceName = ServiceName {
    service: "unaryCall",
    resource: "I_unaryCall",
};
/// What guests turn into a leading 2: the code of a proxy is told from that of a host by this much.
const PROXY_CODES: i32 = 500;

/// The answer to a packet, in the form in which the peer gave it.
#[derive(Debug)]
pub(crate) enum Reply {
    /// As received.
    Bytes(Bytes),
    /// Read from JSON, or made here.
    Packet(Box<Packet>),
}

impl Reply {
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Packet(packet) => packet.encode_to_vec().into(),
        }
    }

    pub(crate) fn into_packet(self) -> Result<Packet, Fault> {
        match self {
            Self::Bytes(bytes) => Packet::decode(bytes).map_err(|error| {
                Fault::new(
                    ReturnCode::INVALID_ROLE,
                    format!("the answer is no packet: {error}"),
                )
            }),
            Self::Packet(packet) => Ok(*packet),
        }
    }

    fn output(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Packet(packet) => packet.body.as_ref().map_or(&[], |body| &body.value),
        }
    }
}

/// A packet that says what went wrong (contract 04 A.4).
pub(crate) fn fault_packet(fault: &Fault) -> Packet {
    packet_with(fault_body(
        fault.code.0.saturating_add(PROXY_CODES),
        &fault.message,
    ))
}

/// A packet of nothing but a body.
pub(crate) fn packet_with(body: Vec<u8>) -> Packet {
    Packet {
        body: Some(Data {
            value: body.into(),
            ..Data::default()
        }),
        ..Packet::default()
    }
}

impl Node {
    /// A packet from a gRPC port. Whatever happens to it is told in a packet; only what is no packet ends the call.
    pub(crate) async fn unary_call(
        &self,
        arrival: Arrival,
        message: Bytes,
        call: &CallContext,
    ) -> Result<Bytes, Status> {
        let packet = WirePacket::received(message)
            .map_err(|error| Status::internal(format!("not a Packet: {error}")))?;
        Ok(self.unary(arrival, packet, call).await.into_bytes())
    }

    /// A packet from any port.
    pub(crate) async fn unary(
        &self,
        arrival: Arrival,
        packet: WirePacket,
        call: &CallContext,
    ) -> Reply {
        let gate = match arrival {
            Arrival::Intra => &self.gates.unary,
            Arrival::Inter => &self.gates.from_others,
        };
        self.unary_in(gate, arrival, packet, call).await
    }

    /// A packet that takes its place behind this gate.
    pub(crate) async fn unary_in(
        &self,
        gate: &Arc<Gate>,
        arrival: Arrival,
        packet: WirePacket,
        call: &CallContext,
    ) -> Reply {
        let started = Instant::now();
        let input = packet.packet().body.clone().unwrap_or_default().value;
        let mut trail = self.packet_trail(packet.packet());
        let mut span = self.tracing.received(UNARY.service, call.trace.clone());
        let outcome = match self.enter(gate, UNARY) {
            Ok(_permit) => {
                let forwarded = self.forward(arrival, packet, call, &mut trail);
                guarded(UNARY.service, span.around(forwarded))
                    .await
                    .and_then(|outcome| outcome)
            }
            Err(fault) => Err(fault),
        };
        let output = outcome.as_ref().map_or(&[][..], Reply::output);
        let told = outcome.as_ref().map(|_| ());
        let bodies = (&input[..], output);
        self.account(UNARY, call, &trail, started, told, bodies, &mut span);
        outcome.unwrap_or_else(|fault| Reply::Packet(Box::new(fault_packet(&fault))))
    }

    fn packet_trail(&self, packet: &Packet) -> Trail {
        let party = |topic: Option<&Topic>| topic.map(|topic| topic.party_id.clone());
        let header = packet.header.as_ref();
        Trail {
            case_id: self.case_ids.next(),
            guest: party(header.and_then(|header| header.src.as_ref())).unwrap_or_default(),
            host: party(header.and_then(|header| header.dst.as_ref())).unwrap_or_default(),
            ..Trail::default()
        }
    }

    async fn forward(
        &self,
        arrival: Arrival,
        packet: WirePacket,
        call: &CallContext,
        trail: &mut Trail,
    ) -> Result<Reply, Fault> {
        let hops = self.forwarder.hops();
        let call = &call.with_hops(hops.next(arrival, call.hops.as_ref())?);
        let (mut route, packet) = self.forwarder.packet(arrival, packet)?;
        let another = |tried: &[Route]| self.forwarder.another(arrival, packet.packet(), tried);
        route = self.around_down(route, another);
        let deadline = call.deadline_within(self.config().timeouts.unary);
        let mut tried = Vec::new();
        loop {
            trail.router.clone_from(&route.shown);
            let sent = Instant::now();
            let outcome = self.send(&route, &packet, call, deadline).await;
            trail.downstream += sent.elapsed();
            let fault = match outcome {
                Ok(reply) => return reply,
                Err(NotSent(fault)) => fault,
            };
            tried.push(route);
            if tried.len() == MAX_ADDRESSES {
                return Err(fault);
            }
            route = another(&tried).ok_or(fault)?;
        }
    }

    async fn send(
        &self,
        route: &Route,
        packet: &WirePacket,
        call: &CallContext,
        deadline: tokio::time::Instant,
    ) -> Result<Result<Reply, Fault>, NotSent> {
        let fault = no_answer_from(route);
        let (peer, _place) = self.peer(route, UNARY.service, &fault).await?;
        let mut span = trace::child("forward", trace::Kind::Client);
        span.note("server.address", &*route.shown);
        let call = &*call.in_span(&span);
        let sent = Instant::now();
        let as_reply = |packet| Reply::Packet(Box::new(packet));
        let reply = match &peer.link {
            Link::Grpc(peer) => {
                let bytes = packet.bytes().clone();
                let reply = peer.unary(UNARY_CALL, bytes, call, deadline).await;
                reply.map(Reply::Bytes)
            }
            Link::Http(peer) => peer.post(packet.packet(), call).await.map(as_reply),
            Link::OwnServer(server) => {
                let answer = span.around(server.unary_call(packet.packet().clone()));
                in_time(deadline, answer).await.map(as_reply)
            }
        };
        peer.note(&reply, sent.elapsed());
        if let Err(cause) = &reply {
            span.fail(|| cause.to_string());
        }
        match reply {
            Ok(reply) => Ok(Ok(reply)),
            Err(NotAnswered::Unsent(cause)) => {
                tracing::warn!(peer = route.shown, cause, "a packet was not sent");
                Err(NotSent(fault))
            }
            Err(cause) => {
                tracing::warn!(peer = route.shown, %cause, "a packet was not answered");
                Ok(Err(fault))
            }
        }
    }
}

/// Java's texts, whatever the cause is: it may be about this party's network, and other parties read this.
fn no_answer_from(route: &Route) -> Fault {
    match &route.target {
        Target::Http(_) => Fault::new(ReturnCode::INVALID_ROLE, "receive invalid http response"),
        _ => {
            let text = format!("grpc unaryCall error {}", route.shown);
            Fault::new(ReturnCode::NET, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_a_packet_of_a_body_only() {
        let packet = fault_packet(&Fault::new(ReturnCode::PROXY_ROUTER, "no way"));
        assert!(packet.header.is_none() && packet.auth.is_none());
        let body = packet.body.unwrap();
        assert_eq!(
            (body.key.as_str(), &body.value[..]),
            ("", &br#"{"retcode":628,"retmsg":"no way"}"#[..])
        );
    }
}
