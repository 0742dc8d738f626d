//! `DataIO` and `DataTransform`: sparse fill, missing values, outliers, casts (contract 02 A4; B2 rows 2, 5, 14, 15).

use std::collections::BTreeMap;

use fate_domain::{fault::Fault, java_number::parse_double, return_code::ReturnCode};
use fate_proto::buffer::{DataIoMeta, DataIoParam, DataTransformMeta, DataTransformParam};

use super::{Context, Part, Source, Transform, sentinel::Sentinels};
use crate::{Cell, Refusal, Row, Semantics, cell::Spelling, symbols::Column};

/// The two message families carry the same fields; this is what both say.
#[derive(Debug, Default)]
struct Settings {
    input_format: String,
    output_format: String,
    data_type: String,
    exclusive_data_type: BTreeMap<String, String>,
    header: Vec<String>,
    missing: Option<Replacing>,
    outlier: Option<Replacing>,
}

#[derive(Debug)]
struct Replacing {
    tokens: Vec<String>,
    values: BTreeMap<String, String>,
}

macro_rules! settings {
    ($meta:expr, $param:expr) => {{
        let (meta, param) = ($meta, $param);
        let imputer = meta.imputer_meta.unwrap_or_default();
        let outlier = meta.outlier_meta.unwrap_or_default();
        Settings {
            input_format: meta.input_format,
            output_format: meta.output_format,
            data_type: meta.data_type,
            exclusive_data_type: meta.exclusive_data_type,
            header: param.header,
            missing: imputer.is_imputer.then(|| Replacing {
                tokens: imputer.missing_value,
                values: param
                    .imputer_param
                    .unwrap_or_default()
                    .missing_replace_value,
            }),
            outlier: outlier.is_outlier.then(|| Replacing {
                tokens: outlier.outlier_value,
                values: param
                    .outlier_param
                    .unwrap_or_default()
                    .outlier_replace_value,
            }),
        }
    }};
}

pub(crate) fn build_data_io(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    build(
        settings!(source.meta::<DataIoMeta>()?, source.param::<DataIoParam>()?),
        context,
    )
}

pub(crate) fn build_data_transform(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    build(
        settings!(
            source.meta::<DataTransformMeta>()?,
            source.param::<DataTransformParam>()?
        ),
        context,
    )
}

fn build(settings: Settings, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let detail = format!(
        "{} columns, {}{}{}",
        settings.header.len(),
        if settings.input_format.is_empty() {
            "dense"
        } else {
            &settings.input_format
        },
        if settings.missing.is_some() {
            ", fills missing values"
        } else {
            ""
        },
        if settings.outlier.is_some() {
            ", replaces outliers"
        } else {
            ""
        },
    );
    Ok(if context.java() {
        Part::transform(JavaDataTransform::new(settings, context), detail)
    } else {
        Part::transform(FateDataTransform::new(settings, context), detail)
    })
}

