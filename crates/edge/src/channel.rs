//! Connections to other servers.

use std::time::Duration;

use http::Uri;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::config::Address;
use crate::dial::Dialer;

/// Largest message taken in either direction; Java peers accept as much.
pub const MAX_MESSAGE_BYTES: usize = 32 << 20;

/// A channel that connects on first use and again after a loss. Must be called inside a tokio runtime.
pub fn lazy_channel(address: &Address) -> Result<Channel, String> {
    lazy_channel_over(address, Dialer::plain())
}

/// The same over connections of a dialer's making.
pub fn lazy_channel_over(address: &Address, dialer: Dialer) -> Result<Channel, String> {
    let scheme = dialer.scheme();
    let unusable = |cause| format!("{address} is not usable as an address: {cause}");
    let uri: Uri = format!("{scheme}://{address}")
        .parse()
        .map_err(|cause| unusable(format!("{cause}")))?;
    let endpoint = Endpoint::from(uri)
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_with_connector_lazy(dialer))
}

/// Whether a call ended because its time was over.
pub fn is_timeout(status: &Status) -> bool {
    let expired = status.code() == Code::Cancelled && status.message().contains("imeout");
    expired || status.code() == Code::DeadlineExceeded
}

/// Whether a call was never sent because there was no connection: the peer cannot have done anything.
pub fn is_unsent(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The last cause of a failed connection, for example `Connection refused (os error 111)`.
pub fn innermost(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status)?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}

/// The names gRPC itself uses.
pub fn status_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
