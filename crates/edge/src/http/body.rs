//! Receiving a request body: bounded in size, in time and by the server's budget of bytes.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use http_body_util::BodyExt;
use tokio::time::timeout_at;

use crate::admission;
use crate::intake::{ByteBudget, Pace, Share};

/// A body over the limit is still read this many times as far, so that its sender gets to see the answer.
const DISCARDED_LIMITS: usize = 4;
/// Room made for a body before anything of it has come.
const FIRST_BYTES: usize = 64 << 10;

/// A whole body. Its bytes are counted against the budget as long as this lives: until the call is answered.
#[derive(Debug)]
pub struct Received {
    /// What was sent.
    pub bytes: Bytes,
    _share: Share,
}

/// Reads a whole body of at most `limit` bytes, or says with a return code why not. `service` names the call when it is
/// refused.
pub async fn receive(
    budget: &Arc<ByteBudget>,
    limit: usize,
    service: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, Fault> {
    let share = budget.share();
    let bytes = read(&share, limit, service, headers, body).await?;
    Ok(Received {
        bytes,
        _share: share,
    })
}

async fn read(
    share: &Share,
    limit: usize,
    service: &str,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Bytes, Fault> {
    let announced = announced_length(headers).unwrap_or(0);
    let mut received = BytesMut::with_capacity(announced.min(FIRST_BYTES));
    let mut is_too_large = announced > limit;
    let mut seen = 0usize;
    let mut pace = Pace::starts_now();
    loop {
        let Ok(frame) = timeout_at(pace.deadline(), body.frame()).await else {
            return Err(param(pace.too_slow()));
        };
        let Some(frame) = frame else {
            break;
        };
        let frame = frame.map_err(|error| param(format!("request body is broken off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        pace.received(data.len());
        seen = seen.saturating_add(data.len());
        is_too_large |= seen > limit;
        if seen > limit.saturating_mul(DISCARDED_LIMITS) {
            break;
        }
        if is_too_large {
            received = BytesMut::new();
            share.give_back();
        } else if share.take(data.len()) {
            received.extend_from_slice(&data);
        } else {
            return Err(admission::over_load(service));
        }
    }
    if is_too_large {
        return Err(param(format!("request body is larger than {limit} bytes")));
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
