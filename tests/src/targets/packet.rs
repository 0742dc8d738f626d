//! Packets as JSON, as they travel between proxies over HTTP. Input: a mode, then the text, or the packet in protobuf's
//! own form.
//!
//! Promises: what is read is written so that it is read the same; what is signed is one line of JSON.

use fate_proto::proxy::Packet;
use fate_proxy::packet_json::{read_packet, signed_body, signed_header, write_packet};
use prost::Message as _;

use super::take_byte;

/// Mode of an input that is a text.
pub(super) const TEXT: u8 = 0;
/// Mode of an input that is a message.
pub(super) const MESSAGE: u8 = 1;

pub(super) fn run(mut input: &[u8]) {
    let packet = if take_byte(&mut input) == TEXT {
        std::str::from_utf8(input)
            .ok()
            .and_then(|text| read_packet(text).ok())
    } else {
        Packet::decode(input).ok()
    };
    let Some(packet) = packet else {
        return;
    };
    let text = write_packet(&packet);
    assert_eq!(read_packet(&text), Ok(packet.clone()), "{text}");
    for signed in [signed_header(&packet), signed_body(&packet)] {
        let value: serde_json::Value = serde_json::from_str(&signed).unwrap();
        assert!(value.is_object() && !signed.contains('\n'), "{signed}");
    }
}
