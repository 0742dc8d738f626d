//! The compact form of a host's parts, between servers of this kind (contract 02 D4).
//!
//! A guest whose model has such a form for a host adds `"compact":"<digest>"` to its question; Java's hosts do not know
//! the member and ignore it. A host that counts the model's nodes by the same digest answers
//!
//! ```json
//! {…,"data":{"retcode":0},…,"compact":{"digest":"adcf…","bits":"<base64>"}}
//! {…,"batchDataList":[…],…,"compact":{"digest":"adcf…","rows":[0,2],"bits":"<base64>"}}
//! ```
//!
//! and every other host answers as ever. `bits` are the packed parts of the rows, one behind the other; rows that failed,
//! and what is told of rows besides their part, stay in the list of rows.

use std::io::Write;

use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_domain::return_code::ReturnCode;
use fate_inference::CompactForm;
use serde::Deserialize;

use crate::base64_text;
use crate::java_json::write_int;

/// The member of a question that offers the form, and of an answer that uses it.
pub(crate) const MEMBER: &str = "compact";

/// Appends the offer to a question's members.
pub(crate) fn write_offer(form: Option<CompactForm>, body: &mut Vec<u8>) {
    if let Some(form) = form {
        // Writing to memory cannot fail.
        let _ = write!(body, r#","{MEMBER}":"{}""#, digest_text(form));
    }
}

/// Whether a question offers just this form. Whatever is no clear yes is a no, never an error.
pub(crate) fn is_offered(members: &Members<'_>, form: CompactForm) -> bool {
    let offer = members.get(MEMBER);
    let offer = offer.and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
    offer == Some(&digest_text(form))
}

fn digest_text(form: CompactForm) -> String {
    format!("{:016x}", form.digest)
}

/// The value of an answer's member; `rows` are the indices of a batch.
pub(crate) fn object(form: CompactForm, rows: Option<&[i32]>, parts: &[u8]) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(64 + parts.len() * 4 / 3 + rows.map_or(0, |rows| rows.len() * 4));
    // Writing to memory cannot fail.
    let _ = write!(out, r#"{{"digest":"{}","#, digest_text(form));
    if let Some(rows) = rows {
        out.extend_from_slice(b"\"rows\":[");
        for (position, index) in rows.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            write_int(*index, &mut out);
        }
        out.extend_from_slice(b"],");
    }
    out.extend_from_slice(b"\"bits\":\"");
    base64_text::write(parts, &mut out);
    out.extend_from_slice(b"\"}");
    out
}

#[derive(Deserialize)]
struct Wire<'a> {
    digest: &'a str,
    #[serde(default)]
    rows: Vec<i32>,
    bits: &'a str,
}

impl<'a> Wire<'a> {
    fn read(party_id: &str, text: &'a str, form: CompactForm) -> Result<(Self, Vec<u8>), Fault> {
        let refuse = |what: &str| unusable(party_id, what);
        let wire = match Self::plain(text) {
            Some(wire) => wire,
            None => serde_json::from_str(text).map_err(|error| refuse(&error.to_string()))?,
        };
        if wire.digest != digest_text(form) {
            return Err(refuse(
                "is of another numbering than the one it was asked for",
            ));
        }
        let parts = base64_text::read(wire.bits).map_err(|error| refuse(&error.to_string()))?;
        Ok((wire, parts))
    }

    /// As hosts write it. None for any other text, which is not less right for it.
    fn plain(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("{\"digest\":\"")?;
        let (digest, rest) = rest.split_once("\",\"")?;
        let (rows, rest) = match rest.strip_prefix("rows\":[") {
            Some(rest) => {
                let (rows, rest) = rest.split_once("],\"")?;
                (indices(rows)?, rest)
            }
            None => (Vec::new(), rest),
        };
        let bits = rest.strip_prefix("bits\":\"")?.strip_suffix("\"}")?;
        let is_simple = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        // What is no base64, escapes too, is refused when it is read.
        let is_plain = is_simple(digest) && !bits.contains('"');
        is_plain.then_some(Wire { digest, rows, bits })
    }
}

/// Numbers between commas.
fn indices(text: &str) -> Option<Vec<i32>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    let index = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let first = digits.bytes().next()?;
        let is_plain = text == "0" || matches!(first, b'1'..=b'9');
        text.parse().ok().filter(|_| is_plain)
    };
    text.split(',').map(index).collect()
}

fn unusable(party_id: &str, what: &str) -> Fault {
    let text = format!("the compact answer of host {party_id} is not usable: {what}");
    Fault::new(ReturnCode::MERGE, text)
}

/// The packed part of a single answer; code 108 if it cannot be read.
pub(crate) fn read_single(party_id: &str, text: &str, form: CompactForm) -> Result<Vec<u8>, Fault> {
    Wire::read(party_id, text, form).map(|(_, part)| part)
}

/// The packed parts of a batch's rows.
#[derive(Debug)]
pub(crate) struct PackedRows {
    /// The rows' indices, ascending, and whose part each of them is.
    places: Vec<(i32, usize)>,
    row_bytes: usize,
    parts: Vec<u8>,
}

