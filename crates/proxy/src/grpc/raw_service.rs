//! The services whose messages pass undecoded: `DataTransferService` and `InferenceService`. The generated traits would
//! decode and encode every message once more.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use fate_edge::lane;
use fate_edge::unary::message::{self, Assembly};
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use hyper::http::{HeaderValue, Request, Response, header};
use tonic::body::Body;
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

use crate::call::CallContext;
use crate::forward::Arrival;
use crate::inference::InferenceCall;
use crate::node::Node;

/// Largest message that a lane works on itself.
const MAX_ON_LANE: usize = 256 << 10;

/// Packets between parties.
#[derive(Debug, Clone)]
pub(super) struct DataTransfer {
    node: Arc<Node>,
    arrival: Arrival,
}

impl DataTransfer {
    pub(super) fn new(node: Arc<Node>, arrival: Arrival) -> Self {
        Self { node, arrival }
    }
}

impl NamedService for DataTransfer {
    const NAME: &'static str = "com.webank.ai.fate.api.networking.proxy.DataTransferService";
}

type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

impl Service<Request<Body>> for DataTransfer {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        if request.uri().path() != UNARY_CALL {
            return unimplemented();
        }
        let (node, arrival) = (Arc::clone(&self.node), self.arrival);
        let max_bytes = node.config().max_message_bytes;
        unary(request, max_bytes, move |message, call| {
            on_its_way(message.len(), async move {
                node.unary_call(arrival, message, &call).await
            })
        })
    }
}

/// Inference of this party's applications.
#[derive(Debug, Clone)]
pub(super) struct Inference {
    node: Arc<Node>,
}

impl Inference {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

impl NamedService for Inference {
    const NAME: &'static str = "com.webank.ai.fate.api.serving.InferenceService";
}

impl Service<Request<Body>> for Inference {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let Some(which) = InferenceCall::of_path(request.uri().path()) else {
            return unimplemented();
        };
        let node = Arc::clone(&self.node);
        let max_bytes = node.config().max_message_bytes;
        unary(request, max_bytes, move |message, call| {
            on_its_way(message.len(), async move {
                node.infer_message(which, message, &call).await
            })
        })
    }
}

/// `unaryCall`, in both directions.
pub(crate) const UNARY_CALL: &str =
    "/com.webank.ai.fate.api.networking.proxy.DataTransferService/unaryCall";

/// Runs a call of one message and one answer.
fn unary<F>(
    request: Request<Body>,
    max_bytes: usize,
    answer: impl FnOnce(Bytes, CallContext) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    Box::pin(async move {
        let (head, body) = request.into_parts();
        let answered = match receive(body, max_bytes).await {
            Ok(message) => answer(message, CallContext::of_headers(&head.headers)).await,
            Err(status) => Err(status),
        };
        let body = answered.and_then(message::Answer::new);
        Ok(body.map_or_else(Status::into_http, |body| {
            let mut response = Response::new(Body::new(body));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
            response
        }))
    })
}

/// What is large takes its time to be signed and sent; the lane's other calls must not wait for it.
async fn on_its_way(
    bytes: usize,
    call: impl Future<Output = Result<Bytes, Status>> + Send + 'static,
) -> Result<Bytes, Status> {
    if bytes <= MAX_ON_LANE {
        return call.await;
    }
    let done = lane::aside(call).await;
    done.unwrap_or_else(|_| Err(Status::unavailable("the proxy is stopping")))
}

async fn receive(mut body: Body, max_bytes: usize) -> Result<Bytes, Status> {
    let mut assembly = Assembly::new(max_bytes);
    while let Some(frame) = body.frame().await {
        if let Ok(chunk) = frame?.into_data() {
            assembly.push(chunk)?;
        }
    }
    Ok(assembly.finish()?)
}

fn unimplemented() -> Answer {
    let mut response = Response::new(Body::default());
    let headers = response.headers_mut();
    let code = HeaderValue::from(Code::Unimplemented as i32);
    headers.insert(Status::GRPC_STATUS, code);
    headers.insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    Box::pin(std::future::ready(Ok(response)))
}
