//! The one message of a call.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, HeaderValue};
use tonic::Status;

use crate::alarm::until;
use crate::intake::{Pace, Share};
use crate::unary::message::{Assembly, Unusable};

const ENCODING: &str = "grpc-encoding";
const ACCEPTED_ENCODINGS: &str = "grpc-accept-encoding";
const PLAIN: &str = "identity";

/// What a body says whose bytes no longer fit into the budget.
pub(crate) fn no_room() -> Status {
    Status::resource_exhausted(
        "request was block by over load: serving.max.body.bytes are held by other requests",
    )
}

/// Receives a message of at most `max_bytes`, which `share` takes.
///
/// # Errors
/// The body is something else, or too slow; with tonic's statuses.
pub(super) async fn receive(
    mut body: RecvStream,
    headers: &HeaderMap,
    max_bytes: usize,
    share: &Share,
) -> Result<Bytes, Status> {
    is_plain(headers)?;
    let mut assembly = Assembly::new(max_bytes);
    let mut pace = None;
    loop {
        let mut next = pin!(poll_fn(|context| body.poll_data(context)));
        // Most bodies are there when their calls begin.
        let frame = match futures::poll!(next.as_mut()) {
            std::task::Poll::Ready(frame) => frame,
            std::task::Poll::Pending => {
                let pace = pace.get_or_insert_with(Pace::starts_now);
                let arrived = until(pace.deadline(), next).await;
                arrived.map_err(|_| Status::deadline_exceeded(pace.too_slow()))?
            }
        };
        let Some(chunk) = frame else {
            break;
        };
        let chunk = chunk.map_err(|error| Status::from_error(error.into()))?;
        let length = chunk.len();
        // What is left of a stream that is over needs no room.
        let _ = body.flow_control().release_capacity(length);
        if !share.take(length) {
            return Err(no_room());
        }
        pace.get_or_insert_with(Pace::starts_now).received(length);
        assembly.push(chunk).map_err(as_tonic)?;
    }
    assembly.finish().map_err(as_tonic)
}

fn is_plain(headers: &HeaderMap) -> Result<(), Status> {
    let encoding = headers.get(ENCODING).map(HeaderValue::as_bytes);
    let Some(encoding) = encoding.filter(|name| *name != PLAIN.as_bytes()) else {
        return Ok(());
    };
    let mut status = Status::unimplemented(format!(
        "Content is compressed with `{}` which isn't supported",
        encoding.escape_ascii()
    ));
    let accepted = tonic::metadata::MetadataValue::from_static(PLAIN);
    status.metadata_mut().insert(ACCEPTED_ENCODINGS, accepted);
    Err(status)
}

fn as_tonic(cause: Unusable) -> Status {
    match cause {
        Unusable::Compressed(1) => Status::internal(
            "protocol error: received message with compressed-flag but no grpc-encoding was specified",
        ),
        Unusable::Compressed(flag) => Status::internal(format!(
            "protocol error: received message with invalid compression flag: {flag} (valid flags are 0 and 1), while sending request"
        )),
        Unusable::TooLong { length, limit } => Status::out_of_range(format!(
            "Error, decoded message length too large: found {length} bytes, the limit is: {limit} bytes"
        )),
        Unusable::None => Status::internal("Missing request message."),
        Unusable::BreaksOff => Status::internal("Unexpected EOF decoding stream."),
        Unusable::MoreThanOne => cause.into(),
    }
}
