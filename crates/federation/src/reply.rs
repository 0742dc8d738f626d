//! Answers as JSON: written in Java's order of members, read leniently (contract 01 §2.4, §2.5, §2.7).

use std::io::Write;

use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_domain::return_code::ReturnCode;

use crate::java_json::{write_int, write_text};
use crate::request::{int_member, text, text_member};
use crate::{compact, explain};

/// Which of the two answer forms the caller expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Single,
    Batch,
}

/// An answer of nothing but a code and a text.
pub fn failed_reply(shape: Shape, fault: &Fault) -> Vec<u8> {
    failed_with_data(shape, fault, b"{}")
}

/// As [`failed_reply`], with the text of an object for `data`.
pub(crate) fn failed_with_data(shape: Shape, fault: &Fault, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(160 + data.len());
    head(fault.code, &fault.message, "", &mut out);
    out.extend_from_slice(data);
    tail(&mut out);
    if shape == Shape::Batch {
        RowObjects::default().write(&mut out);
    }
    out.push(b'}');
    out
}

/// Members of an answer that only servers of this kind know, each the text of an object.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Extras<'a> {
    pub(crate) compact: Option<&'a [u8]>,
    /// What a host was asked to tell.
    pub(crate) explanation: Option<&'a [u8]>,
}

/// A single answer that succeeded.
pub(crate) fn single(message: &str, data: &[u8], extras: Extras<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(144 + data.len() + extras.len());
    head(ReturnCode::SUCCESS, message, "", &mut out);
    out.extend_from_slice(data);
    tail(&mut out);
    extras.write(&mut out);
    out.push(b'}');
    out
}

/// A batch answer whose rows are written already.
pub(crate) fn batch(
    case_id: &str,
    data: &[u8],
    row_objects: &RowObjects,
    extras: Extras<'_>,
) -> Vec<u8> {
    let size = 2 * row_objects.list.len() + 16 * row_objects.ends.len();
    let mut out = Vec::with_capacity(256 + data.len() + size + extras.len());
    head(ReturnCode::SUCCESS, "", case_id, &mut out);
    out.extend_from_slice(data);
    tail(&mut out);
    row_objects.write(&mut out);
    extras.write(&mut out);
    out.push(b'}');
    out
}

impl Extras<'_> {
    fn len(&self) -> usize {
        let members = [self.compact, self.explanation];
        members
            .into_iter()
            .flatten()
            .map(|text| text.len() + 16)
            .sum()
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_member(compact::MEMBER, self.compact, out);
        write_explanation(self.explanation, out);
    }
}

/// Appends the member behind others, if there is anything to tell.
pub(crate) fn write_explanation(explanation: Option<&[u8]>, out: &mut Vec<u8>) {
    write_member(explain::MEMBER, explanation, out);
}

fn write_member(name: &str, object: Option<&[u8]>, out: &mut Vec<u8>) {
    if let Some(object) = object {
        // Writing to memory cannot fail.
        let _ = write!(out, ",\"{name}\":");
        out.extend_from_slice(object);
    }
}

fn head(code: ReturnCode, message: &str, case_id: &str, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = write!(out, "{{\"retcode\":{code},\"retmsg\":");
    write_text(message, out);
    out.extend_from_slice(b",\"caseid\":");
    write_text(case_id, out);
    out.extend_from_slice(b",\"data\":");
}

