//! Inference requests as JSON, read with the leniency of the Java mapper (contract 01 §2.1 to §2.3, §2.6).

use std::borrow::Cow;

use fate_domain::fault::Fault;
use fate_domain::java_number::parse_double;
use fate_domain::members::Members;
use fate_domain::return_code::ReturnCode;

use crate::explain;
use crate::row_list::{plain_batch, rows};

/// What a client asks of a guest.
#[derive(Debug)]
pub(crate) struct GuestRequest<'a> {
    pub(crate) service_id: Cow<'a, str>,
    pub(crate) case_id: Cow<'a, str>,
    pub(crate) apply_id: Option<Cow<'a, str>>,
    /// Whether the client wants to know what the score is made of.
    pub(crate) explain: bool,
}

/// One row of a guest's request: JSON texts of objects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuestRow<'a> {
    pub(crate) index: i32,
    /// The guest's own features; none when the client sent `null`.
    pub(crate) features: Option<&'a str>,
    /// What the hosts look their features up by.
    pub(crate) ids: &'a str,
}

/// One row of a guest's batch, at the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostRow<'a> {
    pub(crate) index: i32,
    pub(crate) ids: &'a str,
}

pub(crate) const EMPTY: &str = "{}";

pub(crate) fn param(message: &str) -> Fault {
    Fault::new(ReturnCode::PARAM, message)
}

fn parse_error() -> Fault {
    param("request message parse error")
}

/// The text of a body: UTF-8, with or without a byte order mark.
pub(crate) fn text(body: &[u8]) -> Option<&str> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    std::str::from_utf8(body).ok()
}

/// Reads a single inference (contract 01 §4.1 step 2).
pub(crate) fn guest_single(body: &[u8]) -> Result<(GuestRequest<'_>, GuestRow<'_>), Fault> {
    let members = envelope(body)?;
    let features = object_member(&members, "featureData")?;
    let ids = object_member(&members, "sendToRemoteFeatureData")?;
    // A value that cannot be mapped spoils the whole request, so all members are read before any is judged.
    let request = guest_request(&members)?;
    let row = GuestRow {
        index: 0,
        features: Some(features.ok_or_else(|| param("no feature data"))?),
        ids: ids.ok_or_else(|| param("no send to remote feature data"))?,
    };
    Ok((with_service_id(request)?, row))
}

/// Reads a batch of at most `max` rows; of rows with equal indices the last one counts. Rows are sorted by index.
pub(crate) fn guest_batch(
    body: &[u8],
    max: usize,
) -> Result<(GuestRequest<'_>, Vec<GuestRow<'_>>), Fault> {
    let (members, listed) = match text(body).and_then(|text| plain_batch(text, max)) {
        Some(plain) => plain,
        None => (envelope(body)?, None),
    };
    object_member(&members, "featureData")?;
    object_member(&members, "sendToRemoteFeatureData")?;
    let rows = match listed {
        Some(rows) => Some(rows),
        None => rows(&members, max, |row| row, guest_row)
            .map_err(|fault| fault.unwrap_or_else(parse_error))?,
    };
    let request = with_service_id(guest_request(&members)?)?;
    let rows =
        rows.ok_or_else(|| Fault::new(ReturnCode::SYSTEM, "the request has no batchDataList"))?;
    Ok((request, last_of_each_index(rows)))
}

fn last_of_each_index(mut rows: Vec<GuestRow<'_>>) -> Vec<GuestRow<'_>> {
    if rows.is_sorted_by(|one, next| one.index < next.index) {
        return rows;
    }
    rows.reverse();
    rows.sort_by_key(|row| row.index);
    rows.dedup_by_key(|row| row.index);
    rows
}

fn envelope(body: &[u8]) -> Result<Members<'_>, Fault> {
    text(body)
        .and_then(Members::leading)
        .ok_or_else(parse_error)
}

fn guest_request<'a>(members: &Members<'a>) -> Result<GuestRequest<'a>, Fault> {
    let text = |name| text_member(members, name).ok_or_else(parse_error);
    let case_id = match text("caseId")? {
        Some(case_id) => Some(case_id),
        None => text("caseid")?,
    };
    Ok(GuestRequest {
        service_id: text("serviceId")?.unwrap_or_default(),
        case_id: case_id
            .filter(|case_id| !case_id.is_empty())
            .unwrap_or_else(|| Cow::Owned(random_id())),
        apply_id: text("applyId")?,
        explain: wants_explanation(members)?,
    })
}

