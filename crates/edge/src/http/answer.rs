//! Answers of the HTTP edges.

use axum::body::Body;
use axum::http::{StatusCode, Uri, header};
use axum::response::Response;
use serde_json::json;

use crate::clock::now_ms;

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

/// JSON as the Java servers label it.
pub fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    respond(status, "application/json;charset=UTF-8", body)
}

/// Plain text with 200.
pub fn text_response(text: &'static str) -> Response {
    respond(StatusCode::OK, "text/plain;charset=UTF-8", text.into())
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
