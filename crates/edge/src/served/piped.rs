//! Bodies between h2 and tonic's services.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Service as _;

use super::{ok_head, ok_trailers, timeout_expired, unless_reset};
use crate::alarm::until;
use crate::connections::Origin;
use crate::deadline;
use crate::intake::Share;
use crate::metered::Metered;
use crate::taken::Untaken;
use crate::unary::message::chunks;

/// Answers a call through the router.
pub(super) async fn routed(
    mut routes: Metered<Routes>,
    share: Share,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    origin: Origin,
) {
    let deadline = deadline::of_headers(request.headers());
    let mut request = request.map(|body| Body::new(Incoming(body)));
    request.extensions_mut().insert(origin);
    let mut answer = pin!(async {
        match routes.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    });
    let in_time = pin!(async {
        match deadline {
            Some(deadline) => {
                let answered = until(deadline, answer.as_mut()).await;
                answered.unwrap_or_else(|_| timeout_expired().into_http())
            }
            None => answer.as_mut().await,
        }
    });
    if let Some(response) = unless_reset(&mut respond, in_time).await {
        // Whoever has reset the stream, or is gone, is not told anything.
        let _ = pipe(&mut respond, response, &share).await;
    }
}

async fn pipe(
    respond: &mut SendResponse<Bytes>,
    response: Response<Body>,
    share: &Share,
) -> Result<(), h2::Error> {
    let (head, mut body) = response.into_parts();
    let is_over = body.is_end_stream();
    let mut stream = respond.send_response(Response::from_parts(head, ()), is_over)?;
    if is_over {
        return Ok(());
    }
    while let Some(frame) = next_frame(&mut body, &mut stream).await? {
        match frame.into_data() {
            Ok(data) => {
                stream.reserve_capacity(data.len());
                if stream.capacity() < data.len() {
                    hold(&mut stream, share, data.len())?;
                }
                give(&mut stream, data).await?;
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return stream.send_trailers(trailers);
            }
        }
    }
    stream.send_data(Bytes::new(), true)
}

/// None when the body is over.
async fn next_frame(
    body: &mut Body,
    stream: &mut SendStream<Bytes>,
) -> Result<Option<Frame<Bytes>>, h2::Error> {
    let mut frame = pin!(body.frame());
    poll_fn(|context| match frame.as_mut().poll(context) {
        Poll::Ready(None) => Poll::Ready(Ok(None)),
        Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
        Poll::Ready(Some(Err(_))) => {
            stream.send_reset(Reason::INTERNAL_ERROR);
            Poll::Ready(Err(Reason::INTERNAL_ERROR.into()))
        }
        Poll::Pending => {
            let reset = ready!(stream.poll_reset(context));
            Poll::Ready(Err(reset.map_or_else(|error| error, h2::Error::from)))
        }
    })
    .await
}

/// A message and the status OK. It counts as untaken while the peer has no room for it.
pub(super) async fn give_whole(
    respond: &mut SendResponse<Bytes>,
    message: Bytes,
    untaken: &Untaken,
    share: &Share,
) -> Result<(), h2::Error> {
    let (first, second) = match chunks(message) {
        Ok(chunks) => chunks,
        Err(status) => return respond.send_response(status.into_http(), true).map(drop),
    };
    let mut stream = respond.send_response(ok_head(), false)?;
    let length = first.len() + second.as_ref().map_or(0, Bytes::len);
    stream.reserve_capacity(length);
    if stream.capacity() >= length {
        for chunk in std::iter::once(first).chain(second) {
            stream.send_data(chunk, false)?;
        }
    } else {
        hold(&mut stream, share, length)?;
        let _waits = untaken.begin(());
        for chunk in std::iter::once(first).chain(second) {
            give(&mut stream, chunk).await?;
        }
    }
    stream.send_trailers(ok_trailers())
}

/// Takes what the peer has no room for from the budget; where that has no more, the peer loses its answer.
fn hold(stream: &mut SendStream<Bytes>, share: &Share, bytes: usize) -> Result<(), h2::Error> {
    if share.take(bytes) {
        return Ok(());
    }
    stream.send_reset(Reason::ENHANCE_YOUR_CALM);
    Err(Reason::ENHANCE_YOUR_CALM.into())
}

/// Data, as the peer has room for it.
async fn give(stream: &mut SendStream<Bytes>, mut data: Bytes) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(room) => room?.min(data.len()),
            None => return Err(Reason::CANCEL.into()),
        };
        stream.send_data(data.split_to(room), false)?;
    }
    Ok(())
}

/// A request's body, as tonic reads one.
struct Incoming(RecvStream);

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let broken = |error: h2::Error| Status::from_error(error.into());
        if let Some(chunk) = ready!(self.0.poll_data(context)) {
            // What is left of a stream that is over needs no room.
            let length = chunk.as_ref().map_or(0, Bytes::len);
            let _ = self.0.flow_control().release_capacity(length);
            return Poll::Ready(Some(chunk.map(Frame::data).map_err(broken)));
        }
        let trailers = ready!(self.0.poll_trailers(context)).map_err(broken);
        Poll::Ready(trailers.transpose().map(|one| one.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
