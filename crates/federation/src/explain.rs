//! What a party tells of one row when it is asked (`"explain": true`): counts and, where they may be told, names of
//! features, as the members of a JSON object. Never a value.
//!
//! ```json
//! "needed":5,"present":3,"hitRate":0.6,"imputedCount":1,"missingCount":1,"unknownCount":1,
//! "missing":["x4"],"imputed":["x3"],"unknown":["X1"]
//! ```
//!
//! `needed` is the sum of `present`, `imputedCount` and `missingCount`. Each list holds at most [`MAX_NAMES`] names.

use std::io::Write;

use fate_domain::java_number::write_json_double;
use fate_inference::{Coverage, Figures};

use crate::java_json::write_text;

/// The member of a request that asks, of a host's answer and row that tells, and of an answer's data.
pub(crate) const MEMBER: &str = "explain";

/// Names in one list.
pub(crate) const MAX_NAMES: usize = 100;

/// Characters of a name; longer ones are cut.
const MAX_NAME_CHARS: usize = 256;

/// Names of features by what became of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) missing: Vec<String>,
    pub(crate) imputed: Vec<String>,
    pub(crate) unknown: Vec<String>,
}

impl Names {
    /// Of a watched row; `unknown` are the names that it had and that the plan does not know.
    pub(crate) fn of<'a>(coverage: &Coverage<'_>, unknown: impl Iterator<Item = &'a str>) -> Self {
        Names {
            missing: bounded(coverage.missing()),
            imputed: bounded(coverage.imputed()),
            unknown: bounded(unknown),
        }
    }
}

fn bounded<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.take(MAX_NAMES).map(cut).collect()
}

/// A name of bearable length.
pub(crate) fn cut(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).collect()
}

/// How many bytes of names an answer still takes: a batch has many rows, each of which may have many names. A row that
/// finds no room has its counts only, and says so.
#[derive(Debug)]
pub(crate) struct NameRoom(usize);

impl Default for NameRoom {
    fn default() -> Self {
        NameRoom(1 << 20)
    }
}

/// Appends the counts, as members without braces.
pub(crate) fn write_figures(figures: &Figures, out: &mut Vec<u8>) {
    let Figures {
        needed,
        present,
        imputed,
        missing,
        unknown,
    } = figures;
    // Writing to memory cannot fail.
    let _ = write!(out, r#""needed":{needed},"present":{present},"hitRate":"#);
    write_json_double(figures.hit_rate(), out);
    let _ = write!(
        out,
        r#","imputedCount":{imputed},"missingCount":{missing},"unknownCount":{unknown}"#
    );
}

/// Appends the three lists, each behind a comma.
pub(crate) fn write_names(names: &Names, room: &mut NameRoom, out: &mut Vec<u8>) {
    let start = out.len();
    for (member, list) in [
        ("missing", &names.missing),
        ("imputed", &names.imputed),
        ("unknown", &names.unknown),
    ] {
        // Writing to memory cannot fail.
        let _ = write!(out, r#","{member}":["#);
        for (position, name) in list.iter().enumerate() {
            if position > 0 {
                out.push(b',');
            }
            write_text(name, out);
        }
        out.push(b']');
    }
    match room.0.checked_sub(out.len() - start) {
        Some(left) => room.0 = left,
        None => {
            out.truncate(start);
            out.extend_from_slice(br#","names":"left out: the answer is full""#);
        }
    }
}

/// A party's object: a first member that says whose it is or where it comes from, then `members`.
pub(crate) fn object(name: &str, value: &str, members: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(members.len() + value.len() + 32);
    // Writing to memory cannot fail.
    let _ = write!(out, r#"{{"{name}":"#);
    write_text(value, &mut out);
    out.push(b',');
    out.extend_from_slice(members);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_room_until_there_is_none() {
        let names = Names {
            missing: vec!["a\"".to_owned()],
            imputed: vec!["b".to_owned(), "人".to_owned()],
            unknown: Vec::new(),
        };
        let text = r#","missing":["a\""],"imputed":["b","人"],"unknown":[]"#;
        let mut room = NameRoom(text.len());
        let mut out = Vec::new();
        write_names(&names, &mut room, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
        let mut out = Vec::new();
        write_names(&names, &mut room, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#","names":"left out: the answer is full""#
        );
    }

    #[test]
    fn lists_and_names_are_bounded() {
        let many: Vec<String> = (0..1000)
            .map(|n| format!("{n}{}", "名".repeat(1000)))
            .collect();
        let names = bounded(many.iter().map(String::as_str));
        assert_eq!(names.len(), MAX_NAMES);
        assert!(
            names
                .iter()
                .all(|name| name.chars().count() == MAX_NAME_CHARS)
        );
    }
}