impl PackedRows {
    /// Code 108 for rows that cannot be told apart for certain, and for a length that is not theirs.
    pub(crate) fn read(party_id: &str, text: &str, form: CompactForm) -> Result<Self, Fault> {
        let (wire, parts) = Wire::read(party_id, text, form)?;
        let row_bytes = form.row_bytes;
        if wire.rows.len().checked_mul(row_bytes) != Some(parts.len()) {
            let what = format!("{} bytes are not {} rows", parts.len(), wire.rows.len());
            return Err(unusable(party_id, &what));
        }
        let mut places: Vec<(i32, usize)> = wire.rows.into_iter().zip(0..).collect();
        // Which takes a glance: guests ask in this order.
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(unusable(party_id, "two of its rows have the same index"));
        }
        Ok(PackedRows {
            places,
            row_bytes,
            parts,
        })
    }

    pub(crate) fn has(&self, index: i32) -> bool {
        self.place(index).is_some()
    }

    fn place(&self, index: i32) -> Option<usize> {
        let at = self.places.binary_search_by_key(&index, |(of, _)| *of);
        Some(self.places[at.ok()?].1)
    }

    /// The part of a row, if the host has one.
    pub(crate) fn part(&self, index: i32) -> Option<&[u8]> {
        let start = self.place(index)? * self.row_bytes;
        self.parts.get(start..start + self.row_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: CompactForm = CompactForm {
        digest: 0xab,
        row_bytes: 3,
    };

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_offer_is_taken_only_as_it_is_written() {
        let mut body = b"{\"x\":1".to_vec();
        write_offer(Some(FORM), &mut body);
        body.push(b'}');
        let body = text(body);
        assert_eq!(body, r#"{"x":1,"compact":"00000000000000ab"}"#);
        let is_offered = |body: &str| is_offered(&Members::leading(body).unwrap(), FORM);
        assert!(is_offered(&body));
        for other in [
            "{}",
            r#"{"compact":null}"#,
            r#"{"compact":true}"#,
            r#"{"compact":171}"#,
            r#"{"compact":"ab"}"#,
            r#"{"compact":"00000000000000AB"}"#,
            r#"{"compact":["00000000000000ab"]}"#,
            r#"{"compact":"00000000000000ac"}"#,
        ] {
            assert!(!is_offered(other), "{other}");
        }
        let mut none = Vec::new();
        write_offer(None, &mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn parts_come_back() {
        let single = text(object(FORM, None, &[1, 2, 255]));
        assert_eq!(single, r#"{"digest":"00000000000000ab","bits":"AQL/"}"#);
        assert_eq!(read_single("1", &single, FORM), Ok(vec![1, 2, 255]));
        let batch = text(object(FORM, Some(&[7, -2]), &[1, 2, 3, 4, 5, 6]));
        assert_eq!(
            batch,
            r#"{"digest":"00000000000000ab","rows":[7,-2],"bits":"AQIDBAUG"}"#
        );
        let rows = PackedRows::read("1", &batch, FORM).unwrap();
        assert_eq!(rows.part(-2), Some(&[4, 5, 6][..]));
        assert_eq!(rows.part(0), None);
        assert!(rows.has(7) && !rows.has(2));
        let none = text(object(FORM, Some(&[]), &[]));
        assert!(PackedRows::read("1", &none, FORM).is_ok());
    }

    #[test]
    fn what_is_odd_is_108() {
        for odd in [
            "7",
            "{}",
            "null",
            r#"{"digest":"00000000000000ab","rows":[1],"bits":null}"#,
            r#"{"digest":"00000000000000ab","rows":[1],"bits":"AQI"}"#,
            r#"{"digest":"00000000000000ab","rows":[1],"bits":"AQI!"}"#,
            r#"{"digest":"00000000000000ab","rows":[1],"bits":"AQ\u0049D"}"#,
            r#"{"digest":"00000000000000ab","rows":[1],"bits":"AQIDBAUG"}"#,
            r#"{"digest":"00000000000000ab","rows":[1,2],"bits":"AQID"}"#,
            r#"{"digest":"00000000000000ab","rows":[1,1],"bits":"AQIDBAUG"}"#,
            r#"{"digest":"00000000000000ab","rows":[3000000000],"bits":"AQID"}"#,
            r#"{"digest":"00000000000000ab","rows":7,"bits":"AQID"}"#,
            r#"{"digest":"00000000000000ac","rows":[1],"bits":"AQID"}"#,
            r#"{"digest":171,"rows":[1],"bits":"AQID"}"#,
        ] {
            let fault = PackedRows::read("1", odd, FORM).unwrap_err();
            assert_eq!(fault.code, ReturnCode::MERGE, "{odd}");
        }
        // Zero bytes a row: any number of rows, each of them empty.
        let empty = CompactForm {
            digest: 0xab,
            row_bytes: 0,
        };
        let text = r#"{"digest":"00000000000000ab","rows":[1,2],"bits":""}"#;
        let rows = PackedRows::read("1", text, empty).unwrap();
        assert_eq!(rows.part(2), Some(&[][..]));
    }
}
