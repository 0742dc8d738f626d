//! Inference over HTTP: the proxy's form with head and body (contract 04 A.2.1) and the plain gRPC body.

use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use bytes::Bytes;
use fate_edge::http::federation::{self, Asked};
use fate_edge::http::{Caller as From, inference_response};
use fate_federation::{Shape, failed_reply};

use super::{Edge, receive};
use crate::caller::Caller;
use crate::node::Node;

/// `POST /v1/inference`: body and answer are those of the gRPC call.
pub(super) async fn single(
    State(node): Edge,
    Extension(from): Extension<From>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    plain(&node, Shape::Single, from, &headers, body).await
}

/// `POST /v1/batchInference`: body and answer are those of the gRPC call.
pub(super) async fn batch(
    State(node): Edge,
    Extension(from): Extension<From>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    plain(&node, Shape::Batch, from, &headers, body).await
}

async fn plain(
    node: &Node,
    shape: Shape,
    From(address): From,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let client = node.client(headers, Some(address.ip()));
    let answer = match receive(node, service_of(shape), headers, body).await {
        // What was received is held until its answer is there.
        Ok(received) => infer(node, shape, received.bytes.clone(), client).await,
        Err(fault) => failed_reply(shape, &fault),
    };
    inference_response(answer)
}

/// `POST|GET /federation/{version}/{call}`: always HTTP 200, outcomes are codes in the answer.
pub(super) async fn federation(
    State(node): Edge,
    Path((_version, call)): Path<(String, String)>,
    Extension(From(address)): Extension<From>,
    request: Request,
) -> Response {
    let shape = match call.as_str() {
        "inference" => Shape::Single,
        "batchInference" => Shape::Batch,
        _ => return federation::unknown_call(),
    };
    if !matches!(*request.method(), Method::POST | Method::GET) {
        return federation::malformed();
    }
    let (head, body) = request.into_parts();
    let client = node.client(&head.headers, Some(address.ip()));
    let received = match receive(&node, service_of(shape), &head.headers, body).await {
        Ok(received) => received,
        Err(fault) => {
            let answer = failed_reply(shape, &fault);
            return inference_response(federation::client_answer(answer));
        }
    };
    match Asked::read(&received.bytes) {
        Some(asked) => {
            let request = with_case_id(&asked, &head.headers);
            let answer = infer(&node, shape, request.into(), client).await;
            inference_response(federation::client_answer(answer))
        }
        None => federation::malformed(),
    }
}

async fn infer(node: &Node, shape: Shape, body: Bytes, client: Caller) -> Vec<u8> {
    match shape {
        Shape::Single => node.infer(body, client).await,
        Shape::Batch => node.infer_batch(body, client).await,
    }
}

fn service_of(shape: Shape) -> &'static str {
    match shape {
        Shape::Single => "singleInference",
        Shape::Batch => "batchInference",
    }
}

/// A client that gives no case id gets the proxy's.
fn with_case_id(asked: &Asked<'_>, headers: &HeaderMap) -> String {
    if asked.has("caseid") || asked.has("caseId") {
        asked.flat(None)
    } else {
        asked.flat(Some(("caseId", &federation::case_id(headers))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_id_is_made_only_where_there_is_none() {
        let mut headers = HeaderMap::new();
        headers.insert("caseid", "the case".parse().unwrap());
        let cases = [
            (
                r#"{"head":{"serviceId":"s"}}"#,
                r#"{"caseId":"the case","serviceId":"s"}"#,
            ),
            (r#"{"body":{"caseid":"own"}}"#, r#"{"caseid":"own"}"#),
            (r#"{"head":{"caseId":"own"}}"#, r#"{"caseId":"own"}"#),
        ];
        for (given, expected) in cases {
            let asked = Asked::read(given.as_bytes()).unwrap();
            assert_eq!(with_case_id(&asked, &headers), expected);
        }
    }
}