fn tail(out: &mut Vec<u8>) {
    out.extend_from_slice(br#","log":{},"warn":{},"flag":0"#);
}

/// The rows of a batch answer, written one behind the other.
#[derive(Debug, Default)]
pub(crate) struct RowObjects {
    /// Objects with commas between them.
    list: Vec<u8>,
    /// Index of each, and where it ends.
    ends: Vec<(i32, usize)>,
}

impl RowObjects {
    /// With room for so many small ones.
    pub(crate) fn for_rows(rows: usize) -> Self {
        Self {
            list: Vec::with_capacity(96 * rows),
            ends: Vec::with_capacity(rows),
        }
    }

    /// Adds one; `write` appends the object.
    pub(crate) fn add(&mut self, index: i32, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.ends.is_empty() {
            self.list.push(b',');
        }
        write(&mut self.list);
        self.ends.push((index, self.list.len()));
    }

    /// The rows twice: as a list, and as a map by index, which Java guests prefer.
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#","batchDataList":["#);
        out.extend_from_slice(&self.list);
        out.extend_from_slice(br#"],"singleInferenceResultMap":{"#);
        let mut start = 0;
        for (index, end) in &self.ends {
            if start > 0 {
                out.push(b',');
            }
            out.push(b'"');
            write_int(*index, out);
            out.extend_from_slice(b"\":");
            out.extend_from_slice(&self.list[start..*end]);
            // Behind the comma.
            start = end + 1;
        }
        out.push(b'}');
    }
}

/// A host's answer, as far as a guest looks at it.
#[derive(Debug)]
pub(crate) struct HostReply<'a> {
    pub(crate) code: ReturnCode,
    pub(crate) message: String,
    members: Members<'a>,
}

/// One row of a host's batch answer.
#[derive(Debug)]
pub(crate) struct HostReplyRow<'a> {
    pub(crate) index: i32,
    pub(crate) code: ReturnCode,
    /// The text of an object, if there is one.
    pub(crate) data: Option<&'a str>,
    /// The text of what the host tells of the row.
    pub(crate) explanation: Option<&'a str>,
}

/// Why the rows of a host's batch answer cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("it is not a result")]
    Answer,
    #[error("its rows are not objects with an index and a code")]
    Rows,
    #[error("a row of its list has no index")]
    NoIndex,
    #[error("a key of its map is not an index")]
    Key,
    #[error("a row of its map states another index than its key")]
    OtherIndex,
    #[error("two of its rows have the same index")]
    RepeatedIndex,
}

/// Reads a host's answer; `None` when it is none.
pub(crate) fn read_host_reply(body: &[u8]) -> Option<HostReply<'_>> {
    let members = Members::leading(text(body)?)?;
    Some(HostReply {
        code: ReturnCode(int_member(&members, "retcode")?),
        message: text_member(&members, "retmsg")?
            .unwrap_or_default()
            .into_owned(),
        members,
    })
}

impl<'a> HostReply<'a> {
    /// The text of the `data` object.
    pub(crate) fn data(&self) -> Option<&'a str> {
        object(self.members.get("data"))
    }

    /// The text of its compact part or parts, whatever it is.
    pub(crate) fn compact(&self) -> Option<&'a str> {
        let text = self.members.get(compact::MEMBER);
        text.filter(|text| *text != "null")
    }

    /// The text of what the host tells of its row.
    pub(crate) fn explanation(&self) -> Option<&'a str> {
        self.members.get(explain::MEMBER)
    }

    /// The host's refusal as the guest hands it on.
    pub(crate) fn fault(&self) -> Option<Fault> {
        host_fault(self.code, &self.message)
    }

    /// Rows by index, sorted; from the map if there is one, else from the list.
    ///
    /// # Errors
    /// What keeps the rows from being told apart for certain: a row's score must never be given to another row.
    pub(crate) fn rows(&self) -> Result<Vec<HostReplyRow<'a>>, Broken> {
        let map = self.members.get("singleInferenceResultMap");
        let mut rows = match map {
            None | Some("null") => self.listed_rows()?,
            Some(map) => mapped_rows(map)?,
        };
        rows.sort_by_key(|row| row.index);
        if rows.windows(2).any(|pair| pair[0].index == pair[1].index) {
            return Err(Broken::RepeatedIndex);
        }
        Ok(rows)
    }

    fn listed_rows(&self) -> Result<Vec<HostReplyRow<'a>>, Broken> {
        match self.members.get("batchDataList") {
            None | Some("null") => Ok(Vec::new()),
            Some(list) => {
                let rows: Vec<Members<'a>> =
                    serde_json::from_str(list).map_err(|_| Broken::Rows)?;
                rows.iter()
                    .map(|row| read_row(own_index(row)?.ok_or(Broken::NoIndex)?, row))
                    .collect()
            }
        }
    }
}

