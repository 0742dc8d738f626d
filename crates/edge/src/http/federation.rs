//! The envelope of `/federation/{version}/{call}` (contract 04 A.2.1): head and body in, the server's answer out.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use fate_domain::members::{MemberWriter, Members};

use super::json_response;

/// A request's two sections.
#[derive(Debug)]
pub struct Asked<'a> {
    head: Members<'a>,
    body: Members<'a>,
}

impl<'a> Asked<'a> {
    /// `None` when the text is not an object of objects, or an id in the head is not a text.
    pub fn read(received: &'a [u8]) -> Option<Self> {
        let request = Members::leading(std::str::from_utf8(received).ok()?)?;
        let asked = Self {
            head: section(request.get("head"))?,
            body: section(request.get("body"))?,
        };
        let is_text = |name: &str| {
            asked
                .head
                .get(name)
                .is_none_or(|value| matches!(value.as_bytes().first(), Some(b'"' | b'n')))
        };
        (is_text("serviceId") && is_text("appid")).then_some(asked)
    }

    /// Whether a member is in either section.
    pub fn has(&self, name: &str) -> bool {
        self.head.get(name).is_some() || self.body.get(name).is_some()
    }

    /// A text of the head; empty when it is not there or null.
    pub fn head_text(&self, name: &str) -> String {
        let value = self.head.get(name);
        let text = value.and_then(|value| serde_json::from_str::<Option<String>>(value).ok());
        text.flatten().unwrap_or_default()
    }

    /// One flat object: `first`, then the members of the head, then those of the body; later ones win.
    pub fn flat(&self, first: Option<(&str, &str)>) -> String {
        let mut flat = MemberWriter::new();
        if let Some((name, text)) = first.filter(|(name, _)| !self.has(name)) {
            flat.member(name, &serde_json::Value::from(text).to_string());
        }
        let is_in_body = |name: &str| self.body.get(name).is_some();
        for (name, value) in self.head.iter().filter(|(name, _)| !is_in_body(name)) {
            flat.member(name, value);
        }
        for (name, value) in self.body.iter() {
            flat.member(name, value);
        }
        flat.finish()
    }
}

/// A missing section is an empty one.
fn section(value: Option<&str>) -> Option<Members<'_>> {
    match value {
        None | Some("null") => Some(Members::default()),
        Some(text) => Members::leading(text),
    }
}

/// The header `caseId`, or one made up.
pub fn case_id(headers: &HeaderMap) -> String {
    let given = headers.get("caseId").and_then(|value| value.to_str().ok());
    match given.filter(|text| !text.is_empty()) {
        Some(text) => text.to_owned(),
        None => format!("{:032x}", rand::random::<u128>()),
    }
}

/// The answer without the members that the Java proxy takes out.
pub fn client_answer(answer: Vec<u8>) -> Vec<u8> {
    without_internals(&answer).unwrap_or(answer)
}

/// The same; `None` when the answer is no object.
pub fn without_internals(answer: &[u8]) -> Option<Vec<u8>> {
    let object = Members::leading(std::str::from_utf8(answer).ok()?)?;
    let mut kept = MemberWriter::new();
    for (name, value) in object.iter() {
        if !matches!(name, "log" | "warn" | "caseid") {
            kept.member(name, value);
        }
    }
    Some(kept.finish().into_bytes())
}

/// What a call gets whose name nobody knows.
pub fn unknown_call() -> Response {
    let answer = br#"{"retcode":122,"retmsg":"SERVICE_NOT_FOUND","data":{},"flag":0}"#;
    json_response(StatusCode::OK, answer.to_vec())
}

/// What a request gets that cannot be read.
pub fn malformed() -> Response {
    let answer = br#"{"code":110,"message":"SYSTEM_ERROR"}"#;
    json_response(StatusCode::OK, answer.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> Option<String> {
        let asked = Asked::read(text.as_bytes())?;
        Some(asked.flat(Some(("caseid", "the case"))))
    }

    #[test]
    fn head_and_body_become_one_object() {
        let cases = [
            (
                r#"{"head":{"serviceId":"s"},"body":{"featureData":{"x":1.50}}}"#,
                r#"{"caseid":"the case","serviceId":"s","featureData":{"x":1.50}}"#,
            ),
            (
                r#"{"head":{"serviceId":"s","a":1},"body":{"serviceId":"t","caseid":"own"}}"#,
                r#"{"a":1,"serviceId":"t","caseid":"own"}"#,
            ),
            (r#"{"other":1}"#, r#"{"caseid":"the case"}"#),
            (r#"{"head":null,"body":null}"#, r#"{"caseid":"the case"}"#),
            (
                r#"{"head":{"serviceId":null}}"#,
                r#"{"caseid":"the case","serviceId":null}"#,
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
        assert_eq!(flat("\u{0}"), None);
        assert!(Asked::read(b"{\"head\":{\"a\":\"\xff\"}}").is_none());
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

    #[test]
    fn texts_of_the_head() {
        let asked = Asked::read(br#"{"head":{"serviceId":"a\u0062","appid":null}}"#).unwrap();
        assert_eq!(asked.head_text("serviceId"), "ab");
        assert_eq!(
            (asked.head_text("appid"), asked.head_text("none")),
            Default::default()
        );
    }

    #[test]
    fn an_answer_that_is_no_object_is_told_apart() {
        assert_eq!(without_internals(b"[1]"), None);
        assert_eq!(client_answer(b"[1]".to_vec()), b"[1]");
    }
}
