//! `POST|GET /unary`: a packet as JSON, treated like one from the inter port (contract 04 A.2.2).

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use fate_domain::return_code::ReturnCode;
use fate_edge::http::federation::malformed;
use fate_edge::http::{Caller, json_response};
use fate_proto::proxy::Packet;

use super::{Edge, NotReceived, has_wrong_media_type, receive};
use crate::call::CallContext;
use crate::forward::Arrival;
use crate::node::fault_body;
use crate::packet_json::{read_packet, write_packet};
use crate::unary::{fault_packet, packet_with};
use crate::wire_packet::WirePacket;

pub(super) async fn unary(
    State(node): Edge,
    Extension(caller): Extension<Caller>,
    request: Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    if !matches!(head.method, Method::POST | Method::GET) || has_wrong_media_type(&head.headers) {
        return malformed();
    }
    let received = receive(
        &node,
        &node.strangers_bytes,
        "unaryCall",
        &head.headers,
        body,
    );
    let received = match received.await {
        Ok(received) => received,
        Err(NotReceived::Late) => return malformed(),
        Err(NotReceived::Refused(fault)) => return packet_response(&fault_packet(&fault)),
    };
    let text = std::str::from_utf8(&received.bytes).ok();
    let Some(packet) = text.and_then(|text| read_packet(text).ok()) else {
        // The one packet whose code is not moved by 500.
        let answer = fault_body(ReturnCode::PROXY_PARAM.0, "invalid http param");
        return packet_response(&packet_with(answer));
    };
    let call = CallContext {
        source: Some(caller.0.ip()),
        ..CallContext::of_headers(&head.headers)
    };
    let reply = node
        .unary(Arrival::Inter, WirePacket::encoded(packet), &call)
        .await;
    match reply.into_packet() {
        Ok(packet) => packet_response(&packet),
        Err(fault) => packet_response(&fault_packet(&fault)),
    }
}

fn packet_response(packet: &Packet) -> Response {
    json_response(StatusCode::OK, write_packet(packet).into_bytes())
}
