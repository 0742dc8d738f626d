//! The members of a JSON object with their values as they were written: numbers keep their digits and their kind.
//!
//! The one reader of objects from strangers: order and repeated names are those of Java's maps.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::plain_json;

/// The members of an object in the order of their first appearance; of equal names the last value counts.
#[derive(Debug, Default)]
pub struct Members<'a> {
    list: Vec<(Cow<'a, str>, &'a str)>,
    has_repeated_names: bool,
}

/// Members that there is room for at once.
const USUAL: usize = 8;

/// Objects with fewer members are searched; for larger ones that would be quadratic in a hostile request.
const SEARCHED: usize = 32;

/// More members than any request has: each takes many times the memory of the few characters that it may be written in.
const MAX_MEMBERS: usize = 1 << 18;

impl<'a> Members<'a> {
    /// The members of `text`, which must be one JSON object and nothing else.
    ///
    /// # Errors
    /// The text is something else.
    pub fn whole(text: &'a str) -> Result<Self, serde_json::Error> {
        match Self::plain(text) {
            Some((members, end)) if plain_json::space(text.as_bytes(), end) == text.len() => {
                Ok(members)
            }
            _ => serde_json::from_str(text),
        }
    }

    /// The members of the object that `text` begins with; what follows it is ignored, as Java does.
    pub fn leading(text: &'a str) -> Option<Self> {
        match Self::plain(text) {
            Some((members, _)) => Some(members),
            None => Self::any_leading(text),
        }
    }

    fn any_leading(text: &'a str) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        Self::deserialize(&mut json).ok()
    }

    /// As [`Members::leading`], and where the object ends, for a few members of different names, plainly written: most
    /// requests and answers.
    fn plain(text: &'a str) -> Option<(Self, usize)> {
        Self::plain_with(text, |_, at| plain_json::value(text.as_bytes(), at))
    }

