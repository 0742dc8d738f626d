//! FATE's offline DataIO and DataTransform (data_io.py, data_transform.py, imputer.py): a table's cells are text that is
//! filled, replaced and cast, column by column.

use std::collections::{BTreeMap, BTreeSet};

use fate_domain::{fault::Fault, java_number::parse_double};

use super::{Input, Replacing, Settings};
use crate::{
    Cell, Row, Semantics,
    cell::Spelling,
    component::{Context, Transform, forest::float_zero, sentinel::Sentinels},
    dsl::FateVersion,
    python_number::{parse_float, parse_int},
    symbols::Column,
};

#[derive(Debug)]
pub(super) struct FateDataTransform {
    /// By column; the table that the model was trained on has no others.
    columns: Vec<Option<Steps>>,
    /// Without a header, which FATE always writes: what becomes of every column.
    others: Option<Steps>,
    /// Columns that were appended under other names than the lower-case ones that this table's header has.
    renamed: Vec<(Column, Column)>,
    missing: Option<Sentinels>,
    outlier: Option<Sentinels>,
    /// What counts as missing when a value is cast.
    blank: Sentinels,
    left_out: LeftOut,
    /// A tag is there or not, whatever its value.
    is_tag: bool,
    /// Dense rows of which sparse vectors are made: what counts as zero and is left out.
    leaves_out_below: Option<f64>,
}

/// What becomes of one column's values.
#[derive(Debug)]
struct Steps {
    cast: Cast,
    fill: Option<Constant>,
    outlier: Option<Constant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    Float64,
    Float32,
    Integer,
    Text,
    /// No FATE table was read: numbers as FATE-Serving reads them.
    Unknown,
}

/// What a name that is not in the row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeftOut {
    Missing,
    Zero,
    /// A zero that a sparse vector does not hold.
    Nothing,
}

/// A replacement, all the way through the steps behind it.
#[derive(Debug)]
enum Constant {
    Number(f64),
    Text(Box<str>),
    Missing,
    /// A zero that a sparse vector does not hold.
    Nothing,
    /// Offline the job ends here.
    Bad,
}

impl Constant {
    fn cell(&self) -> Cell<'_> {
        match self {
            Constant::Number(value) => Cell::double(*value),
            Constant::Text(text) => Cell::Text(text.as_ref().into()),
            Constant::Missing => Cell::Null,
            Constant::Nothing => Cell::ImplicitZero,
            Constant::Bad => Cell::Nested,
        }
    }
}

impl Cast {
    /// The names that numpy has too; an empty one is a buffer of other hands.
    pub(super) fn of(data_type: &str) -> Option<Self> {
        match data_type {
            "" | "float" | "float64" | "double" => Some(Cast::Float64),
            "float32" => Some(Cast::Float32),
            "int" | "int64" | "int32" | "long" => Some(Cast::Integer),
            "str" => Some(Cast::Text),
            _ => None,
        }
    }

    fn parse(self, text: &str) -> Option<f64> {
        match self {
            Cast::Integer => parse_int(text),
            Cast::Unknown => parse_double(text),
            _ => parse_float(text).map(|value| self.round(value)),
        }
    }

    /// A number that was sent as one: it has no spelling, so `1.0` is an integer. Columns of integers have 64 bits.
    fn take(self, value: f64) -> Option<f64> {
        let is_integer = value.fract() == 0.0 && value.abs() < 9_223_372_036_854_775_808.0;
        (self != Cast::Integer || is_integer).then(|| self.round(value))
    }

    fn round(self, value: f64) -> f64 {
        match self {
            Cast::Float32 => f64::from(value as f32),
            _ => value,
        }
    }
}

/// A cast without an imputer: data_transform.py's `missing_impute_value_set`.
const BLANKS: [&str; 4] = ["", "NULL", "null", "NA"];
/// imputer.py's list for settings that have none; FATE 1.7 added one. (Its NaN is not the text `nan`.)
const DEFAULT_TOKENS: [&str; 5] = ["", "none", "null", "na", "None"];
const DEFAULT_TOKENS_BEFORE_1_7: [&str; 4] = ["", "none", "null", "na"];

