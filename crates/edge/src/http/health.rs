//! `/livez` and `/readyz`: whether the process lives, and whether it should get calls, with the reasons in words.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::answer::{json_response, text_response};

/// `GET /livez`: the process answers.
pub async fn livez() -> Response {
    text_response("ok")
}

/// Whether calls should come here.
#[derive(Debug, Default, Serialize)]
pub struct Readiness {
    /// Why they should not; empty when they should.
    pub reasons: Vec<String>,
    /// What is wrong besides, and keeps no call from being answered.
    pub warnings: Vec<String>,
}

impl Readiness {
    /// Whether nothing speaks against it.
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }

    /// 200 or 503; JSON, or lines for those who ask for `text/plain`.
    pub fn response(&self, headers: &HeaderMap) -> Response {
        let status = if self.is_ready() {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let accept = headers.get(header::ACCEPT).map(|one| one.as_bytes());
        if accept.is_some_and(|one| one.starts_with(b"text/plain")) {
            let mut response = text_response("");
            *response.status_mut() = status;
            *response.body_mut() = self.text().into();
            return response;
        }
        let document = serde_json::json!({
            "ready": self.is_ready(),
            "reasons": self.reasons,
            "warnings": self.warnings,
        });
        json_response(status, document.to_string().into_bytes())
    }

    fn text(&self) -> String {
        let mut text = String::from(if self.is_ready() {
            "ready\n"
        } else {
            "not ready\n"
        });
        let reasons = self.reasons.iter().map(|one| ("reason", one));
        let warnings = self.warnings.iter().map(|one| ("warning", one));
        for (what, words) in reasons.chain(warnings) {
            text.push_str(&format!("{what}: {words}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_in_words() {
        let mut readiness = Readiness::default();
        assert_eq!(
            readiness.response(&HeaderMap::new()).status(),
            StatusCode::OK
        );
        readiness.warnings.push("slow".to_owned());
        assert!(readiness.is_ready());
        readiness.reasons.push("stopping".to_owned());
        assert_eq!(
            readiness.text(),
            "not ready\nreason: stopping\nwarning: slow\n"
        );
        let mut headers = HeaderMap::new();
        for (accept, content_type) in [
            ("*/*", "application/json;charset=UTF-8"),
            ("text/plain", "text/plain;charset=UTF-8"),
        ] {
            headers.insert(header::ACCEPT, header::HeaderValue::from_static(accept));
            let response = readiness.response(&headers);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::CONTENT_TYPE], content_type);
        }
    }
}