/// Whether a client asks to be told what the rows brought along: `true` or `false`, also as text. Anything else would be
/// passed over in silence.
fn wants_explanation(members: &Members<'_>) -> Result<bool, Fault> {
    let value = members.get(explain::MEMBER).unwrap_or("null");
    match value.trim_matches('"').trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" | "null" | "" => Ok(false),
        _ => Err(param("explain is neither true nor false")),
    }
}

/// Whether a guest asks for it. Whatever is no clear yes is a no, never an error: Java ignores the member.
pub(crate) fn asks_explanation(members: &Members<'_>) -> bool {
    wants_explanation(members).unwrap_or(false)
}

fn with_service_id(request: GuestRequest<'_>) -> Result<GuestRequest<'_>, Fault> {
    if request.service_id.trim().is_empty() {
        return Err(param("no service id"));
    }
    Ok(request)
}

pub(crate) fn guest_row<'a>(members: &Members<'a>) -> Result<GuestRow<'a>, Fault> {
    Ok(GuestRow {
        index: index_of(members).ok_or_else(parse_error)?,
        features: object_member(members, "featureData")?,
        ids: object_member(members, "sendToRemoteFeatureData")?.unwrap_or(EMPTY),
    })
}

/// Reads the ids of a guest's single request. 1.x guests must send `featureIdMap`, whose members join the ids.
pub(crate) fn host_single_ids(members: &Members<'_>, is_legacy: bool) -> Result<String, Fault> {
    let broken = |text: &str| Fault::new(ReturnCode::SYSTEM, text);
    let ids = object_member(members, "sendToRemoteFeatureData")
        .map_err(|_| broken("sendToRemoteFeatureData is not an object"))?;
    let ids = ids.unwrap_or(EMPTY);
    if !is_legacy {
        return Ok(ids.to_owned());
    }
    let legacy = object_member(members, "featureIdMap")
        .ok()
        .flatten()
        .filter(|_| members.get("featureIdMap").is_some())
        .ok_or_else(|| broken("the request has no featureIdMap"))?;
    Ok(joined(ids, legacy))
}

/// One object with the members of both; those of `second` win.
fn joined(first: &str, second: &str) -> String {
    let (first, second) = (first.trim(), second.trim());
    let inner = |text: &str| text[1..text.len() - 1].trim().to_owned();
    match (inner(first), inner(second)) {
        (first, second) if first.is_empty() => format!("{{{second}}}"),
        (first, second) if second.is_empty() => format!("{{{first}}}"),
        (first, second) => format!("{{{first},{second}}}"),
    }
}

/// Reads the rows of a guest's batch (contract 01 §4.6 step 2): code 100 for none, or for more than `max`.
pub(crate) fn host_batch<'a>(members: &Members<'a>, max: usize) -> Result<Vec<HostRow<'a>>, Fault> {
    let of_plain = |row: GuestRow<'a>| HostRow {
        index: row.index,
        ids: row.ids,
    };
    let read = |row: &Members<'a>| {
        Ok(HostRow {
            index: index_of(row).ok_or_else(|| param("a row's index is not a number"))?,
            ids: object_member(row, "sendToRemoteFeatureData")?.unwrap_or(EMPTY),
        })
    };
    let no_list = || param("batchDataList is not a list of objects");
    let rows = rows(members, max, of_plain, read)
        .map_err(|fault| fault.unwrap_or_else(no_list))?
        .unwrap_or_default();
    if rows.is_empty() {
        return Err(param("batchDataList is missing or empty"));
    }
    Ok(rows)
}

/// The text of an object: `{}` when absent, `None` when null; a fault for any other value.
fn object_member<'a>(members: &Members<'a>, name: &str) -> Result<Option<&'a str>, Fault> {
    match members.get(name) {
        None => Ok(Some(EMPTY)),
        Some("null") => Ok(None),
        Some(object) if object.starts_with('{') => Ok(Some(object)),
        Some(_) => Err(parse_error()),
    }
}

