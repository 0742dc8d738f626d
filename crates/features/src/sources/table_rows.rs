//! What the SQL sources have in common: a table with a row for each key.

use std::collections::HashMap;
use std::sync::Arc;

use super::columns::Answer;
use super::server_url::ServerUrl;
use crate::TlsSettings;

/// A table, or a view, of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSettings {
    pub server: ServerUrl,
    /// `None`: in the clear.
    pub tls: Option<TlsSettings>,
    /// `table` or `schema.table`.
    pub table: String,
    /// The column that holds the keys; its values are unique.
    pub id_column: String,
}

impl TableSettings {
    /// The table's name in quotes.
    pub(crate) fn quoted_table(&self, quote: char) -> String {
        let parts = self.table.split('.').map(|part| quoted(part, quote));
        parts.collect::<Vec<_>>().join(".")
    }
}

/// A name in quotes, whatever is in it.
pub(crate) fn quoted(name: &str, quote: char) -> String {
    let mut doubled = String::with_capacity(name.len() + 2);
    doubled.push(quote);
    for c in name.chars() {
        if c == quote {
            doubled.push(quote);
        }
        doubled.push(c);
    }
    doubled.push(quote);
    doubled
}

/// A whole number is a key of a column of numbers only as the database would write it: `007` is none of them.
pub(crate) fn whole_number(key: &str) -> Option<i64> {
    let number: i64 = key.parse().ok()?;
    (number.to_string() == key).then_some(number)
}

/// Rows as they come, by the keys that the database tells.
#[derive(Debug, Default)]
pub(crate) struct RowsByKey(HashMap<String, Answer>);

impl RowsByKey {
    pub(crate) fn add(&mut self, key: String, row: Answer) {
        use std::collections::hash_map::Entry;
        match self.0.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(row)),
            Entry::Occupied(mut entry) => {
                let cause = Arc::from("there are several rows of that key");
                entry.insert(Answer::Poisoned(cause));
            }
        }
    }

    pub(crate) fn answer(&self, key: Option<&str>) -> Answer {
        let row = key.and_then(|key| self.0.get(key));
        row.cloned().unwrap_or(Answer::Nothing)
    }
}

/// An error with what is behind it, which is where databases and systems say what is wrong.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_numbers_strict() {
        assert_eq!(quoted("a\"b; --", '"'), "\"a\"\"b; --\"");
        assert_eq!(quoted("a`b", '`'), "`a``b`");
        for (key, number) in [
            ("7", Some(7)),
            ("-7", Some(-7)),
            ("007", None),
            ("+7", None),
            ("7 ", None),
            ("-0", None),
            ("9223372036854775808", None),
        ] {
            assert_eq!(whole_number(key), number, "{key}");
        }
    }

    #[test]
    fn two_rows_of_a_key_are_none() {
        let mut rows = RowsByKey::default();
        rows.add("a".to_owned(), Answer::Row(Arc::default()));
        rows.add("b".to_owned(), Answer::Row(Arc::default()));
        rows.add("a".to_owned(), Answer::Row(Arc::default()));
        assert!(matches!(rows.answer(Some("a")), Answer::Poisoned(_)));
        assert!(matches!(rows.answer(Some("b")), Answer::Row(_)));
        assert_eq!(rows.answer(Some("c")), Answer::Nothing);
        assert_eq!(rows.answer(None), Answer::Nothing);
    }
}
