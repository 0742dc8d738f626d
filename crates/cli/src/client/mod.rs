//! Clients of a serving-server, as a business system has them: real connections, one for each client.

mod grpc;
mod http;
mod wrong_port;

use std::time::Duration;

pub(crate) use grpc::{GrpcClient, channel};
pub(crate) use http::HttpClient;
pub(crate) use wrong_port::failure;

/// The largest answer taken; a server never sends more than half of it.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Which inference call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Single,
    Batch,
}

/// The text of a call that took too long.
fn late(timeout: Duration) -> String {
    format!("no answer within {} ms", timeout.as_millis())
}
