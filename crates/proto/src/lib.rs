//! The wire contracts of `/proto`, generated; nothing else.
//!
//! Depends on prost and bytes; on tonic only with the feature `services`, so that the inference core stays free of it.
//! Promises: `bytes` fields are [`bytes::Bytes`] (no copy of a body), maps are ordered, unknown fields are skipped.

#[allow(
    clippy::all,
    clippy::unwrap_used,
    missing_debug_implementations,
    unreachable_pub
)]
mod packages {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

use packages::com::webank::ai::fate;

/// Addresses inside packets.
pub use fate::api::core as address;
/// Model life cycle.
pub use fate::api::mlmodel::manager as model;
/// Operations calls.
pub use fate::api::networking::common as common_service;
/// Packets between parties.
pub use fate::api::networking::proxy;
/// What a business system asks a guest.
pub use fate::api::serving as inference;
/// Component buffers of FATE 1.x.
pub use fate::core::mlmodel::buffer;
/// Component buffers of factorization machines.
pub use fate::core::mlmodel::buffer::fm as buffer_fm;
/// The proxy's route table.
pub use fate::serving::proxy::rpc::grpc as router;

/// Descriptors of all of the above, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
