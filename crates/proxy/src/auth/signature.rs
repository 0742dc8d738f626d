//! The signature itself: base64 of HMAC-SHA1 over time, header and body (contract 04 A.6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fate_proto::proxy::Packet;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;

use crate::packet_json::{signed_body, signed_header};

/// Bytes of a SHA-1.
const BYTES: usize = 20;

/// What a packet's signature must be. Not shown: whoever knows it can sign.
pub(super) struct Signature([u8; BYTES]);

impl Signature {
    /// Of a packet at a time, in milliseconds, with a secret.
    pub(super) fn of(packet: &Packet, timestamp: i64, secret: &str) -> Self {
        let mut bytes = [0; BYTES];
        // HMAC takes keys of every length.
        if let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) {
            mac.update(timestamp.to_string().as_bytes());
            mac.update(b"\n");
            mac.update(signed_header(packet).as_bytes());
            mac.update(b"\n");
            mac.update(signed_body(packet).as_bytes());
            bytes = mac.finalize().into_bytes().into();
        }
        Self(bytes)
    }

    /// As it travels.
    pub(super) fn to_text(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Whether the text says the same; takes the same time wherever they differ.
    pub(super) fn is(&self, text: &str) -> bool {
        let expected = self.to_text();
        let differences = expected.bytes().zip(text.bytes());
        let differences = differences.fold(0, |seen, (left, right)| seen | (left ^ right));
        expected.len() == text.len() && std::hint::black_box(differences) == 0
    }

    /// Enough of it to know it again.
    pub(super) fn short(&self) -> u64 {
        self.0
            .iter()
            .take(8)
            .fold(0, |short, byte| short << 8 | u64::from(*byte))
    }
}
