//! Packets as JSON, as protobuf's Java printer and parser have it (contract 04 A.2.2, A.6, H.1).
//!
//! Two users: the text that proxies sign, where every byte counts, and packets over HTTP.

mod read;
mod write;

pub use read::{PacketJsonError, read_packet};
pub use write::{signed_body, signed_header, write_packet};

#[cfg(test)]
mod tests;
