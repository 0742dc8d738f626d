//! A packet together with the bytes it came in.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use fate_proto::proxy::{AuthInfo, Packet};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message as _};

/// The number of `Packet.auth`.
const AUTH: u32 = 3;

/// A packet that is passed on as the bytes it came in; only its signature may be replaced.
#[derive(Debug, Clone)]
pub struct WirePacket {
    packet: Packet,
    bytes: Bytes,
}

impl WirePacket {
    /// What a gRPC peer sent.
    ///
    /// # Errors
    /// The bytes are no packet.
    pub fn received(bytes: Bytes) -> Result<Self, DecodeError> {
        Ok(Self {
            packet: Packet::decode(bytes.clone())?,
            bytes,
        })
    }

    /// A packet that came another way.
    pub fn encoded(packet: Packet) -> Self {
        Self {
            bytes: packet.encode_to_vec().into(),
            packet,
        }
    }

    /// Its content.
    pub fn packet(&self) -> &Packet {
        &self.packet
    }

    /// What a gRPC peer gets.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same packet with another signature; header and body stay byte-equal.
    pub fn with_auth(self, auth: AuthInfo) -> Self {
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + auth.encoded_len() + 8);
        let mut rest = self.bytes;
        while let Some((number, field)) = next_field(&mut rest) {
            if number != AUTH {
                bytes.put(field);
            }
        }
        encoding::message::encode(AUTH, &auth, &mut bytes);
        Self {
            packet: Packet {
                auth: Some(auth),
                ..self.packet
            },
            bytes: bytes.freeze(),
        }
    }
}

/// Splits off the first field. The bytes have been decoded before, so there is a field unless nothing is left.
fn next_field(rest: &mut Bytes) -> Option<(u32, Bytes)> {
    if rest.is_empty() {
        return None;
    }
    let mut after = rest.clone();
    let (number, wire_type): (u32, WireType) = encoding::decode_key(&mut after).ok()?;
    encoding::skip_field(wire_type, number, &mut after, DecodeContext::default()).ok()?;
    let length = rest.len() - after.remaining();
    Some((number, rest.split_to(length)))
}

#[cfg(test)]
mod tests {
    use fate_proto::proxy::{Data, Metadata};

    use super::*;

    fn packet() -> Packet {
        Packet {
            header: Some(Metadata {
                operator: "216".to_owned(),
                ..Metadata::default()
            }),
            body: Some(Data {
                key: "k".to_owned(),
                value: Bytes::from_static(b"{}"),
            }),
            auth: Some(AuthInfo {
                app_key: "old".to_owned(),
                ..AuthInfo::default()
            }),
        }
    }

    /// A field of a version that this proxy does not know: number 15, varint 1.
    const UNKNOWN: &[u8] = &[15 << 3, 1];

    #[test]
    fn a_packet_passes_with_what_nobody_here_knows() {
        let mut bytes = packet().encode_to_vec();
        bytes.extend_from_slice(UNKNOWN);
        let received = WirePacket::received(bytes.clone().into()).unwrap();
        assert_eq!(received.packet(), &packet());
        assert_eq!(received.bytes(), &bytes);
    }

    #[test]
    fn only_the_signature_is_replaced() {
        let mut bytes = UNKNOWN.to_vec();
        bytes.extend(packet().encode_to_vec());
        let auth = AuthInfo {
            app_key: "new".to_owned(),
            signature: "s".to_owned(),
            ..AuthInfo::default()
        };
        let signed = WirePacket::received(bytes.into())
            .unwrap()
            .with_auth(auth.clone());
        let expected = Packet {
            auth: Some(auth),
            ..packet()
        };
        assert_eq!(signed.packet(), &expected);
        assert_eq!(Packet::decode(signed.bytes().clone()).unwrap(), expected);
        assert!(signed.bytes().starts_with(UNKNOWN));
    }

    #[test]
    fn what_is_no_packet_is_told_apart() {
        assert!(WirePacket::received(Bytes::from_static(b"\x0a\xff")).is_err());
        assert_eq!(
            WirePacket::received(Bytes::new()).unwrap().packet(),
            &Packet::default()
        );
    }
}
