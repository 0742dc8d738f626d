//! `POST|GET /federation/{version}/{callName}` (contract 04 A.2.1, A.2.4): always HTTP 200, outcomes are codes in the
//! answer.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::http::Method;
use axum::response::Response;
use fate_domain::fault::Fault;
use fate_edge::http::federation::{Asked, case_id, malformed, unknown_call, without_internals};
use fate_edge::http::{Caller, inference_response};

use super::{Edge, NotReceived, has_wrong_media_type, receive};
use crate::call::CallContext;
use crate::inference::{Asking, InferenceCall};
use crate::node::fault_body;

/// Services that the Java proxy finds by these names and cannot call with what came.
const NOT_OVER_HTTP: [&str; 3] = ["unaryCall", "commonService", "routerTableService"];

pub(super) async fn federation(
    State(node): Edge,
    path: Result<Path<(String, String)>, PathRejection>,
    Extension(caller): Extension<Caller>,
    request: Request<Body>,
) -> Response {
    let (head, body) = request.into_parts();
    if !matches!(head.method, Method::POST | Method::GET) || has_wrong_media_type(&head.headers) {
        return malformed();
    }
    // Escapes that are no text name nothing.
    let call = path.map_or_else(|_| String::new(), |Path((_version, call))| call);
    if NOT_OVER_HTTP.contains(&&*call) {
        return malformed();
    }
    let which = InferenceCall::of_name(&call);
    let service = which.map_or("NotFound", |which| which.name().service);
    let received = receive(&node, &node.held_bytes, service, &head.headers, body);
    let received = match received.await {
        Ok(received) => received,
        Err(NotReceived::Late) => return malformed(),
        Err(NotReceived::Refused(fault)) => return refused(&fault),
    };
    let Some(asked) = Asked::read(&received.bytes) else {
        return malformed();
    };
    let Some(which) = which else {
        return unknown_call();
    };
    let case_id = case_id(&head.headers);
    let call = CallContext {
        source: Some(caller.0.ip()),
        ..CallContext::of_headers(&head.headers)
    };
    let asking = Asking {
        service_id: asked.head_text("serviceId"),
        app_id: asked.head_text("appid"),
        // The key that the Java proxy sends; it is not the one that the server reads.
        body: asked.flat(Some(("caseid", &case_id))),
        case_id,
    };
    // What was received is held until its answer is there.
    match node.infer(which, asking, &call).await {
        Ok(answer) => inference_response(client_answer(&answer)),
        Err(fault) => refused(&fault),
    }
}

/// The server's answer as clients get it: an empty one is an empty object, and what is no object is nothing.
fn client_answer(answer: &[u8]) -> Vec<u8> {
    if answer.is_empty() {
        return b"{}".to_vec();
    }
    without_internals(answer).unwrap_or_default()
}

/// Two members and no more (contract 04 A.2.4).
fn refused(fault: &Fault) -> Response {
    inference_response(fault_body(fault.code.0, &fault.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_as_the_java_proxy_passes_them() {
        let cases: [(&[u8], &[u8]); 4] = [
            (b"", b"{}"),
            (b"[1]", b""),
            (b"nonsense", b""),
            (
                br#"{"retcode":0,"log":{},"warn":{},"caseid":"x","data":{"score":0.50}}"#,
                br#"{"retcode":0,"data":{"score":0.50}}"#,
            ),
        ];
        for (given, expected) in cases {
            assert_eq!(client_answer(given), expected);
        }
    }
}
