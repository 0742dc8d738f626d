//! How much of what a plan needs a row brings along: which features had a value, which the model filled in, which were
//! not there. Names and counts only, never values.

use crate::{
    Cell, Row,
    component::Transform,
    symbols::{Column, Symbols},
};

/// The features of one row, counted; `needed == present + imputed + missing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Features that the score needs of this party ([`crate::Verdict::features`]).
    pub needed: usize,
    /// Needed features that came with a value.
    pub present: usize,
    /// Needed features without a value, in whose place the model has one of its own.
    pub imputed: usize,
    /// Needed features without a value that stay without one.
    pub missing: usize,
    /// Features that came and that no step of the model uses.
    pub unknown: usize,
}

impl Figures {
    /// The part of the needed features that came with a value, 0 to 1; 1 when none is needed.
    pub fn hit_rate(&self) -> f64 {
        match self.needed {
            0 => 1.0,
            // Counts of features are far below 2^52.
            needed => self.present as f64 / needed as f64,
        }
    }
}

/// What became of one feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Present,
    Imputed,
    Missing,
}

/// Watches a row on its way through the transforms of a plan. One is enough for many rows: each watched row starts it
/// anew, without allocating.
#[derive(Debug, Clone)]
pub struct Coverage<'p> {
    /// The needed columns, and their names in the same order.
    columns: &'p [Column],
    names: &'p [String],
    /// By column.
    states: Vec<State>,
    unknown: usize,
}

impl<'p> Coverage<'p> {
    pub(crate) fn new(columns: &'p [Column], names: &'p [String], symbols: &Symbols) -> Self {
        Coverage {
            columns,
            names,
            states: vec![State::Missing; symbols.len()],
            unknown: 0,
        }
    }

    /// Looks at a row as it was read.
    pub(crate) fn begin(&mut self, row: &Row<'_>) {
        self.unknown = row.unknown();
        for &column in self.columns {
            self.states[column.index()] = if has_value(row.cell(column)) {
                State::Present
            } else {
                State::Missing
            };
        }
    }

    /// Before `transform` works on the row.
    pub(crate) fn before(&mut self, transform: &dyn Transform, row: &Row<'_>) {
        let states = &mut self.states;
        transform.imputes(row, &mut |column| states[column.index()] = State::Imputed);
    }

    /// After a transform: a token for "no value" has become one.
    pub(crate) fn after(&mut self, row: &Row<'_>) {
        for &column in self.columns {
            let state = &mut self.states[column.index()];
            // An absent cell may have been encoded or dropped; only null and NaN say "no value".
            let found_missing = match row.cell(column) {
                Cell::Absent => false,
                cell => cell.is_missing(),
            };
            if found_missing && *state == State::Present {
                *state = State::Missing;
            }
        }
    }

    /// The counts of the row that was watched last; nothing is present before the first.
    pub fn figures(&self) -> Figures {
        Figures {
            needed: self.columns.len(),
            present: self.count(State::Present),
            imputed: self.count(State::Imputed),
            missing: self.count(State::Missing),
            unknown: self.unknown,
        }
    }

    /// Names of the features that the model filled in, sorted.
    pub fn imputed(&self) -> impl Iterator<Item = &'p str> + '_ {
        self.names_of(State::Imputed)
    }

    /// Names of the features that stay without a value, sorted.
    pub fn missing(&self) -> impl Iterator<Item = &'p str> + '_ {
        self.names_of(State::Missing)
    }

    fn count(&self, state: State) -> usize {
        self.states_of_needed().filter(|one| *one == state).count()
    }

    fn names_of(&self, state: State) -> impl Iterator<Item = &'p str> + '_ {
        self.names
            .iter()
            .zip(self.states_of_needed())
            .filter(move |(_, one)| *one == state)
            .map(|(name, _)| name.as_str())
    }

    fn states_of_needed(&self) -> impl Iterator<Item = State> + '_ {
        self.columns
            .iter()
            .map(|column| self.states[column.index()])
    }
}

/// Null, NaN and empty text bring no value, like a name that is not there.
fn has_value(cell: &Cell<'_>) -> bool {
    !cell.is_missing() && !matches!(cell, Cell::Text(text) if text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_that_needs_nothing_has_everything() {
        assert_eq!(Figures::default().hit_rate(), 1.0);
        let half = Figures {
            needed: 4,
            present: 2,
            ..Figures::default()
        };
        assert_eq!(half.hit_rate(), 0.5);
    }
}