    /// As [`Members::leading`] for members that are plainly written, whose values `pass` looks at while it passes over them:
    /// it is given a name and where its value begins, and gives where it ends. `None`, also from `pass`, says nothing of the
    /// text: it has to be read by [`Members::leading`].
    pub fn plain_leading(
        text: &'a str,
        pass: impl FnMut(&'a str, usize) -> Option<usize>,
    ) -> Option<Self> {
        Self::plain_with(text, pass).map(|(members, _)| members)
    }

    fn plain_with(
        text: &'a str,
        mut pass: impl FnMut(&'a str, usize) -> Option<usize>,
    ) -> Option<(Self, usize)> {
        let bytes = text.as_bytes();
        let mut at = plain_json::space(bytes, 0);
        if bytes.get(at) != Some(&b'{') {
            return None;
        }
        at = plain_json::space(bytes, at + 1);
        let mut members = Self::default();
        if bytes.get(at) == Some(&b'}') {
            return Some((members, at + 1));
        }
        members.list.reserve(USUAL);
        loop {
            let (name_end, start) = plain_json::name(bytes, at)?;
            let name = text.get(at + 1..name_end - 1)?;
            let end = pass(name, start)?;
            let is_known = members.list.iter().any(|(known, _)| known == name);
            if is_known || members.list.len() == SEARCHED {
                return None;
            }
            members
                .list
                .push((Cow::Borrowed(name), text.get(start..end)?));
            at = plain_json::space(bytes, end);
            match bytes.get(at)? {
                b',' => at = plain_json::space(bytes, at + 1),
                b'}' => return Some((members, at + 1)),
                _ => return None,
            }
        }
    }

    /// The text of a member's value.
    pub fn get(&self, name: &str) -> Option<&'a str> {
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
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
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
            writer.member(name, value);
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
        let mut list: Vec<(Cow<'de, str>, &'de str)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut has_repeated_names = false;
        while let Some(Name(name)) = map.next_key()? {
            let value = map.next_value::<&RawValue>()?.get();
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
        assert_eq!(members.get("m7").unwrap(), "107");
        assert_eq!(members.get("m99").unwrap(), "199");
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
        let shown: Vec<_> = members.iter().collect();
        assert_eq!(
            shown,
            [("b", "2"), ("a", r#"{"x" : 1e400}"#), ("c\n", "[1, 2]")]
        );
        assert!(members.has_repeated_names() && !members.is_empty());
        assert!(Members::whole(r#"{"a":1} trailing"#).is_err());
    }

    /// SplitMix64.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ (mixed >> 31)) % end as u64) as usize
        }

        fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
            list[self.below(list.len())]
        }

        /// A value, now and then none, in which others may be.
        fn value(&mut self, depth: usize, out: &mut String) {
            let space = self.pick(&["", "", "", " ", "\n\t\r"]);
            out.push_str(space);
            match self.below(if depth == 0 { 7 } else { 9 }) {
                0..4 => out.push_str(self.pick(&[
                    "0",
                    "-0",
                    "1",
                    "-12.50",
                    "1e400",
                    "1E-7",
                    "0.0e+1",
                    "9007199254740993",
                    "01",
                    "1.",
                    "-",
                    "+1",
                    ".5",
                    "1e",
                    "1x",
                    "NaN",
                ])),
                4..6 => out.push_str(self.pick(&[
                    "\"\"",
                    "\"a\"",
                    "\"\u{e9}\u{5e74}\"",
                    "\"\\n\"",
                    "\"\\ud800\"",
                    "\"\\x\"",
                    "\"\t\"",
                    "\"",
                    "\"\u{7f}\"",
                ])),
                6 => {
                    out.push_str(self.pick(&["true", "false", "null", "tru", "nulll", "True", ""]))
                }
                7 => self.list('[', ']', depth, out),
                _ => self.list('{', '}', depth, out),
            }
            out.push_str(space);
        }

        fn list(&mut self, open: char, close: char, depth: usize, out: &mut String) {
            out.push(open);
            for position in 0..self.below(5) {
                if position > 0 {
                    out.push(',');
                }
                if open == '{' {
                    let names = [
                        "\"a\"",
                        "\"b\" ",
                        " \"featureData\"",
                        "\"\u{5e74}\"",
                        "\"\"",
                        "\"\\u0061\"",
                        "c",
                        "1",
                    ];
                    let among = if self.below(8) == 0 { names.len() } else { 6 };
                    out.push_str(names[self.below(among)]);
                    out.push(':');
                }
                self.value(depth - 1, out);
            }
            out.push(close);
        }

        /// An object with something behind it, sometimes with a character too many, too few or another one.
        fn body(&mut self) -> String {
            let mut text = self.pick(&["", "", " ", "\n"]).to_owned();
            self.list('{', '}', 3, &mut text);
            text.push_str(self.pick(&["", "", " ", "\n", "}", " x"]));
            for _ in 0..self.below(3) * self.below(2) {
                let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
                let place = places[self.below(places.len())];
                if self.below(2) == 0 {
                    text.remove(place);
                }
                let more = self.pick(&[
                    "", "\"", ",", ":", "{", "}", "[", "]", "0", "\\", " ", "\u{5e74}",
                ]);
                text.insert_str(place, more);
                if text.is_empty() {
                    break;
                }
            }
            text
        }
    }

    #[test]
    fn plain_objects_are_read_as_any_others() {
        let mut dice = Dice(3);
        let (mut plain, mut refused) = (0, 0);
        for _ in 0..200_000 {
            let text = dice.body();
            let shown = |members: Members<'_>| format!("{members:?}");
            let any = Members::any_leading(&text);
            refused += usize::from(any.is_none());
            if let Some((members, _)) = Members::plain(&text) {
                plain += 1;
                assert_eq!(Some(shown(members)), any.map(shown), "{text:?}");
            }
            let whole = Members::whole(&text)
                .map(shown)
                .map_err(|error| error.to_string());
            let any_whole = serde_json::from_str(&text)
                .map(shown)
                .map_err(|error| error.to_string());
            assert_eq!(whole, any_whole, "{text:?}");
        }
        assert!(plain > 30_000 && refused > 30_000, "{plain} {refused}");
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
