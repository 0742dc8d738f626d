//! `features.csv`: one party's raw rows.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use csv::{Reader, ReaderBuilder, StringRecord};
use serde_json::{Number, Value};

use crate::Error;
use crate::layout::{Layout, Named};

/// Rows in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Name of the first column.
    pub id_column: String,
    /// The guest's label, if the table has one: it is no feature, `columns` and `Row::cells` are without it.
    pub label_column: Option<String>,
    /// Feature names, unique: in the order of the file, of tag and sparse tables by first occurrence.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    /// Position in [`Table::columns`] and text of every cell that is not empty; empty ones are missing values.
    pub cells: Vec<(usize, String)>,
}

impl Table {
    /// Every column of a dense table but the first is a feature until [`Table::take_label`]. A tag or sparse table may
    /// begin with a header: a first line whose id is not `predicted`, which no request could ask for anyhow.
    pub(crate) fn read(
        path: &Path,
        layout: &Layout,
        predicted: impl Fn(&str) -> bool,
    ) -> Result<Table, Error> {
        let bytes = fs::read(path).map_err(Error::io(path))?;
        match layout {
            Layout::Dense { delimiter, .. } => read_dense(path, &bytes, *delimiter),
            Layout::Named(named) => read_named(path, &bytes, named, predicted),
        }
    }

    /// Takes the column out of the features.
    pub(crate) fn take_label(&mut self, column: usize) {
        self.label_column = Some(self.columns.remove(column));
        for row in &mut self.rows {
            row.cells.retain(|(position, _)| *position != column);
            for (position, _) in &mut row.cells {
                *position -= usize::from(*position > column);
            }
        }
    }

    /// Rows by id.
    pub fn by_id(&self) -> HashMap<&str, &Row> {
        self.rows.iter().map(|row| (row.id.as_str(), row)).collect()
    }
}

impl Row {
    /// The text of a cell that is not empty.
    pub fn cell(&self, column: usize) -> Option<&str> {
        let mut cells = self.cells.iter();
        let (_, text) = cells.find(|(position, _)| *position == column)?;
        Some(text)
    }

    /// The JSON object of the row's features (a request's `featureData`); empty cells are left out. A cell is a
    /// JSON string as in the file, or with `numbers` a JSON number where its text is one as it stands (`-9.1e3`,
    /// but not `007`, `+1`, ` 1` or `1e999`).
    pub fn json(&self, columns: &[String], numbers: bool) -> String {
        let member = |(column, cell): &(usize, String)| {
            let name = Value::from(columns.get(*column)?.as_str());
            Some(if numbers && is_number(cell) {
                format!("{name}:{cell}")
            } else {
                format!("{name}:{}", Value::from(cell.as_str()))
            })
        };
        let members: Vec<String> = self.cells.iter().filter_map(member).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// White space around the number would be JSON too, but another text than the cell's.
fn is_number(cell: &str) -> bool {
    cell.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && cell.ends_with(|last: char| last.is_ascii_digit())
        && serde_json::from_str::<Number>(cell).is_ok()
}

fn read_dense(path: &Path, bytes: &[u8], delimiter: Option<u8>) -> Result<Table, Error> {
    let text = without_mark(bytes);
    let header_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let delimiter = delimiter
        .filter(|delimiter| !header_line.contains(&b',') && header_line.contains(delimiter))
        .unwrap_or(b',');
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(text);
    let header = reader.headers().map_err(|cause| Error::csv(path, cause))?;
    let mut names = header.iter().map(str::to_owned);
    let id_column = names
        .next()
        .ok_or_else(|| Error::line(path, 1, "there is no header"))?;
    let columns: Vec<String> = names.collect();
    let mut seen = HashSet::new();
    if let Some(twice) = columns.iter().find(|name| !seen.insert(name.as_str())) {
        let cause = format!("two columns are named {twice:?}");
        return Err(Error::line(path, 1, cause));
    }
    let mut rows = Rows::new(path);
    for record in reader.records() {
        let record = record.map_err(|cause| Error::csv(path, cause))?;
        let cells = record.iter().skip(1).enumerate();
        let cells = cells
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(column, cell)| (column, cell.to_owned()))
            .collect();
        rows.add(&record, cells)?;
    }
    Ok(Table {
        id_column,
        label_column: None,
        columns,
        rows: rows.rows,
    })
}

fn read_named(
    path: &Path,
    bytes: &[u8],
    named: &Named,
    predicted: impl Fn(&str) -> bool,
) -> Result<Table, Error> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(without_mark(bytes));
    let mut table = Table {
        id_column: "id".to_owned(),
        ..Table::default()
    };
    let mut positions: BTreeMap<String, usize> = BTreeMap::new();
    let mut rows = Rows::new(path);
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(|cause| Error::csv(path, cause))?;
        let id = record.get(0).unwrap_or_default();
        if number == 0 && !predicted(id) {
            table.id_column = id.to_owned();
            continue;
        }
        let features = named
            .features(record.iter().skip(1))
            .map_err(|cause| Error::line(path, line(&record), cause))?;
        let mut cells = Vec::with_capacity(features.len());
        for (name, value) in features {
            let position = match positions.get(name) {
                Some(position) => *position,
                None => {
                    positions.insert(name.to_owned(), table.columns.len());
                    table.columns.push(name.to_owned());
                    table.columns.len() - 1
                }
            };
            if !value.is_empty() {
                cells.push((position, value.to_owned()));
            }
        }
        rows.add(&record, cells)?;
    }
    table.rows = rows.rows;
    Ok(table)
}

/// Rows so far; ids must differ.
struct Rows<'a> {
    path: &'a Path,
    ids: HashSet<String>,
    rows: Vec<Row>,
}

impl Rows<'_> {
    fn new(path: &Path) -> Rows<'_> {
        Rows {
            path,
            ids: HashSet::new(),
            rows: Vec::new(),
        }
    }

    fn add(&mut self, record: &StringRecord, cells: Vec<(usize, String)>) -> Result<(), Error> {
        let id = record.get(0).unwrap_or_default().to_owned();
        if !self.ids.insert(id.clone()) {
            let cause = format!("the id {id:?} is there twice");
            return Err(Error::line(self.path, line(record), cause));
        }
        self.rows.push(Row { id, cells });
        Ok(())
    }
}

/// A reader with a header and rows of equal length.
pub(crate) fn reader(bytes: &[u8]) -> Reader<&[u8]> {
    Reader::from_reader(without_mark(bytes))
}

/// Spreadsheets put a byte order mark before UTF-8; it is no part of the first name.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

pub(crate) fn line(record: &StringRecord) -> u64 {
    record.position().map_or(0, csv::Position::line)
}
