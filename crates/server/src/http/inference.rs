//! Inference over HTTP: the proxy's form with head and body (contract 04 A.2.1) and the plain gRPC body.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use fate_domain::members::{MemberWriter, Members};
use fate_edge::http::json_response;
use fate_federation::{Shape, failed_reply};
use serde_json::value::RawValue;

use super::{Edge, receive};
use crate::node::Node;

/// `POST /v1/inference`: body and answer are those of the gRPC call.
pub(super) async fn single(State(node): Edge, headers: HeaderMap, body: Body) -> Response {
    plain(&node, Shape::Single, &headers, body).await
}

/// `POST /v1/batchInference`: body and answer are those of the gRPC call.
pub(super) async fn batch(State(node): Edge, headers: HeaderMap, body: Body) -> Response {
    plain(&node, Shape::Batch, &headers, body).await
}

async fn plain(node: &Node, shape: Shape, headers: &HeaderMap, body: Body) -> Response {
    let answer = match receive(node, service_of(shape), headers, body).await {
        // What was received is held until its answer is there.
        Ok(received) => infer(node, shape, received.bytes.clone()).await,
        Err(fault) => failed_reply(shape, &fault),
    };
    json_response(StatusCode::OK, answer)
}

/// `POST|GET /federation/{version}/{call}`: always HTTP 200, outcomes are codes in the answer.
pub(super) async fn federation(
    State(node): Edge,
    Path((_version, call)): Path<(String, String)>,
    request: Request,
) -> Response {
    let shape = match call.as_str() {
        "inference" => Shape::Single,
        "batchInference" => Shape::Batch,
        _ => return unknown_call(),
    };
    if !matches!(*request.method(), Method::POST | Method::GET) {
        return malformed();
    }
    let (head, body) = request.into_parts();
    let received = match receive(&node, service_of(shape), &head.headers, body).await {
        Ok(received) => received,
        Err(fault) => {
            let answer = failed_reply(shape, &fault);
            return json_response(StatusCode::OK, client_answer(answer));
        }
    };
    match flattened(&received.bytes, case_id(&head.headers)) {
        Some(request) => {
            let answer = infer(&node, shape, request.into()).await;
            json_response(StatusCode::OK, client_answer(answer))
        }
        None => malformed(),
    }
}

async fn infer(node: &Node, shape: Shape, body: Bytes) -> Vec<u8> {
    match shape {
        Shape::Single => node.infer(body).await,
        Shape::Batch => node.infer_batch(body).await,
    }
}

fn service_of(shape: Shape) -> &'static str {
    match shape {
        Shape::Single => "singleInference",
        Shape::Batch => "batchInference",
    }
}

fn unknown_call() -> Response {
    let answer = br#"{"retcode":122,"retmsg":"SERVICE_NOT_FOUND","data":{},"flag":0}"#;
    json_response(StatusCode::OK, answer.to_vec())
}

fn malformed() -> Response {
    let answer = br#"{"code":110,"message":"SYSTEM_ERROR"}"#;
    json_response(StatusCode::OK, answer.to_vec())
}

fn case_id(headers: &HeaderMap) -> String {
    let given = headers.get("caseId").and_then(|value| value.to_str().ok());
    match given.filter(|text| !text.is_empty()) {
        Some(text) => text.to_owned(),
        None => format!("{:032x}", rand::random::<u128>()),
    }
}

/// One flat object: the case id, then the members of `head`, then those of `body`; later ones win.
/// `None` when the text is not an object of objects, or an id in the head is not a text.
fn flattened(received: &[u8], case_id: String) -> Option<String> {
    let request = Members::leading(std::str::from_utf8(received).ok()?)?;
    let head = section(request.get("head"))?;
    let body = section(request.get("body"))?;
    let is_text = |name: &str| {
        head.get(name)
            .is_none_or(|value| matches!(value.get().as_bytes().first(), Some(b'"' | b'n')))
    };
    if !is_text("serviceId") || !is_text("appid") {
        return None;
    }
    let has = |name: &str| head.get(name).is_some() || body.get(name).is_some();
    let mut flat = MemberWriter::new();
    if !has("caseid") && !has("caseId") {
        flat.member("caseId", &serde_json::Value::from(case_id).to_string());
    }
    for (name, value) in head.iter().filter(|(name, _)| body.get(name).is_none()) {
        flat.member(name, value.get());
    }
    for (name, value) in body.iter() {
        flat.member(name, value.get());
    }
    Some(flat.finish())
}

/// A missing section is an empty one.
fn section(value: Option<&RawValue>) -> Option<Members<'_>> {
    match value.map(RawValue::get) {
        None | Some("null") => Some(Members::default()),
        Some(text) => Members::leading(text),
    }
}

/// The answer without the members that the Java proxy takes out.
fn client_answer(answer: Vec<u8>) -> Vec<u8> {
    let object = std::str::from_utf8(&answer).ok().and_then(Members::leading);
    let Some(object) = object else {
        return answer;
    };
    let mut kept = MemberWriter::new();
    for (name, value) in object.iter() {
        if !matches!(name, "log" | "warn" | "caseid") {
            kept.member(name, value.get());
        }
    }
    kept.finish().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> Option<String> {
        flattened(text.as_bytes(), "the case".to_owned())
    }

    #[test]
    fn head_and_body_become_one_object() {
        let cases = [
            (
                r#"{"head":{"serviceId":"s"},"body":{"featureData":{"x":1.50}}}"#,
                r#"{"caseId":"the case","serviceId":"s","featureData":{"x":1.50}}"#,
            ),
            (
                r#"{"head":{"serviceId":"s","a":1},"body":{"serviceId":"t","caseid":"own"}}"#,
                r#"{"a":1,"serviceId":"t","caseid":"own"}"#,
            ),
            (r#"{"other":1}"#, r#"{"caseId":"the case"}"#),
            (r#"{"head":null,"body":null}"#, r#"{"caseId":"the case"}"#),
            (
                r#"{"head":{"serviceId":null}}"#,
                r#"{"caseId":"the case","serviceId":null}"#,
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(flat(given).as_deref(), Some(expected), "{given}");
        }
    }

    #[test]
    fn malformed_requests_are_told_apart() {
        for text in [
            "",
            "null",
            "[]",
            "{",
            r#"{"head":[]}"#,
            r#"{"body":1}"#,
            r#"{"head":{},}"#,
            r#"{"head":{"serviceId":12}}"#,
            r#"{"head":{"appid":{}}}"#,
        ] {
            assert_eq!(flat(text), None, "{text}");
        }
        assert_eq!(
            flattened(b"{\"head\":{\"a\":\"\xff\"}}", String::new()),
            None
        );
    }

    #[test]
    fn answers_lose_what_the_proxy_takes_out() {
        let answer = br#"{"retcode":0,"retmsg":"","caseid":"x","data":{"score":0.5,"log":1},"log":{},"warn":{},"flag":0}"#;
        assert_eq!(
            String::from_utf8(client_answer(answer.to_vec())).unwrap(),
            r#"{"retcode":0,"retmsg":"","data":{"score":0.5,"log":1},"flag":0}"#
        );
    }

    #[test]
    fn case_ids() {
        let mut headers = HeaderMap::new();
        assert_eq!(case_id(&headers).len(), 32);
        headers.insert("caseid", "abc".parse().unwrap());
        assert_eq!(case_id(&headers), "abc");
    }
}
