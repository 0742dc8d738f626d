//! The members of a JSON object with their values as they were written: numbers keep their digits and their kind.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Names and values in the order of the text. Of members with the same name the last counts, as in Java.
#[derive(Debug, Default)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    /// The members of `text`, which must be one JSON object and nothing else.
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let last = self.0.iter().rev().find(|(known, _)| known == name);
        last.map(|(_, value)| *value)
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Adds the members of `others` whose names are not here yet.
    pub(crate) fn add_missing(&mut self, others: Members<'a>) {
        let known: HashSet<Cow<'a, str>> = self.0.iter().map(|(name, _)| name.clone()).collect();
        let missing = others.0.into_iter();
        self.0
            .extend(missing.filter(|(name, _)| !known.contains(name)));
    }

    /// The members as the text of one object.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::from("{");
        for (position, (name, value)) in self.0.iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(name.as_ref()).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push('}');
        text
    }
}

/// Whether the value is the token `null`.
pub(crate) fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// Whether the value is an object.
pub(crate) fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Members<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_text_and_first_comers_their_place() {
        let mut members = Members::parse(r#"{"a":1.0,"\u0062":1e400,"c":3}"#).expect("object");
        let others = r#"{ "b" : 0, "d\"" : [ 1 ] }"#;
        members.add_missing(Members::parse(others).expect("object"));
        members.remove("c");
        assert_eq!(members.to_text(), r#"{"a":1.0,"b":1e400,"d\"":[ 1 ]}"#);
    }

    #[test]
    fn the_last_of_a_name_counts() {
        let members = Members::parse(r#"{"a":1,"a":2}"#).expect("object");
        assert_eq!(members.get("a").map(RawValue::get), Some("2"));
        assert!(members.get("b").is_none());
    }

    #[test]
    fn only_objects() {
        for text in [
            "",
            "null",
            "[]",
            "1",
            "{",
            "{}x",
            r#"{"a":01}"#,
            r#"{"a":NaN}"#,
        ] {
            assert!(Members::parse(text).is_err(), "{text}");
        }
    }
}
