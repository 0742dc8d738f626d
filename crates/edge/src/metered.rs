//! Request bodies of gRPC calls take from the server's budget of bytes and have to arrive in time.
//!
//! tonic knows neither: it collects a message as slowly as it comes, for as many streams as there are. A body that is
//! stopped here ends its call with a gRPC status (`RESOURCE_EXHAUSTED`, `DEADLINE_EXCEEDED`): there is no request yet
//! that an answer could be given to.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

use crate::connections::Origin;
use crate::intake::{ByteBudget, Pace, Share};
use crate::served::no_room;

/// Reflection is a conversation: its body ends when the client leaves. Its messages are bounded by a limit of their own.
const CONVERSATIONS: &str = "/grpc.reflection.";
/// Its answer goes on until the client leaves.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Services whose request bodies are metered until their calls are answered.
#[derive(Debug, Clone)]
pub(crate) struct Metered<S> {
    pub(crate) inner: S,
    pub(crate) budget: Arc<ByteBudget>,
}

impl<S> Service<Request<Body>> for Metered<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(CONVERSATIONS) {
            return Box::pin(self.inner.call(request));
        }
        let origin = request.extensions().get::<Origin>();
        let untaken = origin
            .filter(|_| request.uri().path() != WATCH)
            .map(|origin| origin.untaken.clone());
        let share = Arc::new(self.budget.share());
        let metered = request.map(|body| Body::new(MeteredBody::new(body, Arc::clone(&share))));
        let answer = self.inner.call(metered);
        Box::pin(async move {
            let answer = answer.await?;
            // Not earlier: the message lives as long as its call.
            drop(share);
            Ok(match untaken {
                Some(untaken) => answer.map(|body| Body::new(untaken.begin(body))),
                None => answer,
            })
        })
    }
}

struct MeteredBody {
    body: Body,
    share: Arc<Share>,
    pace: Pace,
    /// Runs while nothing arrives.
    late: Option<Pin<Box<Sleep>>>,
}

impl MeteredBody {
    fn new(body: Body, share: Arc<Share>) -> Self {
        Self {
            body,
            share,
            pace: Pace::starts_now(),
            late: None,
        }
    }

    fn admit(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Status> {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.late = None;
        self.pace.received(bytes);
        if self.share.take(bytes) {
            Ok(frame)
        } else {
            Err(no_room())
        }
    }
}

impl http_body::Body for MeteredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(this.admit(frame))),
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => {
                let deadline = this.pace.deadline();
                let late = this
                    .late
                    .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
                ready!(late.as_mut().poll(context));
                Poll::Ready(Some(Err(Status::deadline_exceeded(this.pace.too_slow()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;

    use super::*;

    /// These chunks, and then nothing for ever.
    fn unfinished(chunks: &'static [&'static [u8]]) -> Body {
        let sent = stream::iter(chunks).map(|chunk| Frame::data(Bytes::from_static(chunk)));
        Body::new(StreamBody::new(
            sent.map(Ok::<_, Status>).chain(stream::pending()),
        ))
    }

    #[tokio::test]
    async fn a_body_over_the_budget_is_stopped_and_gives_back() {
        let budget = ByteBudget::new(8);
        let share = Arc::new(budget.share());
        let mut body = MeteredBody::new(unfinished(&[b"12345", b"6789"]), share);
        assert!(body.frame().await.unwrap().is_ok());
        let stopped = body.frame().await.unwrap().unwrap_err();
        assert_eq!(stopped.code(), Code::ResourceExhausted);
        assert!(!budget.share().take(4), "the first bytes are still held");
        drop(body);
        assert!(budget.share().take(8));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_go_on_is_stopped() {
        let share = Arc::new(ByteBudget::new(8).share());
        let mut body = MeteredBody::new(unfinished(&[b"12345"]), share);
        assert!(body.frame().await.unwrap().is_ok());
        let stopped = body.frame().await.unwrap().unwrap_err();
        assert_eq!(stopped.code(), Code::DeadlineExceeded);
        assert_eq!(
            stopped.message(),
            "request body did not arrive in time: 5 bytes in 5 s"
        );
    }

    #[tokio::test]
    async fn a_share_is_held_until_the_answer() {
        let budget = ByteBudget::new(5);
        let seen = Arc::clone(&budget);
        let service = tower::service_fn(move |request: Request<Body>| {
            let seen = Arc::clone(&seen);
            async move {
                let mut body = request.into_body();
                assert!(body.frame().await.unwrap().is_ok());
                drop(body);
                assert!(!seen.share().take(1), "the body is gone, the call is not");
                Ok::<_, Status>(Response::new(Body::default()))
            }
        });
        let mut metered = Metered {
            inner: service,
            budget: Arc::clone(&budget),
        };
        let answered = metered.call(Request::new(unfinished(&[b"12345"]))).await;
        answered.unwrap();
        assert!(budget.share().take(5));
    }
}
