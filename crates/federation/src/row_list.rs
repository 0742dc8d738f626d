//! The list of a batch's rows: in one walk where it is plainly written, as nearly always, and by serde_json where it is not.

use std::fmt;

use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_domain::plain_json::{name, space, value};
use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};

use crate::request::{EMPTY, GuestRow, int_of, param};

const MEMBER: &str = "batchDataList";

/// More members than a row has.
const MAX_PLAIN_MEMBERS: usize = 32;

/// The members of a request's envelope, and its rows if it has a list of them. `None`, whatever the reason: it has to be
/// read in the other way, which finds out.
pub(crate) fn plain_batch(
    text: &str,
    max: usize,
) -> Option<(Members<'_>, Option<Vec<GuestRow<'_>>>)> {
    let mut rows = None;
    let members = Members::plain_leading(text, |name, at| {
        if name != MEMBER {
            return value(text.as_bytes(), at);
        }
        let (listed, end) = plain_rows(text, at, max)?;
        rows = Some(listed);
        Some(end)
    })?;
    Some((members, rows))
}

/// The rows that begin at a place of the text, and where they end.
fn plain_rows(text: &str, at: usize, max: usize) -> Option<(Vec<GuestRow<'_>>, usize)> {
    let bytes = text.as_bytes();
    if bytes.get(at) != Some(&b'[') {
        return None;
    }
    let mut at = space(bytes, at + 1);
    let mut rows = Vec::new();
    if bytes.get(at) == Some(&b']') {
        return Some((rows, at + 1));
    }
    loop {
        let (row, end) = plain_row(text, at)?;
        if rows.len() == max {
            return None;
        }
        rows.push(row);
        at = space(bytes, end);
        match bytes.get(at)? {
            b',' => at = space(bytes, at + 1),
            b']' => return Some((rows, at + 1)),
            _ => return None,
        }
    }
}

fn plain_row(text: &str, at: usize) -> Option<(GuestRow<'_>, usize)> {
    let bytes = text.as_bytes();
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    let (mut index, mut features, mut ids) = (None, None, None);
    let mut at = space(bytes, at + 1);
    if bytes.get(at) == Some(&b'}') {
        return Some((row(index, features, ids)?, at + 1));
    }
    for _ in 0..MAX_PLAIN_MEMBERS {
        let (name_end, start) = name(bytes, at)?;
        let end = value(bytes, start)?;
        let member = match &bytes[at + 1..name_end - 1] {
            b"index" => Some(&mut index),
            b"featureData" => Some(&mut features),
            b"sendToRemoteFeatureData" => Some(&mut ids),
            _ => None,
        };
        // Of equal names the last one counts, which the other way knows.
        if let Some(member) = member
            && member.replace(text.get(start..end)?).is_some()
        {
            return None;
        }
        at = space(bytes, end);
        match bytes.get(at)? {
            b',' => at = space(bytes, at + 1),
            b'}' => return Some((row(index, features, ids)?, at + 1)),
            _ => return None,
        }
    }
    None
}

fn row<'a>(
    index: Option<&str>,
    features: Option<&'a str>,
    ids: Option<&'a str>,
) -> Option<GuestRow<'a>> {
    let object = |text: &'a str| match text.as_bytes().first()? {
        b'{' => Some(Some(text)),
        b'n' => Some(None),
        _ => None,
    };
    Some(GuestRow {
        index: int_of(index)?,
        features: features.map_or(Some(Some(EMPTY)), object)?,
        ids: ids.map_or(Some(None), object)?.unwrap_or(EMPTY),
    })
}

/// The rows of a list, each made into what is kept of it before the next one is looked at; `None` when there is no list.
/// `of_plain` is what is kept of a row that was read in the quick way, `read` of any other.
///
/// # Errors
/// The fault of a row, or code 100 for more rows than `max`; `None` when it is not a list of objects.
pub(crate) fn rows<'a, R>(
    members: &Members<'a>,
    max: usize,
    of_plain: impl Fn(GuestRow<'a>) -> R,
    read: impl Fn(&Members<'a>) -> Result<R, Fault>,
) -> Result<Option<Vec<R>>, Option<Fault>> {
    let list = match members.get(MEMBER) {
        None | Some("null") => return Ok(None),
        Some(list) => list,
    };
    if let Some((rows, _)) = plain_rows(list, 0, max) {
        return Ok(Some(rows.into_iter().map(of_plain).collect()));
    }
    any_rows(list, max, read).map(Some)
}

fn any_rows<'a, R>(
    list: &'a str,
    max: usize,
    read: impl Fn(&Members<'a>) -> Result<R, Fault>,
) -> Result<Vec<R>, Option<Fault>> {
    let mut rows = Vec::new();
    let mut fault = None;
    let take = |row: &Members<'a>| -> Result<(), Fault> {
        if rows.len() == max {
            return Err(param(&format!("batch size is big than {max}")));
        }
        rows.push(read(row)?);
        Ok(())
    };
    let visitor = RowVisitor {
        take,
        fault: &mut fault,
    };
    match serde_json::Deserializer::from_str(list).deserialize_seq(visitor) {
        Ok(()) => Ok(rows),
        Err(_) => Err(fault),
    }
}

/// Gives the objects of a list away one by one and stops at the first fault, which it leaves outside: an error of
/// serde cannot carry it.
struct RowVisitor<'f, T> {
    take: T,
    fault: &'f mut Option<Fault>,
}

impl<'de, T: FnMut(&Members<'de>) -> Result<(), Fault>> Visitor<'de> for RowVisitor<'_, T> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(row) = list.next_element()? {
            if let Err(fault) = (self.take)(&row) {
                *self.fault = Some(fault);
                return Err(A::Error::custom("a row is refused"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::guest_row;

    #[test]
    fn plain_lists_are_read_as_any_others() {
        let rows = [
            "{}",
            "{ }",
            r#"{"index":1}"#,
            r#"{"index":-2,"featureData":{"x":1.5},"sendToRemoteFeatureData":{"id":"7"},"needCheckFeature":false}"#,
            r#" { "sendToRemoteFeatureData" : null , "featureData" : null , "index" : "3" } "#,
            r#"{"index":2.7,"more":[{"index":9}]}"#,
            r#"{"index":1,"index":2}"#,
            r#"{"index":null,"featureData":{},"featureData":{"y":1}}"#,
            r#"{"index":[]}"#,
            r#"{"index":3e9}"#,
            r#"{"featureData":7}"#,
            r#"{"sendToRemoteFeatureData":"x"}"#,
            r#"{"featureData":{"x":NaN}}"#,
            r#"{"featureData":{"x":01}}"#,
            r#"{"\u0069ndex":5}"#,
            r#"{"featureData":{"a\"":"\n"}}"#,
            "7",
            "[]",
            "null",
            "{\"index\":1",
        ];
        let mut plain = 0;
        for first in rows {
            for second in rows {
                for list in [format!("[{first},{second}]"), format!("[{first}{second}]")] {
                    let shown = |rows: Vec<GuestRow<'_>>| format!("{rows:?}");
                    let any = any_rows(&list, 2, guest_row);
                    if let Some((rows, end)) = plain_rows(&list, 0, 2) {
                        plain += 1;
                        assert_eq!(any.map(shown), Ok(shown(rows)), "{list}");
                        assert_eq!(end, list.len());
                    }
                    assert!(plain_rows(&list, 0, 1).is_none(), "{list}");
                }
            }
        }
        assert!(plain > 30, "{plain}");
    }
}
