//! Rows by key, each in one piece of text.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sources::columns::{ColumnMapping, Features, MAX_ROW_BYTES};

/// Between the tokens of a row. JSON tokens of one value hold none: control characters are escaped in them.
const SEPARATOR: char = '\n';

#[derive(Debug)]
pub(super) struct Table {
    features: Vec<Arc<str>>,
    rows: HashMap<Box<str>, Box<str>>,
}

/// Which columns of a file are used: the keys', and the features' with their names.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) id: usize,
    pub(super) columns: Vec<usize>,
    features: Vec<Arc<str>>,
}

impl Layout {
    /// Of a file's columns.
    pub(super) fn of(
        names: &[&str],
        id_column: &str,
        mapping: &ColumnMapping,
    ) -> Result<Self, String> {
        let mut places = HashMap::new();
        for (place, name) in names.iter().enumerate() {
            if places.insert(*name, place).is_some() {
                return Err(format!("the column {name} is there twice"));
            }
        }
        let place = |name: &str| {
            let place = places.get(name).copied();
            place.ok_or_else(|| format!("there is no column {name}"))
        };
        let id = place(id_column)?;
        let columns: Vec<usize> = match mapping.columns() {
            Some(wanted) => wanted.map(place).collect::<Result<_, _>>()?,
            None => (0..names.len()).filter(|place| *place != id).collect(),
        };
        let features = columns
            .iter()
            .filter_map(|place| mapping.feature(names[*place]));
        Ok(Self {
            id,
            features: features.collect(),
            columns,
        })
    }
}

/// A table under way.
#[derive(Debug)]
pub(super) struct TableBuilder {
    table: Table,
    bytes: u64,
    max_bytes: u64,
}

impl TableBuilder {
    pub(super) fn new(layout: &Layout, max_bytes: u64) -> Self {
        Self {
            table: Table {
                features: layout.features.clone(),
                rows: HashMap::new(),
            },
            bytes: 0,
            max_bytes,
        }
    }

    /// Adds a row; its tokens are those of the layout's columns, empty for nothing.
    pub(super) fn add<T: AsRef<str>>(
        &mut self,
        key: &str,
        tokens: impl Iterator<Item = T>,
    ) -> Result<(), String> {
        if key.is_empty() {
            return Err("the row has no key".to_owned());
        }
        let mut row = String::new();
        for (place, token) in tokens.enumerate() {
            if place > 0 {
                row.push(SEPARATOR);
            }
            row.push_str(token.as_ref());
        }
        if row.len() > MAX_ROW_BYTES {
            return Err(format!("the row is larger than {MAX_ROW_BYTES} bytes"));
        }
        self.bytes += u64::try_from(key.len() + row.len()).unwrap_or(u64::MAX);
        if self.bytes > self.max_bytes {
            return Err(format!("the table is larger than {} bytes", self.max_bytes));
        }
        if self.table.rows.insert(key.into(), row.into()).is_some() {
            let shown: String = key.chars().take(80).collect();
            return Err(format!("the key {shown} is there twice"));
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Table {
        self.table
    }
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, key: &str) -> Option<Features> {
        let tokens = self.rows.get(key)?.split(SEPARATOR);
        let pairs = self.features.iter().zip(tokens);
        let pairs = pairs.filter(|(_, token)| !token.is_empty());
        Some(
            pairs
                .map(|(name, token)| (Arc::clone(name), token.into()))
                .collect(),
        )
    }
}
