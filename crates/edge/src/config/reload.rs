//! A properties file that is read again while the role runs.

use super::values::Values;

/// What a new file changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Keys that are in force now.
    pub applied: Vec<String>,
    /// Keys that wait for the next start.
    pub after_restart: Vec<String>,
}

impl Changes {
    /// Sorts the keys whose values differ.
    pub fn between(now: &Values, new: &Values, reloadable: &[&str]) -> Self {
        let (applied, after_restart) = now
            .differing(new)
            .map(str::to_owned)
            .partition(|key| reloadable.contains(&key.as_str()));
        Self {
            applied,
            after_restart,
        }
    }

    /// Tells the log.
    pub fn say(&self, role: &str) {
        tracing::info!(role, applied = %self.applied.join(", "), "the configuration was read again");
        for key in &self.after_restart {
            tracing::warn!(role, key, "changed, takes effect after a restart");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Fallback, Key, Kind, honoured};
    use super::*;

    const KEYS: &[Key] = &[
        honoured("limit", Kind::Text, Fallback::Is("1"), ""),
        honoured("port", Kind::Text, Fallback::Unset, ""),
        honoured("secret", Kind::Secret, Fallback::Unset, ""),
    ];

    fn values(pairs: &[(&str, &str)]) -> Values {
        let entries = pairs.iter().map(|(key, value)| Entry {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            line: None,
        });
        let mut problems = Vec::new();
        let values = Values::read(KEYS, &entries.collect::<Vec<_>>(), &mut problems);
        assert!(problems.is_empty());
        values
    }

    #[test]
    fn keys_that_appear_change_or_go_are_found() {
        let now = values(&[("port", "1")]);
        let new = values(&[("limit", "2"), ("secret", "x")]);
        let changes = Changes::between(&now, &new, &["limit", "secret"]);
        assert_eq!(changes.applied, ["limit", "secret"]);
        assert_eq!(changes.after_restart, ["port"]);
        let merged = now.with(&new, &["limit", "secret"]);
        assert_eq!(merged.text("limit").as_deref(), Some("2"));
        assert_eq!(merged.text("port").as_deref(), Some("1"));
        assert_eq!(merged.secret("secret").as_deref(), Some("x"));
        let back = merged.with(&now, &["limit", "secret"]);
        assert_eq!(Changes::between(&now, &back, &[]), Changes::default());
    }
}