/// A text; numbers and booleans count as their spelling. Outer `None`: a list or an object.
pub(crate) fn text_member<'a>(members: &Members<'a>, name: &str) -> Option<Option<Cow<'a, str>>> {
    let Some(token) = members.get(name) else {
        return Some(None);
    };
    match token.as_bytes().first() {
        Some(b'n') => Some(None),
        Some(b'{' | b'[') => None,
        Some(b'"') => match token.get(1..token.len().saturating_sub(1)) {
            Some(inner) if !inner.contains('\\') => Some(Some(Cow::Borrowed(inner))),
            _ => serde_json::from_str::<String>(token)
                .ok()
                .map(|text| Some(Cow::Owned(text))),
        },
        _ => Some(Some(Cow::Borrowed(token))),
    }
}

fn index_of(members: &Members<'_>) -> Option<i32> {
    int_member(members, "index")
}

/// An int as the Java mapper reads one: absent, null and blank text are 0, decimals are cut, number texts count.
pub(crate) fn int_member(members: &Members<'_>, name: &str) -> Option<i32> {
    int_of(members.get(name))
}

/// As [`int_member`], of the member's text.
pub(crate) fn int_of(token: Option<&str>) -> Option<i32> {
    let token = token.unwrap_or("null");
    match token.as_bytes().first() {
        Some(b'n') => Some(0),
        Some(b'"') => {
            let text: String = serde_json::from_str(token).ok()?;
            match text.trim() {
                "" => Some(0),
                text => text.parse().ok(),
            }
        }
        Some(b'-' | b'0'..=b'9') => match token.parse::<i32>() {
            Ok(value) => Some(value),
            Err(_) => cut(parse_double(token)?),
        },
        _ => None,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the range is checked, and cutting the fraction is what Java does"
)]
fn cut(value: f64) -> Option<i32> {
    let fits = value > f64::from(i32::MIN) - 1.0 && value < f64::from(i32::MAX) + 1.0;
    fits.then_some(value as i32)
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// 32 hexadecimal digits, as Java's identifiers without dashes.
pub(crate) fn random_id() -> String {
    let digits = rand::random::<[u8; 16]>().map(|byte| {
        let digit = |half: u8| HEX[usize::from(half)];
        [digit(byte >> 4), digit(byte & 15)]
    });
    // Digits are text.
    String::from_utf8_lossy(digits.as_flattened()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(body: &str) -> (i32, String) {
        let fault = guest_single(body.as_bytes()).unwrap_err();
        (fault.code.0, fault.message)
    }

    #[test]
    fn values_are_coerced_as_java_does() {
        let body = "\u{feff}{\"serviceId\":12,\"caseid\":true,\"featureData\":{\"x\":1},\"other\":[{}]} trailing";
        let (request, row) = guest_single(body.as_bytes()).unwrap();
        assert_eq!((&*request.service_id, &*request.case_id), ("12", "true"));
        assert_eq!((row.features, row.ids), (Some("{\"x\":1}"), "{}"));
        assert_eq!(request.apply_id, None);
    }

    #[test]
    fn a_clear_yes_asks_for_an_explanation_and_a_clear_no_does_not() {
        for (value, expected) in [
            ("true", Some(true)),
            ("\"true\"", Some(true)),
            ("\" TRUE \"", Some(true)),
            ("false", Some(false)),
            ("\"false\"", Some(false)),
            ("null", Some(false)),
            ("\"\"", Some(false)),
            ("1", None),
            ("\"yes\"", None),
            ("{\"true\":true}", None),
            ("[true]", None),
        ] {
            let body = format!("{{\"serviceId\":\"s\",\"explain\":{value}}}");
            let explain = guest_single(body.as_bytes()).map(|(request, _)| request.explain);
            assert_eq!(explain.as_ref().ok(), expected.as_ref(), "{value}");
            if let Err(fault) = explain {
                assert_eq!(fault.code.0, 100);
                assert_eq!(fault.message, "explain is neither true nor false");
            }
            // A guest's question is never refused for it.
            let asks = asks_explanation(&Members::leading(&body).unwrap());
            assert_eq!(asks, expected == Some(true), "{value}");
        }
        assert!(!guest_single(b"{\"serviceId\":\"s\"}").unwrap().0.explain);
    }

    #[test]
    fn a_case_id_is_made_when_none_is_given() {
        for body in [
            r#"{"serviceId":"s"}"#,
            r#"{"serviceId":"s","caseId":""}"#,
            r#"{"serviceId":"s","caseId":null}"#,
        ] {
            let (request, _) = guest_single(body.as_bytes()).unwrap();
            assert_eq!(request.case_id.len(), 32, "{body}");
        }
    }

    #[test]
    fn what_is_wrong_has_the_contracts_code_and_text() {
        let parse = (100, "request message parse error".to_owned());
        for body in [
            "",
            "null",
            "[]",
            "{",
            "{\"serviceId\":[]}",
            "{\"serviceId\":\"s\",\"featureData\":1}",
            "{\"serviceId\":\"s\",\"featureData\":{\"x\":NaN}}",
        ] {
            assert_eq!(fault(body), parse, "{body}");
        }
        assert_eq!(
            fault(r#"{"featureData":null}"#),
            (100, "no feature data".to_owned())
        );
        assert_eq!(
            fault(r#"{"sendToRemoteFeatureData":null}"#),
            (100, "no send to remote feature data".to_owned())
        );
        for body in ["{}", r#"{"serviceId":" "}"#] {
            assert_eq!(fault(body), (100, "no service id".to_owned()));
        }
        assert_eq!(
            guest_single(b"{\"serviceId\":\"\xff\"}")
                .unwrap_err()
                .code
                .0,
            100
        );
    }

    #[test]
    fn rows_of_a_batch() {
        let body = r#"{"serviceId":"s","batchDataList":[
            {"index":"4","featureData":{"a":1}},{"index":2.7},{"index":4,"featureData":null},{}]}"#;
        let (_, rows) = guest_batch(body.as_bytes(), 4).unwrap();
        let shown: Vec<_> = rows.iter().map(|row| (row.index, row.features)).collect();
        assert_eq!(shown, [(0, Some("{}")), (2, Some("{}")), (4, None)]);
    }

    #[test]
    fn bad_batches() {
        for (body, code) in [
            (r#"{"serviceId":"s"}"#, 110),
            (r#"{"serviceId":"s","batchDataList":null}"#, 110),
            (r#"{"batchDataList":[]}"#, 100),
            (r#"{"serviceId":"s","batchDataList":{}}"#, 100),
            (r#"{"serviceId":"s","batchDataList":[1]}"#, 100),
            (r#"{"serviceId":"s","batchDataList":[{"index":"x"}]}"#, 100),
            (r#"{"serviceId":"s","batchDataList":[{"index":3e9}]}"#, 100),
        ] {
            assert_eq!(
                guest_batch(body.as_bytes(), 4).unwrap_err().code.0,
                code,
                "{body}"
            );
        }
    }

    #[test]
    fn a_guest_bounds_its_batches_before_it_reads_on() {
        let body = |rows: &str| format!(r#"{{"serviceId":"s","batchDataList":[{rows}]}}"#);
        assert_eq!(guest_batch(body("{},{}").as_bytes(), 2).unwrap().1.len(), 1);
        // The third row is refused for its number, not for what is in it.
        let refused = guest_batch(body("{},{},{\"index\":[]}").as_bytes(), 2).unwrap_err();
        assert_eq!(
            (refused.code.0, refused.message.as_str()),
            (100, "batch size is big than 2")
        );
    }

    #[test]
    fn ids_of_a_legacy_guest_join() {
        let ids =
            |body: &str, is_legacy| host_single_ids(&Members::leading(body).unwrap(), is_legacy);
        let both = r#"{"sendToRemoteFeatureData":{"a":1},"featureIdMap":{"b":2}}"#;
        assert_eq!(ids(both, true).unwrap(), r#"{"a":1,"b":2}"#);
        assert_eq!(ids(both, false).unwrap(), r#"{"a":1}"#);
        assert_eq!(ids(r#"{"featureIdMap":{ }}"#, true).unwrap(), "{}");
        assert_eq!(ids("{}", false).unwrap(), "{}");
        assert_eq!(ids("{}", true).unwrap_err().code.0, 110);
    }

    #[test]
    fn a_host_bounds_its_batches() {
        let rows = |body: &str| {
            host_batch(&Members::leading(body).unwrap(), 2)
                .map(|rows| rows.len())
                .map_err(|fault| (fault.code.0, fault.message))
        };
        assert_eq!(rows(r#"{"batchDataList":[{},{"index":1}]}"#), Ok(2));
        assert_eq!(
            rows(r#"{"batchDataList":[{},{},{}]}"#),
            Err((100, "batch size is big than 2".to_owned()))
        );
        for body in ["{}", r#"{"batchDataList":[]}"#, r#"{"batchDataList":7}"#] {
            assert_eq!(rows(body).unwrap_err().0, 100, "{body}");
        }
    }
}