fn mapped_rows(map: &str) -> Result<Vec<HostReplyRow<'_>>, Broken> {
    let rows = Members::whole(map).map_err(|_| Broken::Rows)?;
    if rows.has_repeated_names() {
        return Err(Broken::RepeatedIndex);
    }
    rows.iter()
        .map(|(key, row)| {
            let index = canonical_index(key).ok_or(Broken::Key)?;
            let row = Members::leading(row).ok_or(Broken::Rows)?;
            if own_index(&row)?.is_some_and(|own| own != index) {
                return Err(Broken::OtherIndex);
            }
            read_row(index, &row)
        })
        .collect()
}

/// An int in the one spelling that Java's mapper gives it, so that no two keys mean the same row.
fn canonical_index(key: &str) -> Option<i32> {
    let index: i32 = key.parse().ok()?;
    (index.to_string() == key).then_some(index)
}

/// The index that a row itself states.
fn own_index(row: &Members<'_>) -> Result<Option<i32>, Broken> {
    match row.get("index") {
        None | Some("null") => Ok(None),
        Some(_) => int_member(row, "index").map(Some).ok_or(Broken::Rows),
    }
}

fn read_row<'a>(index: i32, row: &Members<'a>) -> Result<HostReplyRow<'a>, Broken> {
    Ok(HostReplyRow {
        index,
        code: ReturnCode(int_member(row, "retcode").ok_or(Broken::Rows)?),
        data: object(row.get("data")),
        explanation: row.get(explain::MEMBER),
    })
}

impl<'a> HostReplyRow<'a> {
    /// A row that the host answered before.
    pub(crate) fn remembered(index: i32, data: &'a str) -> Self {
        Self {
            index,
            code: ReturnCode::SUCCESS,
            data: Some(data),
            explanation: None,
        }
    }

    /// The host's refusal of the row as the guest hands it on.
    pub(crate) fn fault(&self) -> Option<Fault> {
        if self.code.is_success() {
            return None;
        }
        host_fault(self.code, &self.message())
    }

    /// The row's text, which is in its data.
    pub(crate) fn message(&self) -> String {
        self.data
            .and_then(Members::leading)
            .and_then(|data| text_member(&data, "message").flatten())
            .unwrap_or_default()
            .into_owned()
    }
}

fn host_fault(code: ReturnCode, message: &str) -> Option<Fault> {
    if code.is_success() {
        return None;
    }
    let text = format!("host return code {code} host msg :{message}");
    Some(Fault::new(code.prefixed(), text))
}