impl FateDataTransform {
    pub(super) fn new(
        settings: Settings,
        cast: Cast,
        exclusive: &BTreeMap<String, Cast>,
        context: &mut Context<'_>,
    ) -> Self {
        let default_tokens: &[&str] = if context.version() < FateVersion(1, 7, 0) {
            &DEFAULT_TOKENS_BEFORE_1_7
        } else {
            &DEFAULT_TOKENS
        };
        let tokens_of = |tokens: &[String]| match tokens {
            [] => Sentinels::new(default_tokens, Semantics::Fate),
            tokens => Sentinels::new(tokens, Semantics::Fate),
        };
        // The sparse reader has no imputer, the tag reader one for tags with values, always with the default tokens.
        let missing = match settings.input {
            Input::Dense => settings.missing.as_ref(),
            Input::TagValue => settings.missing.as_ref(),
            Input::Sparse | Input::Tag => None,
        };
        let outlier = settings
            .outlier
            .as_ref()
            .filter(|_| settings.input == Input::Dense);
        let missing_tokens = missing.map(|missing| match settings.input {
            Input::Dense => tokens_of(&missing.tokens),
            _ => tokens_of(&[]),
        });
        let outlier_tokens = outlier.map(|outlier| tokens_of(&outlier.tokens));
        let blank = match &missing_tokens {
            Some(tokens) => tokens.clone(),
            None => Sentinels::new(BLANKS, Semantics::Fate),
        };
        let makes_sparse = settings.sparse_output && settings.input == Input::Dense;
        let leaves_out_below = makes_sparse.then(|| float_zero(context.version()));
        let replacements = Replacements {
            missing,
            outlier,
            outlier_tokens: outlier_tokens.as_ref(),
            blank: &blank,
            leaves_out_below,
        };
        let mut columns = Vec::new();
        for (number, name) in settings.header.iter().enumerate() {
            let column = context.symbols.intern(name);
            if settings.input == Input::Sparse {
                context.symbols.alias(&number.to_string(), column);
            }
            if columns.len() <= column.index() {
                columns.resize_with(column.index() + 1, || None);
            }
            let cast = exclusive.get(name).copied().unwrap_or(cast);
            columns[column.index()] = Some(replacements.steps(name, cast));
        }
        let others = settings.header.is_empty().then_some(Steps {
            cast: Cast::Unknown,
            fill: None,
            outlier: None,
        });
        let left_out = match (settings.input, settings.sparse_output) {
            (Input::Dense, _) => LeftOut::Missing,
            (_, true) => LeftOut::Nothing,
            (_, false) => LeftOut::Zero,
        };
        let is_read = |column: Column| columns.get(column.index()).is_some_and(Option::is_some);
        let mut renamed = context.symbols.lowered();
        renamed.retain(|(column, lowered)| !is_read(*column) && is_read(*lowered));
        FateDataTransform {
            columns,
            renamed,
            others,
            missing: missing_tokens,
            outlier: outlier_tokens,
            blank,
            left_out,
            is_tag: settings.input == Input::Tag,
            leaves_out_below,
        }
    }
}

fn is_below(value: f64, limit: Option<f64>) -> bool {
    limit.is_some_and(|limit| value.abs() < limit)
}

/// What settings say about replacements, before they are settled.
struct Replacements<'s> {
    missing: Option<&'s Replacing>,
    outlier: Option<&'s Replacing>,
    outlier_tokens: Option<&'s Sentinels>,
    blank: &'s Sentinels,
    leaves_out_below: Option<f64>,
}

impl Replacements<'_> {
    fn steps(&self, name: &str, cast: Cast) -> Steps {
        let text_of = |replacing: &Replacing| replacing.values.get(name).cloned();
        let outlier = self.outlier.and_then(text_of);
        let fill = self.missing.and_then(text_of).map(|text| {
            let is_outlier = |tokens: &Sentinels| tokens.has_text(&text);
            match &outlier {
                Some(outlier) if self.outlier_tokens.is_some_and(is_outlier) => outlier.clone(),
                _ => text,
            }
        });
        Steps {
            cast,
            fill: fill.map(|text| self.settled(&text, cast)),
            outlier: outlier.map(|text| self.settled(&text, cast)),
        }
    }

    fn settled(&self, text: &str, cast: Cast) -> Constant {
        match cast {
            Cast::Text => Constant::Text(text.into()),
            _ if self.blank.has_text(text) => Constant::Missing,
            _ => match cast.parse(text) {
                Some(value) if is_below(value, self.leaves_out_below) => Constant::Nothing,
                Some(value) => Constant::Number(value),
                None => Constant::Bad,
            },
        }
    }
}

impl Transform for FateDataTransform {
    fn apply<'a>(&'a self, row: &mut Row<'a>) -> Result<(), Fault> {
        for (column, lowered) in &self.renamed {
            let cell = std::mem::take(&mut row.cells_mut()[column.index()]);
            row.set(*lowered, cell);
        }
        for (index, cell) in row.cells_mut().iter_mut().enumerate() {
            match self.steps_of(index) {
                Some(steps) => self.read(steps, cell),
                None => *cell = Cell::Absent,
            }
        }
        Ok(())
    }

    /// What a sparse row leaves out counts as filled: nobody can tell a zero from a feature that was forgotten.
    fn imputes(&self, row: &Row<'_>, found: &mut dyn FnMut(Column)) {
        for (column, cell) in row.columns() {
            let Some(steps) = self.steps_of(column.index()) else {
                continue;
            };
            let is_left_out = has_no_value(cell) && self.left_out != LeftOut::Missing;
            let is_filled = steps.fill.is_some() && self.is_to_be_filled(steps, cell);
            if is_left_out || is_filled {
                found(column);
            }
        }
    }

    fn trace_back(&self, needed: &mut BTreeSet<Column>) {
        needed.retain(|column| self.steps_of(column.index()).is_some());
        for (column, lowered) in &self.renamed {
            if needed.remove(lowered) {
                needed.insert(*column);
            }
        }
    }
}

