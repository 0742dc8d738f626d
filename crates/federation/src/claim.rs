//! What a host says of its part of a row, as the guest reads it: another company's text, so every figure is checked and
//! every list is bounded.

use std::fmt;

use fate_inference::Figures;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::explain::{self, MAX_NAMES, NameRoom, Names};

/// What a host says.
#[derive(Debug, PartialEq)]
pub(crate) enum Claim {
    /// Nothing, like every Java host.
    NotGiven,
    /// Something that cannot be.
    Unusable,
    Given(Given),
}

/// Figures that add up.
#[derive(Debug, PartialEq)]
pub(crate) struct Given {
    /// Name of the host's feature source.
    source: String,
    pub(crate) figures: Figures,
    /// None unless the host tells names.
    names: Option<Names>,
}

impl Claim {
    /// Reads the value of the member, if there is one.
    pub(crate) fn read(text: Option<&str>) -> Self {
        match text {
            None | Some("null") => Claim::NotGiven,
            Some(text) => serde_json::from_str::<Wire>(text)
                .ok()
                .and_then(checked)
                .map_or(Claim::Unusable, Claim::Given),
        }
    }

    /// The host's object in an answer.
    pub(crate) fn object(&self, room: &mut NameRoom) -> Vec<u8> {
        match self {
            Claim::NotGiven => br#"{"details":"not given"}"#.to_vec(),
            Claim::Unusable => br#"{"details":"not usable"}"#.to_vec(),
            Claim::Given(given) => {
                let mut members = Vec::with_capacity(160);
                explain::write_figures(&given.figures, &mut members);
                if let Some(names) = &given.names {
                    explain::write_names(names, room, &mut members);
                }
                explain::object("source", &given.source, &members)
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    source: String,
    needed: u32,
    present: u32,
    imputed_count: u32,
    missing_count: u32,
    unknown_count: u32,
    missing: Option<FewNames>,
    imputed: Option<FewNames>,
    unknown: Option<FewNames>,
}

/// The rate is not taken over: it follows from the counts.
fn checked(wire: Wire) -> Option<Given> {
    let figures = Figures {
        needed: usize::try_from(wire.needed).ok()?,
        present: usize::try_from(wire.present).ok()?,
        imputed: usize::try_from(wire.imputed_count).ok()?,
        missing: usize::try_from(wire.missing_count).ok()?,
        unknown: usize::try_from(wire.unknown_count).ok()?,
    };
    let accounted = figures.present.checked_add(figures.imputed)?;
    if accounted.checked_add(figures.missing)? != figures.needed {
        return None;
    }
    let names = match (wire.missing, wire.imputed, wire.unknown) {
        (None, None, None) => None,
        (missing, imputed, unknown) => Some(Names {
            missing: not_more_than(figures.missing, missing)?,
            imputed: not_more_than(figures.imputed, imputed)?,
            unknown: not_more_than(figures.unknown, unknown)?,
        }),
    };
    Some(Given {
        source: explain::cut(&wire.source),
        figures,
        names,
    })
}

fn not_more_than(count: usize, names: Option<FewNames>) -> Option<Vec<String>> {
    let names = names.map_or_else(Vec::new, |few| few.0);
    (names.len() <= count).then_some(names)
}

/// The first names of a list; the others are read over, so that a long list takes no memory.
struct FewNames(Vec<String>);

impl<'de> Deserialize<'de> for FewNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewNamesVisitor)
    }
}

struct FewNamesVisitor;

impl<'de> Visitor<'de> for FewNamesVisitor {
    type Value = FewNames;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<FewNames, A::Error> {
        let mut names = Vec::new();
        while names.len() < MAX_NAMES {
            match list.next_element::<String>()? {
                Some(name) => names.push(explain::cut(&name)),
                None => return Ok(FewNames(names)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(FewNames(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: &str =
        r#""needed":3,"present":1,"imputedCount":1,"missingCount":1,"unknownCount":2"#;

    fn object(text: &str) -> String {
        let claim = Claim::read(Some(text));
        String::from_utf8(claim.object(&mut NameRoom::default())).unwrap()
    }

    #[test]
    fn what_is_told_is_handed_on_with_a_rate_of_our_own() {
        let told = format!(
            r#"{{"source":"file-pick","hitRate":0.99,{COUNTS},"missing":["a"],"imputed":["b"],"unknown":["c","d"],"later":{{}}}}"#
        );
        assert_eq!(
            object(&told),
            r#"{"source":"file-pick","needed":3,"present":1,"hitRate":0.3333333333333333,"imputedCount":1,"missingCount":1,"unknownCount":2,"missing":["a"],"imputed":["b"],"unknown":["c","d"]}"#
        );
        let counts = object(&format!("{{{COUNTS}}}"));
        assert!(!counts.contains("\"missing\""), "{counts}");
        // What Java's hosts say, and a host of another version.
        assert_eq!(Claim::read(None), Claim::NotGiven);
        assert_eq!(Claim::read(Some("null")), Claim::NotGiven);
    }

    #[test]
    fn what_cannot_be_is_not_usable() {
        for text in [
            "7",
            "[]",
            "{}",
            r#"{"details":"not given"}"#,
            r#"{"needed":3,"present":4,"imputedCount":0,"missingCount":0,"unknownCount":0}"#,
            r#"{"needed":3,"present":-1,"imputedCount":4,"missingCount":0,"unknownCount":0}"#,
            r#"{"needed":3.0,"present":3,"imputedCount":0,"missingCount":0,"unknownCount":0}"#,
            r#"{"needed":"3","present":3,"imputedCount":0,"missingCount":0,"unknownCount":0}"#,
            r#"{"needed":1e3,"present":1000,"imputedCount":0,"missingCount":0,"unknownCount":0}"#,
            r#"{"needed":99999999999,"present":99999999999,"imputedCount":0,"missingCount":0,"unknownCount":0}"#,
            r#"{"needed":4294967295,"present":4294967295,"imputedCount":4294967295,"missingCount":1,"unknownCount":0}"#,
            r#"{"needed":3,"needed":3,"present":3,"imputedCount":0,"missingCount":0,"unknownCount":0}"#,
            &format!(r#"{{{COUNTS},"missing":["a","b"]}}"#),
            &format!(r#"{{{COUNTS},"missing":[1]}}"#),
            &format!(r#"{{{COUNTS},"unknown":"c"}}"#),
            &format!(r#"{{{COUNTS},"source":7}}"#),
        ] {
            assert_eq!(Claim::read(Some(text)), Claim::Unusable, "{text}");
            assert_eq!(object(text), r#"{"details":"not usable"}"#);
        }
    }

    #[test]
    fn long_lists_and_names_are_cut() {
        let names = vec!["\"名\""; 5000].join(",");
        let long = "x".repeat(100_000);
        let text = format!(
            r#"{{"source":"{long}","needed":9000,"present":0,"imputedCount":0,"missingCount":9000,"unknownCount":1,"missing":[{names}],"unknown":["{long}"]}}"#
        );
        let Claim::Given(given) = Claim::read(Some(&text)) else {
            panic!("refused")
        };
        let names = given.names.unwrap();
        assert_eq!((names.missing.len(), names.imputed.len()), (MAX_NAMES, 0));
        assert!(names.unknown[0].len() < 1000 && given.source.len() < 1000);
    }
}
