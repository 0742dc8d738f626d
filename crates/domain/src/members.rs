//! The members of a JSON object with their values as they were written: numbers keep their digits and their kind.
//!
//! The one reader of objects from strangers: order and repeated names are those of Java's maps.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in the order of their first appearance; of equal names the last value counts.
#[derive(Debug, Default)]
pub struct Members<'a> {
    list: Vec<(Cow<'a, str>, &'a RawValue)>,
    has_repeated_names: bool,
}

/// More members than any request has: each takes many times the memory of the few characters that it may be written in.
const MAX_MEMBERS: usize = 1 << 18;

impl<'a> Members<'a> {
    /// The members of `text`, which must be one JSON object and nothing else.
    ///
    /// # Errors
    /// The text is something else.
    pub fn whole(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The members of the object that `text` begins with; what follows it is ignored, as Java does.
    pub fn leading(text: &'a str) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        Self::deserialize(&mut json).ok()
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.list
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| *value)
    }

    /// Whether a name was there more than once.
    pub fn has_repeated_names(&self) -> bool {
        self.has_repeated_names
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.list.iter().map(|(name, value)| (&**name, *value))
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) {
        self.list.retain(|(known, _)| known != name);
    }

    /// Adds the members of `others` whose names are not here yet.
    pub fn add_missing(&mut self, others: Members<'a>) {
        let known: HashSet<Cow<'a, str>> = self.list.iter().map(|(name, _)| name.clone()).collect();
        let missing = others.list.into_iter();
        self.list
            .extend(missing.filter(|(name, _)| !known.contains(name)));
    }

    /// The members as the text of one object.
    pub fn to_text(&self) -> String {
        let mut writer = MemberWriter::new();
        for (name, value) in self.iter() {
            writer.member(name, value.get());
        }
        writer.finish()
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // Small objects are searched; for large ones that would be quadratic in a hostile request.
        const SEARCHED: usize = 32;
        let mut list: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut has_repeated_names = false;
        while let Some(Name(name)) = map.next_key()? {
            let value = map.next_value()?;
            let place = if list.len() < SEARCHED {
                list.iter().position(|(known, _)| *known == name)
            } else {
                if places.is_empty() {
                    places.extend(list.iter().map(|(n, _)| n.to_string()).zip(0..));
                }
                let known = places.get(&*name).copied();
                if known.is_none() {
                    places.insert(name.to_string(), list.len());
                }
                known
            };
            if place.is_none() && list.len() == MAX_MEMBERS {
                let text = format!("an object of more than {MAX_MEMBERS} members");
                return Err(serde::de::Error::custom(text));
            }
            match place.and_then(|place| list.get_mut(place)) {
                Some(member) => {
                    member.1 = value;
                    has_repeated_names = true;
                }
                None => list.push((name, value)),
            }
        }
        Ok(Members {
            list,
            has_repeated_names,
        })
    }
}

/// A member's name, borrowed where the text has no escapes. (`Cow` itself always deserializes as owned.)
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// Writes an object member by member.
#[derive(Debug)]
pub struct MemberWriter {
    text: String,
}

impl Default for MemberWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl MemberWriter {
    /// An object without members so far.
    pub fn new() -> Self {
        Self {
            text: String::from("{"),
        }
    }

    /// Adds a member; `value` is JSON text.
    pub fn member(&mut self, name: &str, value: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text
            .push_str(&serde_json::Value::from(name).to_string());
        self.text.push(':');
        self.text.push_str(value);
    }

    /// The text of the object.
    pub fn finish(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_members_are_found_once_each() {
        let names = (0..100).chain(0..100);
        let members: Vec<String> = names
            .zip(0..)
            .map(|(name, value)| format!("\"m{name}\":{value}"))
            .collect();
        let text = format!("{{{}}}", members.join(","));
        let members = Members::leading(&text).unwrap();
        assert_eq!(members.iter().count(), 100);
        assert_eq!(members.get("m7").unwrap().get(), "107");
        assert_eq!(members.get("m99").unwrap().get(), "199");
    }

    #[test]
    fn members_are_bounded() {
        let of = |count: usize| {
            let members: Vec<String> = (0..count).map(|name| format!("\"{name:x}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(Members::whole(&of(MAX_MEMBERS)).is_ok());
        let refused = Members::whole(&of(MAX_MEMBERS + 1)).unwrap_err();
        assert!(refused.to_string().contains("more than"), "{refused}");
    }

    #[test]
    fn only_objects_have_members_and_what_follows_is_ignored() {
        assert!(Members::leading(r#"{"a":1} trailing"#).is_some());
        for text in ["", "null", "[]", "1", "{", r#"{"a":NaN}"#, "{\"a\":1,}"] {
            assert!(Members::leading(text).is_none(), "{text}");
        }
    }

    #[test]
    fn values_keep_their_text_and_first_comers_their_place() {
        let text = r#" {"b":1.50,"a":{"x" : 1e400},"b":2,"c\n":[1, 2]} "#;
        let members = Members::whole(text).unwrap();
        let shown: Vec<_> = members
            .iter()
            .map(|(name, value)| (name, value.get()))
            .collect();
        assert_eq!(
            shown,
            [("b", "2"), ("a", r#"{"x" : 1e400}"#), ("c\n", "[1, 2]")]
        );
        assert!(members.has_repeated_names() && !members.is_empty());
        assert!(Members::whole(r#"{"a":1} trailing"#).is_err());
    }

    #[test]
    fn objects_are_put_together() {
        let mut members = Members::whole(r#"{"a":1.0,"\u0062":1e400,"c":3}"#).unwrap();
        members.add_missing(Members::whole(r#"{ "b" : 0, "d\"" : [ 1 ] }"#).unwrap());
        members.remove("c");
        assert_eq!(members.to_text(), r#"{"a":1.0,"b":1e400,"d\"":[ 1 ]}"#);
        assert_eq!(Members::default().to_text(), "{}");
    }
}
