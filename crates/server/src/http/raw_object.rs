//! A JSON object whose members keep their order and their exact text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Members in order; a repeated name keeps its first place and takes its last value, as in Java's maps.
#[derive(Debug, Default)]
pub(super) struct RawObject<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> RawObject<'a> {
    /// Reads one object; text after it is ignored as the Java servers do.
    pub(super) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        Self::deserialize(&mut serde_json::Deserializer::from_str(text))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let member = self.members.iter().find(|(known, _)| known == name);
        member.map(|(_, value)| *value)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members
            .iter()
            .map(|(name, value)| (name.as_ref(), *value))
    }
}

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

/// A name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Members {
    type Value = RawObject<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object = RawObject::default();
        let mut places = std::collections::HashMap::<Cow<'de, str>, usize>::new();
        while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
            match places.get(&name) {
                Some(place) => object.members[*place].1 = value,
                None => {
                    places.insert(name.clone(), object.members.len());
                    object.members.push((name, value));
                }
            }
        }
        Ok(object)
    }
}

/// Writes an object member by member.
#[derive(Debug)]
pub(super) struct ObjectWriter {
    text: String,
}

impl ObjectWriter {
    pub(super) fn new() -> Self {
        Self {
            text: String::from("{"),
        }
    }

    /// `value` is JSON text.
    pub(super) fn member(&mut self, name: &str, value: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text
            .push_str(&serde_json::Value::from(name).to_string());
        self.text.push(':');
        self.text.push_str(value);
    }

    pub(super) fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_order_and_text() {
        let text = r#" {"b":1.50,"a":{"x" : 1e400},"b":2,"c\n":[1, 2]} trailing"#;
        let object = RawObject::parse(text).unwrap();
        let members: Vec<_> = object
            .members()
            .map(|(name, value)| (name, value.get()))
            .collect();
        assert_eq!(
            members,
            [("b", "2"), ("a", r#"{"x" : 1e400}"#), ("c\n", "[1, 2]")]
        );
        assert_eq!(object.get("b").unwrap().get(), "2");
        assert!(object.get("z").is_none());
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in [
            "",
            "null",
            "[]",
            "1",
            "{",
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":NaN}"#,
        ] {
            assert!(RawObject::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_escaped_when_written() {
        let mut writer = ObjectWriter::new();
        writer.member("a\"", "1");
        writer.member("b", "[]");
        assert_eq!(writer.finish(), r#"{"a\"":1,"b":[]}"#);
        assert_eq!(ObjectWriter::new().finish(), "{}");
    }
}