fn object(value: Option<&str>) -> Option<&str> {
    value.filter(|text| text.starts_with('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_answers_have_the_contracts_members_and_order() {
        let fault = Fault::new(ReturnCode::MODEL_NULL, "serviceId is not bind model");
        assert_eq!(
            String::from_utf8(failed_reply(Shape::Single, &fault)).unwrap(),
            r#"{"retcode":104,"retmsg":"serviceId is not bind model","caseid":"","data":{},"log":{},"warn":{},"flag":0}"#
        );
        assert_eq!(
            String::from_utf8(failed_reply(Shape::Batch, &fault)).unwrap(),
            r#"{"retcode":104,"retmsg":"serviceId is not bind model","caseid":"","data":{},"log":{},"warn":{},"flag":0,"batchDataList":[],"singleInferenceResultMap":{}}"#
        );
        let quoted = failed_reply(Shape::Batch, &Fault::new(ReturnCode::SYSTEM, "a \"b\"\n"));
        let value: serde_json::Value = serde_json::from_slice(&quoted).unwrap();
        assert_eq!(value["retmsg"], "a \"b\"\n");
    }

    #[test]
    fn a_batch_has_its_rows_twice() {
        let mut rows = RowObjects::default();
        for index in [0, 7] {
            rows.add(index, |out| {
                out.extend_from_slice(format!("{{\"index\":{index}}}").as_bytes());
            });
        }
        assert_eq!(
            String::from_utf8(batch("c", b"{}", &rows, Extras::default())).unwrap(),
            r#"{"retcode":0,"retmsg":"","caseid":"c","data":{},"log":{},"warn":{},"flag":0,"batchDataList":[{"index":0},{"index":7}],"singleInferenceResultMap":{"0":{"index":0},"7":{"index":7}}}"#
        );
    }

    #[test]
    fn the_map_of_rows_is_preferred() {
        let reply = r#"{"retcode":0,"batchDataList":[{"index":1,"retcode":0,"data":{}}],
            "singleInferenceResultMap":{"3":{"index":3,"retcode":113,"data":{"message":"no feature"}}}}"#;
        let reply = read_host_reply(reply.as_bytes()).unwrap();
        let rows = reply.rows().unwrap();
        assert_eq!((rows.len(), rows[0].index), (1, 3));
        let fault = rows[0].fault().unwrap();
        assert_eq!(fault.code.0, 2113);
        assert_eq!(fault.message, "host return code 113 host msg :no feature");
    }

    #[test]
    fn the_list_serves_when_there_is_no_map() {
        let reply = br#"{"batchDataList":[{"index":5,"data":{"a":1}},{"index":2,"retcode":1,"data":null}]}"#;
        let reply = read_host_reply(reply).unwrap();
        assert!(reply.fault().is_none());
        let rows = reply.rows().unwrap();
        assert_eq!(rows[1].data, Some("{\"a\":1}"));
        assert_eq!(rows[0].fault().unwrap().code.0, 21);
    }

    #[test]
    fn what_is_no_answer() {
        for body in ["", "[]", "null", "{\"retcode\":{}}", "{\"retmsg\":[]}"] {
            assert!(read_host_reply(body.as_bytes()).is_none(), "{body}");
        }
        let negative = read_host_reply(br#"{"retcode":-1,"data":null}"#).unwrap();
        assert_eq!(negative.fault().unwrap().code.0, 110);
        assert_eq!(negative.data(), None);
    }
    #[test]
    fn rows_that_cannot_be_told_apart_are_broken() {
        for (body, expected) in [
            (r#"{"batchDataList":7}"#, Broken::Rows),
            (r#"{"batchDataList":[7]}"#, Broken::Rows),
            (r#"{"batchDataList":[{"index":[]}]}"#, Broken::Rows),
            (r#"{"batchDataList":[{}]}"#, Broken::NoIndex),
            (r#"{"batchDataList":[{"index":null}]}"#, Broken::NoIndex),
            (
                r#"{"batchDataList":[{"index":1},{"index":2},{"index":"1"}]}"#,
                Broken::RepeatedIndex,
            ),
            (r#"{"singleInferenceResultMap":{"x":{}}}"#, Broken::Key),
            (
                r#"{"singleInferenceResultMap":{"0":{},"00":{}}}"#,
                Broken::Key,
            ),
            (r#"{"singleInferenceResultMap":{"+1":{}}}"#, Broken::Key),
            (r#"{"singleInferenceResultMap":{"-0":{}}}"#, Broken::Key),
            (
                r#"{"singleInferenceResultMap":{"3000000000":{}}}"#,
                Broken::Key,
            ),
            (
                r#"{"singleInferenceResultMap":{"0":{},"0":{}}}"#,
                Broken::RepeatedIndex,
            ),
            (
                r#"{"singleInferenceResultMap":{"0":{"index":1}}}"#,
                Broken::OtherIndex,
            ),
            (
                r#"{"singleInferenceResultMap":{"0":{"index":{}}}}"#,
                Broken::Rows,
            ),
            (r#"{"singleInferenceResultMap":{"0":7}}"#, Broken::Rows),
        ] {
            let broken = read_host_reply(body.as_bytes()).unwrap().rows();
            assert_eq!(broken.unwrap_err(), expected, "{body}");
        }
        let rows = read_host_reply(br#"{"singleInferenceResultMap":{"-7":{"index":-7},"2":{}}}"#);
        let indices: Vec<i32> = rows
            .unwrap()
            .rows()
            .unwrap()
            .iter()
            .map(|row| row.index)
            .collect();
        assert_eq!(indices, [-7, 2]);
    }
}
