//! `OneHotEncoder` (contract 02 A6; B2 rows 12 and 13).

use std::collections::BTreeSet;

use fate_domain::{fault::Fault, java_number::parse_int};
use fate_proto::buffer::{OneHotMeta, OneHotParam};

use super::{Context, Part, Source, Transform};
use crate::{Cell, Refusal, Row, cell::Spelling, python_number::parse_float, symbols::Column};

#[derive(Debug)]
struct OneHot {
    columns: Vec<Encoded>,
    java: bool,
}

#[derive(Debug)]
struct Encoded {
    column: Column,
    /// The column's own name is not among the outputs, so the raw value goes.
    categories: Vec<Category>,
}

#[derive(Debug)]
struct Category {
    key: Key,
    output: Column,
}

#[derive(Debug, PartialEq)]
enum Key {
    Java(i32),
    Number(f64),
    Text(Box<str>),
}

pub(crate) fn build(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let meta: OneHotMeta = source.meta()?;
    let param: OneHotParam = source.param()?;
    if !meta.need_run {
        source.refuse_results_without_run(!param.col_map.is_empty())?;
        return Ok(Part::pass_through("switched off"));
    }
    let selected: BTreeSet<&String> = meta.transform_col_names.iter().collect();
    if !context.java()
        && (selected.len() != param.col_map.len()
            || !selected
                .iter()
                .all(|name| param.col_map.contains_key(*name)))
    {
        return Err(source.refuse(format!(
            "its Meta names {} columns, its Param has the categories of {}",
            selected.len(),
            param.col_map.len()
        )));
    }
    let mut columns = Vec::new();
    for name in selected {
        let column = context.symbols.intern(name);
        let mut categories = Vec::new();
        // A column without categories only vanishes.
        if let Some(map) = param.col_map.get(name) {
            if map.values.len() != map.transformed_headers.len() {
                return Err(source.refuse(format!(
                    "column {name:?} has {} values and {} headers",
                    map.values.len(),
                    map.transformed_headers.len()
                )));
            }
            for (value, header) in map.values.iter().zip(&map.transformed_headers) {
                let Some(key) = key_of(value, context.java()) else {
                    break;
                };
                categories.push(Category {
                    key,
                    output: context.symbols.intern(header),
                });
            }
        }
        columns.push(Encoded { column, categories });
    }
    context.differs(
        "FATE-Serving 2.1.7 encodes every feature that is not an integer token as category 0",
    );
    let detail = format!("{} columns", columns.len());
    Ok(Part::transform(
        OneHot {
            columns,
            java: context.java(),
        },
        detail,
    ))
}

/// Java stops a column at the first category that is no integer; offline a category is a Python literal or text.
fn key_of(value: &str, java: bool) -> Option<Key> {
    if java {
        return parse_int(value).map(Key::Java);
    }
    Some(parse_float(value).map_or_else(|| Key::Text(value.into()), Key::Number))
}

impl Transform for OneHot {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault> {
        for encoded in &self.columns {
            let cell = std::mem::take(&mut row.cells_mut()[encoded.column.index()]);
            if self.java && matches!(cell, Cell::Absent) {
                continue;
            }
            let java_key = Key::Java(cell.java_int().unwrap_or(0));
            for category in &encoded.categories {
                let hit = if self.java {
                    category.key == java_key
                } else {
                    category.key.offline_matches(&cell)
                };
                row.set(
                    category.output,
                    Cell::Number(f64::from(u8::from(hit)), Spelling::Double),
                );
            }
        }
        Ok(())
    }

    fn trace_back(&self, needed: &mut BTreeSet<Column>) {
        for encoded in self.columns.iter().rev() {
            let outputs = encoded.categories.iter().map(|category| category.output);
            let read = outputs.filter(|output| needed.remove(output)).count();
            needed.remove(&encoded.column);
            if read > 0 {
                needed.insert(encoded.column);
            }
        }
    }
}

impl Key {
    /// Python's dictionary lookup: numbers by value, text by text, never one for the other.
    fn offline_matches(&self, cell: &Cell<'_>) -> bool {
        match (self, cell) {
            (Key::Number(key), Cell::Number(value, _)) => key == value,
            (Key::Number(key), Cell::ImplicitZero) => *key == 0.0,
            (Key::Text(key), Cell::Text(text)) => **key == **text,
            _ => false,
        }
    }
}
