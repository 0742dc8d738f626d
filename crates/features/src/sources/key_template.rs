//! A source's key, made from the ids of a request: `user:${id}`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use fate_domain::members::Members;

use crate::ids;

/// Longer keys belong to nobody; they would only cost memory on their way.
const MAX_KEY_BYTES: usize = 512;

/// Text with the names of ids in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Id(String),
}

/// Why a row has no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The request does not say the id.
    Missing,
    /// It says something that is no id.
    Wrong(String),
}

impl FromStr for KeyTemplate {
    type Err = String;

    /// `${name}` stands for the id of that name; anything else for itself.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`{text}` has a ${{ without its }}"))?;
            if name.is_empty() {
                return Err(format!("`{text}` names no id between ${{ and }}"));
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Id(name.to_owned()));
            rest = after;
        }
        if parts.is_empty() {
            return Err(format!(
                "`{text}` names no id of the request, as ${{id}} does: every row would have the same key"
            ));
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl KeyTemplate {
    /// The key of the row with these ids.
    pub(crate) fn key(&self, row: &Members<'_>) -> Result<Arc<str>, NoKey> {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Id(name) => {
                    let value = row.get(name).filter(|value| *value != "null");
                    let value = value.ok_or(NoKey::Missing)?;
                    let text = ids::text(value)
                        .map_err(|cause| NoKey::Wrong(format!("{name}: {cause}")))?;
                    if text.is_empty() {
                        return Err(NoKey::Missing);
                    }
                    key.push_str(&text);
                }
            }
        }
        if key.len() > MAX_KEY_BYTES {
            let text = format!("the key is longer than {MAX_KEY_BYTES} bytes");
            return Err(NoKey::Wrong(text));
        }
        Ok(key.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(template: &str, ids: &str) -> Result<String, NoKey> {
        let template: KeyTemplate = template.parse().unwrap();
        let members = Members::whole(ids).unwrap();
        template.key(&members).map(|key| key.to_string())
    }

    #[test]
    fn ids_are_put_in_their_places() {
        let ids = r#"{"id":"7","n":12,"d":1.50,"none":null,"blank":"","list":[1]}"#;
        assert_eq!(key("${id}", ids).unwrap(), "7");
        assert_eq!(key("user:${id}:${n}$", ids).unwrap(), "user:7:12$");
        assert_eq!(key("${d}", ids).unwrap(), "1.5", "as Java spells it");
        for missing in ["${none}", "${blank}", "${other}", "${id}${other}"] {
            assert_eq!(key(missing, ids), Err(NoKey::Missing), "{missing}");
        }
        assert!(matches!(key("${list}", ids), Err(NoKey::Wrong(_))));
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(MAX_KEY_BYTES + 1));
        assert!(matches!(key("${id}", &long), Err(NoKey::Wrong(_))));
    }

    #[test]
    fn templates_without_an_id_are_refused() {
        for wrong in ["", "user", "${id", "${}", "$id", "{id}"] {
            assert!(wrong.parse::<KeyTemplate>().is_err(), "{wrong}");
        }
    }
}
