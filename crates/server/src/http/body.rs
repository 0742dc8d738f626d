//! Receiving a request body: bounded in size, time and number.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use http_body_util::BodyExt;

use crate::answers;
use crate::node::Node;
use crate::transport::MAX_MESSAGE_BYTES;

/// Time for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// A body over the limit is still read this far, so that its sender gets to see the answer.
const MAX_DISCARDED_BYTES: usize = 4 * MAX_MESSAGE_BYTES;

/// Reads a whole body, or says with a return code why not. `service` names the call when it is refused.
pub(super) async fn receive(
    node: &Node,
    service: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Bytes, Fault> {
    let _permit = node
        .gates
        .bodies
        .try_enter()
        .map_err(|refused| answers::refusal(refused, service))?;
    match tokio::time::timeout(BODY_TIMEOUT, read(headers, body)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(param(format!(
            "request body did not arrive within {} s",
            BODY_TIMEOUT.as_secs()
        ))),
    }
}

async fn read(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Fault> {
    let announced = announced_length(headers).unwrap_or(0);
    let mut received = BytesMut::with_capacity(announced.min(1 << 20));
    let mut is_too_large = announced > MAX_MESSAGE_BYTES;
    let mut seen = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| param(format!("request body is broken off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen += data.len();
        is_too_large |= seen > MAX_MESSAGE_BYTES;
        if seen > MAX_DISCARDED_BYTES {
            break;
        }
        if is_too_large {
            received = BytesMut::new();
        } else {
            received.extend_from_slice(&data);
        }
    }
    if is_too_large {
        return Err(param(format!(
            "request body is larger than {MAX_MESSAGE_BYTES} bytes"
        )));
    }
    Ok(received.freeze())
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

fn param(message: String) -> Fault {
    Fault::new(ReturnCode::PARAM, message)
}
