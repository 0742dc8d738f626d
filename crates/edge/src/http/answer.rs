//! Answers of the HTTP edges.

use axum::body::Body;
use axum::http::{StatusCode, Uri, header};
use axum::response::Response;
use serde_json::json;

use crate::clock::now_ms;
use crate::prometheus::{CONTENT_TYPE, Page};

/// Rates are counted by the second.
const RETRY_AFTER_S: &str = "1";

/// For routes that do not exist.
pub async fn not_found(uri: Uri) -> Response {
    spring_error(StatusCode::NOT_FOUND, uri.path(), "")
}

/// For routes that do not know the method.
pub async fn method_not_allowed(uri: Uri) -> Response {
    spring_error(StatusCode::METHOD_NOT_ALLOWED, uri.path(), "")
}

/// Spring Boot's error document, which clients of the Java server know.
pub fn spring_error(status: StatusCode, path: &str, message: &str) -> Response {
    let error = json!({
        "timestamp": now_ms(),
        "status": status.as_u16(),
        "error": status.canonical_reason().unwrap_or_default(),
        "message": message,
        "path": path,
    });
    json_response(status, error.to_string().into_bytes())
}

/// For administrators' requests without `admin.token`.
pub fn unauthorized(path: &str) -> Response {
    let text = "the request needs admin.token, as Authorization: Bearer";
    let mut response = spring_error(StatusCode::UNAUTHORIZED, path, text);
    let scheme = header::HeaderValue::from_static("Bearer");
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, scheme);
    response
}

/// JSON as the Java servers label it.
pub fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    respond(status, "application/json;charset=UTF-8", body)
}

/// The answer of an inference call: 200, whatever its code. Who was refused for too many calls is told when to come again.
pub fn inference_response(body: Vec<u8>) -> Response {
    let is_over_load = body.starts_with(br#"{"retcode":124,"#);
    let mut response = json_response(StatusCode::OK, body);
    if is_over_load {
        let seconds = header::HeaderValue::from_static(RETRY_AFTER_S);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// What Prometheus scrapes.
pub fn metrics_response(page: Page) -> Response {
    respond(StatusCode::OK, CONTENT_TYPE, page.finish().into_bytes())
}

/// Plain text with 200.
pub fn text_response(text: impl Into<String>) -> Response {
    respond(
        StatusCode::OK,
        "text/plain;charset=UTF-8",
        text.into().into_bytes(),
    )
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_came_too_often_is_told_when_to_come_again() {
        let told = |body: &str| {
            let response = inference_response(body.into());
            assert_eq!(response.status(), StatusCode::OK);
            response.headers().get(header::RETRY_AFTER).cloned()
        };
        let seconds = told(r#"{"retcode":124,"retmsg":"…"}"#);
        assert_eq!(seconds.as_ref().map(|one| one.as_bytes()), Some(&b"1"[..]));
        for body in [
            r#"{"retcode":0,"data":{}}"#,
            r#"{"retcode":1244}"#,
            "{}",
            "",
        ] {
            assert_eq!(told(body), None, "{body}");
        }
    }
}
