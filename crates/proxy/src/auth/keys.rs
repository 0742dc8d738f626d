//! The file of keys, `auth_config.json` (contract 04 A.6).

use std::collections::HashMap;
use std::fmt;

use fate_domain::java_number::{double_to_string, parse_double};

use crate::lenient_json::{self, FormatError, Place, Value};

/// Stands for every party in `speaks_for`.
const ANY: &str = "*";

/// A file's content.
#[derive(Debug)]
pub struct Keys {
    /// The party that signs.
    pub self_party_id: String,
    /// Put into packets that have no apply id.
    pub apply_id: String,
    /// How old a packet may be, in milliseconds.
    pub expire_ms: i64,
    /// Read and without effect: `auth.open` decides.
    pub if_use_auth: Option<bool>,
    by_app_key: HashMap<String, AccessKey>,
    own: Option<String>,
}

/// A key of a party.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// The party.
    pub party_id: String,
    /// The key's name, which travels with a packet.
    pub app_key: String,
    pub(super) app_secret: String,
    speaks_for: Vec<String>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AccessKey")
            .field("party_id", &self.party_id)
            .field("app_key", &self.app_key)
            .field("speaks_for", &self.speaks_for)
            .finish_non_exhaustive()
    }
}

impl AccessKey {
    /// Whether packets from that party may be signed with the key: those of its own party, or those of the parties in
    /// `speaks_for`. An exchange that hands on the packets of others needs the latter.
    pub fn speaks_for(&self, party_id: &str) -> bool {
        self.speaks_for
            .iter()
            .any(|known| known == ANY || known == party_id)
    }
}

impl Keys {
    /// Reads a file's content.
    ///
    /// # Errors
    /// It is no JSON or not of the file's form; the error names line, column and path, and no secret.
    pub fn parse(content: &[u8]) -> Result<Self, FormatError> {
        let document = lenient_json::parse(content)?;
        let root = Place::root(&document);
        let seconds = root.required("request_expire_seconds")?;
        let expire_ms = match seconds.integer()? {
            count @ 1..=31_536_000 => count * 1000,
            _ => return Err(seconds.wrong("must be from 1 to 31536000 seconds")),
        };
        let optional_text = |name: &str| match root.get(name)? {
            Some(place) => place.text(),
            None => Ok(String::new()),
        };
        let mut keys = Self {
            self_party_id: root.required("self_party_id")?.text()?,
            apply_id: optional_text("apply_id")?,
            expire_ms,
            if_use_auth: root
                .get("if_use_auth")?
                .map(|place| place.flag())
                .transpose()?,
            by_app_key: HashMap::new(),
            own: None,
        };
        for place in root.required("access_keys")?.items()? {
            let key = access_key(&place)?;
            if key.party_id == keys.self_party_id {
                // Of several the last one signs, as in Java; all of them are accepted.
                keys.own = Some(key.app_key.clone());
            }
            let app_key = key.app_key.clone();
            if keys.by_app_key.insert(app_key, key).is_some() {
                return Err(place.wrong("another entry has the same app_key"));
            }
        }
        Ok(keys)
    }

    /// The key with that name.
    pub fn of_app_key(&self, app_key: &str) -> Option<&AccessKey> {
        self.by_app_key.get(app_key)
    }

    /// The key that this party signs with.
    pub fn own(&self) -> Option<&AccessKey> {
        self.of_app_key(self.own.as_ref()?)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_app_key.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_app_key.is_empty()
    }
}

fn access_key(place: &Place<'_>) -> Result<AccessKey, FormatError> {
    let text = |name: &str| {
        let member = place.required(name)?;
        let text = java_text(&member)?;
        // An empty secret would make signatures that everybody can make.
        if text.is_empty() {
            return Err(member.wrong("must not be empty"));
        }
        Ok(text)
    };
    let party_id = text("party_id")?;
    let speaks_for = match place.get("speaks_for")? {
        Some(list) => list
            .items()?
            .map(|item| item.text())
            .collect::<Result<_, _>>()?,
        None => vec![party_id.clone()],
    };
    Ok(AccessKey {
        app_key: text("app_key")?,
        app_secret: text("app_secret")?,
        party_id,
        speaks_for,
    })
}

/// Java reads the entries as maps of anything, in which a number is a double: `11` is the text `11.0`.
fn java_text(place: &Place<'_>) -> Result<String, FormatError> {
    match &place.node.value {
        Value::Number(text) => {
            Ok(parse_double(text).map_or_else(|| text.clone(), double_to_string))
        }
        _ => place.text(),
    }
}