impl FateDataTransform {
    fn steps_of(&self, index: usize) -> Option<&Steps> {
        let steps = self.columns.get(index).and_then(Option::as_ref);
        steps.or(self.others.as_ref())
    }

    fn read<'a>(&'a self, steps: &'a Steps, cell: &mut Cell<'a>) {
        if let Some(fill) = &steps.fill
            && self.is_to_be_filled(steps, cell)
        {
            *cell = fill.cell();
            return;
        }
        if has_no_value(cell) {
            return self.leave_out(steps, cell);
        }
        if self.is_tag {
            match is_there(cell) {
                Some(true) => *cell = Cell::double(1.0),
                Some(false) => self.leave_out(steps, cell),
                None => *cell = Cell::Nested,
            }
            return;
        }
        if let (Some(tokens), Some(outlier)) = (&self.outlier, &steps.outlier)
            && is_one_of(cell, tokens, steps.cast)
        {
            *cell = outlier.cell();
            return;
        }
        match steps.cast {
            Cast::Text => spell(cell),
            cast => self.cast(cast, cell),
        }
        if matches!(cell, Cell::Number(value, _) if is_below(*value, self.leaves_out_below)) {
            *cell = Cell::ImplicitZero;
        }
    }

    fn is_to_be_filled(&self, steps: &Steps, cell: &Cell<'_>) -> bool {
        cell.is_missing()
            || has_no_value(cell)
            || self
                .missing
                .as_ref()
                .is_some_and(|tokens| is_one_of(cell, tokens, steps.cast))
    }

    fn leave_out(&self, steps: &Steps, cell: &mut Cell<'_>) {
        match self.left_out {
            LeftOut::Zero => *cell = Cell::double(0.0),
            LeftOut::Nothing => *cell = Cell::ImplicitZero,
            LeftOut::Missing if steps.cast == Cast::Text => {}
            LeftOut::Missing => {
                if matches!(cell, Cell::Text(_)) {
                    *cell = Cell::Null;
                }
            }
        }
    }

    /// Offline a value that the type does not take ends the job; here it is a fault where a component uses it.
    fn cast(&self, cast: Cast, cell: &mut Cell<'_>) {
        match cell {
            Cell::Text(text) if self.blank.has_text(text) => *cell = Cell::Null,
            Cell::Text(text) => {
                *cell = match cast.parse(text) {
                    Some(value) => Cell::double(value),
                    None if self.blank.has_lower_case(text) => Cell::Null,
                    None => Cell::Nested,
                }
            }
            Cell::Number(value, _) if value.is_nan() => {}
            Cell::Number(value, _) => {
                *cell = cast.take(*value).map_or(Cell::Nested, Cell::double);
            }
            _ => {}
        }
    }
}

/// Not in the row, null, or an empty cell of a table.
fn has_no_value(cell: &Cell<'_>) -> bool {
    match cell {
        Cell::Absent | Cell::Null => true,
        Cell::Text(text) => text.is_empty(),
        _ => false,
    }
}

/// Whether a value is a token: text by its letters; in a column of numbers also in lower case where it is no number, which
/// offline ends the job; numbers by their value, as a request's number has no spelling that the table had.
fn is_one_of(cell: &Cell<'_>, tokens: &Sentinels, cast: Cast) -> bool {
    match cell {
        Cell::Text(text) if tokens.has_text(text) => true,
        Cell::Text(text) if cast != Cast::Text => {
            tokens.has_lower_case(text) && cast.parse(text).is_none()
        }
        Cell::Number(..) => tokens.contains(cell),
        _ => false,
    }
}

/// A tag's name says it all, unless its value says that it is not there. None for nonsense.
fn is_there(cell: &Cell<'_>) -> Option<bool> {
    match cell {
        Cell::Bool(value) => Some(*value),
        Cell::Number(value, _) => Some(*value != 0.0),
        Cell::Text(text) => parse_float(text).map(|value| value != 0.0),
        _ => None,
    }
}

/// The text of a number in a column of text.
fn spell(cell: &mut Cell<'_>) {
    if let Cell::Number(_, Spelling::Token(token)) = cell {
        *cell = Cell::Text((*token).to_owned().into());
    } else if matches!(cell, Cell::Number(..)) {
        let text = cell.text().unwrap_or_default().into_owned();
        *cell = Cell::Text(text.into());
    }
}