fn is_sparse_input(settings: &Settings) -> bool {
    matches!(settings.input_format.as_str(), "tag" | "sparse")
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

/// FATE-Serving 2.1.7.
#[derive(Debug)]
struct JavaDataTransform {
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

impl JavaDataTransform {
    fn new(settings: Settings, context: &mut Context<'_>) -> Self {
        let with_blank = settings.missing.is_some();
        let fill = is_sparse_input(&settings).then(|| {
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
        let missing = settings.missing.map(|missing| {
            let replacements = Replacement::all(missing.values, context);
            let keep = bitmap(replacements.iter().map(|replacement| replacement.column));
            (
                Sentinels::new(missing.tokens, Semantics::Java),
                replacements,
                keep,
            )
        });
        let outlier = settings.outlier.map(|outlier| {
            let replacements = by_column(Replacement::all(outlier.values, context));
            (
                Sentinels::new(outlier.tokens, Semantics::Java),
                replacements,
            )
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
}

fn null_fault() -> Fault {
    Fault::new(
        ReturnCode::SYSTEM,
        "a feature that the imputer fills is null",
    )
}

/// FATE's offline DataTransform: the same steps over text, then a cast of every value.
#[derive(Debug)]
struct FateDataTransform {
    missing: Option<(Sentinels, Vec<Replacement>)>,
    outlier: Option<(Sentinels, Vec<Option<Replacement>>)>,
    /// What still counts as missing when values are cast.
    blank: Sentinels,
    cast: Cast,
    exclusive: Vec<(Column, Cast)>,
    /// Columns of the table the model was trained on; offline there are no others. Empty when the header is unknown.
    known: Vec<bool>,
    /// Columns whose absence is a zero: tag and sparse input.
    zero: Vec<Column>,
    /// `output_format: sparse` drops values below 1e-8.
    drops_tiny: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cast {
    Float64,
    Float32,
    Integer,
    Text,
}

impl Cast {
    fn of(data_type: &str) -> Self {
        match data_type {
            "int" | "int64" | "int32" | "long" => Cast::Integer,
            "float32" => Cast::Float32,
            "str" => Cast::Text,
            _ => Cast::Float64,
        }
    }
}

/// The tokens of a cast without an imputer: data_transform.py's `missing_impute_value_set`.
const BLANKS: [&str; 4] = ["", "NULL", "null", "NA"];
/// imputer.py's default tokens; `nan` is how numpy's NaN prints.
const DEFAULT_MISSING: [&str; 6] = ["", "none", "null", "na", "None", "nan"];

impl FateDataTransform {
    fn new(settings: Settings, context: &mut Context<'_>) -> Self {
        let semantics = Semantics::Fate;
        let sparse = is_sparse_input(&settings);
        let header: Vec<Column> = settings
            .header
            .iter()
            .map(|name| context.symbols.intern(name))
            .collect();
        context.sparse = settings.output_format == "sparse" || settings.input_format == "tag";
        let exclusive = settings
            .exclusive_data_type
            .iter()
            .map(|(name, data_type)| {
                // Offline the names were lower-cased when the model was trained.
                let name = settings
                    .header
                    .iter()
                    .find(|header| header.to_lowercase() == *name)
                    .unwrap_or(name);
                (context.symbols.intern(name), Cast::of(data_type))
            })
            .collect();
        let blank = match &settings.missing {
            Some(missing) if !missing.tokens.is_empty() => {
                Sentinels::new(&missing.tokens, semantics)
            }
            Some(_) => Sentinels::new(DEFAULT_MISSING, semantics),
            None => Sentinels::new(BLANKS, semantics),
        };
        let missing = settings.missing.map(|missing| {
            let tokens = if missing.tokens.is_empty() {
                Sentinels::new(DEFAULT_MISSING, semantics)
            } else {
                Sentinels::new(missing.tokens, semantics)
            };
            (tokens, Replacement::all(missing.values, context))
        });
        let outlier = settings.outlier.map(|outlier| {
            let tokens = if outlier.tokens.is_empty() {
                Sentinels::new(DEFAULT_MISSING, semantics)
            } else {
                Sentinels::new(outlier.tokens, semantics)
            };
            (tokens, by_column(Replacement::all(outlier.values, context)))
        });
        FateDataTransform {
            missing,
            outlier,
            blank,
            cast: Cast::of(&settings.data_type),
            exclusive,
            known: bitmap(header.iter().copied()),
            zero: if sparse { header } else { Vec::new() },
            drops_tiny: settings.output_format == "sparse" && !sparse,
        }
    }

    fn cast_of(&self, index: usize) -> Cast {
        match self
            .exclusive
            .iter()
            .find(|(column, _)| column.index() == index)
        {
            Some((_, cast)) => *cast,
            None => self.cast,
        }
    }
}

impl Transform for FateDataTransform {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault> {
        if !self.known.is_empty() {
            row.keep_only(&self.known);
        }
        if let Some((tokens, replacements)) = &self.missing {
            for replacement in replacements {
                if is_to_be_filled(row.cell(replacement.column), tokens) {
                    row.set(replacement.column, replacement.cell());
                }
            }
        }
        if let Some((tokens, replacements)) = &self.outlier {
            for (cell, replacement) in row.cells_mut().iter_mut().zip(replacements) {
                if let Some(replacement) = replacement
                    && tokens.contains(cell)
                {
                    *cell = replacement.cell();
                }
            }
        }
        for (index, cell) in row.cells_mut().iter_mut().enumerate() {
            self.cast_cell(index, cell);
        }
        for &column in &self.zero {
            if row.cell(column).is_missing() {
                row.set(column, Cell::ImplicitZero);
            }
        }
        Ok(())
    }

    /// What a sparse row leaves out counts as filled: nobody can tell a zero from a feature that was forgotten.
    fn imputes(&self, row: &Row<'_>, found: &mut dyn FnMut(Column)) {
        let missing = self.missing.iter();
        for (tokens, replacements) in missing {
            let columns = replacements.iter().map(|replacement| replacement.column);
            columns
                .filter(|column| is_to_be_filled(row.cell(*column), tokens))
                .for_each(&mut *found);
        }
        let zero = self.zero.iter().copied();
        zero.filter(|column| row.cell(*column).is_missing())
            .for_each(found);
    }
}

impl FateDataTransform {
    /// Text that is no number stays as it is: it fails where a component uses it, and only there.
    fn cast_cell(&self, index: usize, cell: &mut Cell<'_>) {
        if matches!(cell, Cell::Absent | Cell::Null) {
            return;
        }
        let cast = self.cast_of(index);
        if cast == Cast::Text {
            return;
        }
        if matches!(cell, Cell::Text(_)) && self.blank.contains(cell) {
            *cell = Cell::Null;
            return;
        }
        let Some(value) = cell.number() else { return };
        match cast {
            _ if self.drops_tiny && value.abs() < super::forest::FLOAT_ZERO => {
                *cell = Cell::ImplicitZero
            }
            Cast::Float32 => *cell = Cell::double(f64::from(value as f32)),
            Cast::Float64 | Cast::Integer | Cast::Text => {
                if matches!(cell, Cell::Text(_)) {
                    *cell = Cell::double(value);
                }
            }
        }
    }
}

fn is_to_be_filled(cell: &Cell<'_>, tokens: &Sentinels) -> bool {
    cell.is_missing() || is_blank_text(cell) || tokens.contains(cell)
}

fn is_blank_text(cell: &Cell<'_>) -> bool {
    matches!(cell, Cell::Text(text) if text.is_empty())
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

/// Columns as a bitmap over the row.
pub(crate) fn bitmap(columns: impl Iterator<Item = Column>) -> Vec<bool> {
    let mut keep = Vec::new();
    for column in columns {
        if keep.len() <= column.index() {
            keep.resize(column.index() + 1, false);
        }
        keep[column.index()] = true;
    }
    keep
}
