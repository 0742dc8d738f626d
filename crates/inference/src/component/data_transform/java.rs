//! FATE-Serving 2.1.7's DataIO: fill, imputer, outliers, all over the text of values (contract 02 A4).

use std::collections::BTreeMap;

use fate_domain::{fault::Fault, java_number::parse_double, return_code::ReturnCode};

use super::{Input, Replacing, Settings};
use crate::{
    Cell, Row, Semantics,
    cell::Spelling,
    component::{Context, Transform, sentinel::Sentinels},
    symbols::{Column, bitmap},
};

#[derive(Debug)]
pub(super) struct JavaDataTransform {
    /// Tag and sparse input: columns to fill with 0 (or "" before an imputer); the others are dropped.
    fill: Option<Fill>,
    missing: Option<(Sentinels, Vec<Replacement>, Vec<bool>)>,
    outlier: Option<(Sentinels, Vec<Option<Replacement>>)>,
}

#[derive(Debug)]
struct Fill {
    keep: Vec<bool>,
    columns: Vec<Column>,
    with_blank: bool,
}

/// A column and the text that stands in for its missing or outlying values.
#[derive(Debug)]
struct Replacement {
    column: Column,
    text: Box<str>,
    number: Option<f64>,
}

impl Replacement {
    fn all(values: BTreeMap<String, String>, context: &mut Context<'_>) -> Vec<Replacement> {
        values
            .into_iter()
            .map(|(name, text)| Replacement {
                column: context.symbols.intern(&name),
                number: parse_double(&text),
                text: text.into(),
            })
            .collect()
    }

    /// Java puts the text itself into the row: outlier tokens and one-hot categories are compared with its spelling.
    fn cell(&self) -> Cell<'_> {
        match self.number {
            Some(value) => Cell::Number(value, Spelling::Text(&self.text)),
            None => Cell::Text(self.text.as_ref().into()),
        }
    }
}

impl JavaDataTransform {
    pub(super) fn new(settings: Settings, context: &mut Context<'_>) -> Self {
        let with_blank = settings.missing.is_some();
        let fill = (settings.input != Input::Dense).then(|| {
            let columns: Vec<Column> = settings
                .header
                .iter()
                .map(|name| context.symbols.intern(name))
                .collect();
            Fill {
                keep: bitmap(columns.iter().copied()),
                columns,
                with_blank,
            }
        });
        let missing = settings.missing.map(|Replacing { tokens, values }| {
            let replacements = Replacement::all(values, context);
            let keep = bitmap(replacements.iter().map(|replacement| replacement.column));
            (Sentinels::new(tokens, Semantics::Java), replacements, keep)
        });
        let outlier = settings.outlier.map(|Replacing { tokens, values }| {
            let replacements = by_column(Replacement::all(values, context));
            (Sentinels::new(tokens, Semantics::Java), replacements)
        });
        JavaDataTransform {
            fill,
            missing,
            outlier,
        }
    }
}

impl Transform for JavaDataTransform {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault> {
        if let Some(fill) = &self.fill {
            row.keep_only(&fill.keep);
            for &column in &fill.columns {
                if matches!(row.cell(column), Cell::Absent) {
                    let cell = if fill.with_blank {
                        Cell::Text("".into())
                    } else {
                        Cell::Number(0.0, Spelling::Token("0"))
                    };
                    row.set(column, cell);
                }
            }
        }
        if let Some((tokens, replacements, keep)) = &self.missing {
            for replacement in replacements {
                match row.cell(replacement.column) {
                    Cell::Null => return Err(null_fault()),
                    Cell::Absent => row.set(replacement.column, replacement.cell()),
                    cell if tokens.contains(cell) => {
                        row.set(replacement.column, replacement.cell())
                    }
                    _ => {}
                }
            }
            row.keep_only(keep);
        }
        if let Some((tokens, replacements)) = &self.outlier {
            for (index, cell) in row.cells_mut().iter_mut().enumerate() {
                if tokens.contains(cell) {
                    // A column without a replacement becomes null there, and fails where it is used.
                    *cell = replacements
                        .get(index)
                        .and_then(Option::as_ref)
                        .map_or(Cell::Null, Replacement::cell);
                }
            }
        }
        Ok(())
    }

    fn imputes(&self, row: &Row<'_>, found: &mut dyn FnMut(Column)) {
        if let Some(fill) = &self.fill {
            let columns = fill.columns.iter().copied();
            columns
                .filter(|column| matches!(row.cell(*column), Cell::Absent))
                .for_each(&mut *found);
        }
        let missing = self.missing.iter();
        for (tokens, replacements, _) in missing {
            let columns = replacements.iter().map(|replacement| replacement.column);
            columns
                .filter(|column| match row.cell(*column) {
                    Cell::Absent => true,
                    cell => tokens.contains(cell),
                })
                .for_each(&mut *found);
        }
    }

    fn trace_back(&self, needed: &mut std::collections::BTreeSet<Column>) {
        let keeps = self.fill.iter().map(|fill| &fill.keep);
        let keeps = keeps.chain(self.missing.iter().map(|(_, _, keep)| keep));
        for keep in keeps {
            needed.retain(|column| keep.get(column.index()).copied().unwrap_or(false));
        }
    }
}

fn null_fault() -> Fault {
    Fault::new(
        ReturnCode::SYSTEM,
        "a feature that the imputer fills is null",
    )
}

fn by_column(replacements: Vec<Replacement>) -> Vec<Option<Replacement>> {
    let mut table = Vec::new();
    for replacement in replacements {
        let index = replacement.column.index();
        if table.len() <= index {
            table.resize_with(index + 1, || None);
        }
        table[index] = Some(replacement);
    }
    table
}
