//! `features.csv`: one party's raw rows.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;

use serde_json::{Number, Value};

use crate::Error;

/// Rows in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Name of the first column.
    pub id_column: String,
    /// The guest's label, if the table has one: it is no feature, `columns` and `Row::cells` are without it.
    pub label_column: Option<String>,
    /// Feature names, unique, in the order of the file.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

/// One row; `cells` are in the order of [`Table::columns`], an empty one is a missing value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub cells: Vec<String>,
}

impl Table {
    /// Every column but the first is a feature until [`Table::take_label`].
    pub(crate) fn read(path: &Path) -> Result<Table, Error> {
        let mut reader = reader(path)?;
        let header = reader.headers().map_err(|cause| Error::csv(path, cause))?;
        let mut names = header.iter().map(str::to_owned);
        let id_column = names
            .next()
            .ok_or_else(|| Error::line(path, 1, "there is no header"))?;
        let columns: Vec<String> = names.collect();
        let mut seen = HashSet::new();
        if let Some(twice) = columns.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(Error::line(
                path,
                1,
                format!("two columns are named {twice:?}"),
            ));
        }
        let mut ids = HashSet::new();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|cause| Error::csv(path, cause))?;
            let mut cells = record.iter().map(str::to_owned);
            let id = cells.next().unwrap_or_default();
            if !ids.insert(id.clone()) {
                return Err(Error::line(
                    path,
                    line(&record),
                    format!("the id {id:?} is there twice"),
                ));
            }
            let cells = cells.collect();
            rows.push(Row { id, cells });
        }
        Ok(Table {
            id_column,
            label_column: None,
            columns,
            rows,
        })
    }

    /// Takes the column out of the features.
    pub(crate) fn take_label(&mut self, column: usize) {
        self.label_column = Some(self.columns.remove(column));
        for row in &mut self.rows {
            row.cells.remove(column);
        }
    }

    /// Rows by id.
    pub fn by_id(&self) -> HashMap<&str, &Row> {
        self.rows.iter().map(|row| (row.id.as_str(), row)).collect()
    }
}

impl Row {
    /// The JSON object of the row's features (a request's `featureData`); empty cells are left out. A cell is a
    /// JSON string as in the file, or with `numbers` a JSON number where its text is one as it stands (`-9.1e3`,
    /// but not `007`, `+1`, ` 1` or `1e999`).
    pub fn json(&self, columns: &[String], numbers: bool) -> String {
        let members: Vec<String> = columns
            .iter()
            .zip(&self.cells)
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(name, cell)| {
                let name = Value::from(name.as_str());
                if numbers && is_number(cell) {
                    format!("{name}:{cell}")
                } else {
                    format!("{name}:{}", Value::from(cell.as_str()))
                }
            })
            .collect();
        format!("{{{}}}", members.join(","))
    }
}

/// White space around the number would be JSON too, but another text than the cell's.
fn is_number(cell: &str) -> bool {
    cell.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && cell.ends_with(|last: char| last.is_ascii_digit())
        && serde_json::from_str::<Number>(cell).is_ok()
}

/// A reader with a header and rows of equal length.
pub(crate) fn reader(path: &Path) -> Result<csv::Reader<File>, Error> {
    let file = File::open(path).map_err(Error::io(path))?;
    Ok(csv::Reader::from_reader(file))
}

pub(crate) fn line(record: &csv::StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}
