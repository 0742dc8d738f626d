//! One sample's features in the plan's slots.

use std::{borrow::Cow, fmt};

use fate_domain::{fault::Fault, return_code::ReturnCode};
use serde::{
    Deserializer as _,
    de::{DeserializeSeed, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    Cell,
    cell::{Spelling, is_integer_token},
    plain_json::Members,
    symbols::{Column, Symbols},
};

/// Cells by column. Reusable: [`Row::clear`] empties it and keeps its memory.
#[derive(Debug, Clone, Default)]
pub struct Row<'a> {
    cells: Vec<Cell<'a>>,
    unknown: usize,
    /// Behind the column that was set last.
    next: usize,
    /// By column, beginning with 0 for none: where the feature after it probably belongs, because it did so in the row
    /// before; rows come in a stable order. Empty as long as that is the next column. Survives [`Row::clear`].
    followers: Vec<u32>,
}

impl<'a> Row<'a> {
    pub(crate) fn with_columns(columns: usize) -> Self {
        Row {
            cells: vec![Cell::Absent; columns],
            unknown: 0,
            next: 0,
            followers: Vec::new(),
        }
    }

    /// Empties the row.
    pub fn clear(&mut self) {
        self.cells.fill(Cell::Absent);
        self.unknown = 0;
        self.next = 0;
    }

    /// How many features arrived that no component uses.
    pub fn unknown(&self) -> usize {
        self.unknown
    }

    /// How many features there are, those included that no component uses.
    pub(crate) fn present(&self) -> usize {
        let absent = |cell: &&Cell<'_>| matches!(cell, Cell::Absent);
        self.cells.len() - self.cells.iter().filter(absent).count() + self.unknown
    }

    pub(crate) fn cell(&self, column: Column) -> &Cell<'a> {
        &self.cells[column.index()]
    }

    pub(crate) fn set(&mut self, column: Column, cell: Cell<'a>) {
        self.cells[column.index()] = cell;
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = (Column, &Cell<'a>)> {
        let cells = self.cells.iter().enumerate();
        cells.map(|(index, cell)| (Column::at(index), cell))
    }

    pub(crate) fn cells_mut(&mut self) -> &mut [Cell<'a>] {
        &mut self.cells
    }

    /// Drops every column that `keep` does not name, and the features nobody knows.
    pub(crate) fn keep_only(&mut self, keep: &[bool]) {
        for (index, cell) in self.cells.iter_mut().enumerate() {
            if !keep.get(index).copied().unwrap_or(false) {
                *cell = Cell::Absent;
            }
        }
        self.unknown = 0;
    }

    /// Sets the feature of this name, or counts one that nobody knows.
    #[inline]
    pub(crate) fn set_named(&mut self, symbols: &Symbols, name: &str, cell: Cell<'a>) {
        match self.find(symbols, name) {
            Some(column) => self.set(column, cell),
            None => self.count_unknown(),
        }
    }

    /// The column of the feature that comes next, if any component uses it.
    #[inline]
    fn find(&mut self, symbols: &Symbols, name: &str) -> Option<Column> {
        let expected = self.expected();
        let column = symbols.find_near(name, expected)?;
        if column.index() != expected {
            self.note_follower(column);
        }
        self.next = column.index() + 1;
        Some(column)
    }

    /// Where the feature that comes next probably belongs.
    #[inline]
    fn expected(&self) -> usize {
        let follower = self.followers.get(self.next);
        follower.map_or(self.next, |follower| *follower as usize)
    }

    #[cold]
    fn note_follower(&mut self, column: Column) {
        if self.followers.is_empty() {
            let columns = self.cells.len() + 1;
            self.followers = (0..columns).map(|at| Column::at(at).number()).collect();
        }
        self.followers[self.next] = column.number();
    }

    pub(crate) fn count_unknown(&mut self) {
        self.unknown += 1;
    }

    /// Reads the text of one JSON object (`featureData`); names that no component uses are validated and skipped.
    pub(crate) fn read_json(&mut self, symbols: &Symbols, object: &'a str) -> Result<(), Fault> {
        let unknown = self.unknown;
        if self.read_plain_json(symbols, object).is_some() {
            return Ok(());
        }
        // What has been set so far will be set again.
        self.unknown = unknown;
        self.read_any_json(symbols, object)
    }

    /// As [`Row::read_json`] for most rows, whose names come in the order of the columns: one comparison a name.
    fn read_plain_json(&mut self, symbols: &Symbols, object: &'a str) -> Option<()> {
        let mut members = Members::of(object)?;
        while members.has_next()? {
            let column = match symbols.expected(self.expected()) {
                Some((column, spelled)) if members.skip_name(spelled) => {
                    self.next = column.index() + 1;
                    Some(column)
                }
                _ => self.find(symbols, members.name()?),
            };
            let cell = members.value()?;
            match column {
                Some(column) => self.set(column, cell),
                None => self.count_unknown(),
            }
        }
        Some(())
    }

    fn read_any_json(&mut self, symbols: &Symbols, object: &'a str) -> Result<(), Fault> {
        let mut json = serde_json::Deserializer::from_str(object);
        json.deserialize_map(RowVisitor { row: self, symbols })
            .map_err(|error| {
                Fault::new(
                    ReturnCode::PARAM,
                    format!("features are not a JSON object: {error}"),
                )
            })
    }
}

struct RowVisitor<'row, 'a> {
    row: &'row mut Row<'a>,
    symbols: &'row Symbols,
}

impl<'a> Visitor<'a> for RowVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of feature names and values")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        self.row.next = 0;
        while let Some(column) = map.next_key_seed(NameSeed {
            symbols: self.symbols,
            row: &mut *self.row,
        })? {
            let Some(column) = column else {
                map.next_value::<serde::de::IgnoredAny>()?;
                self.row.count_unknown();
                continue;
            };
            let token: &'a RawValue = map.next_value()?;
            self.row.set(column, cell_of(token.get()));
        }
        Ok(())
    }
}

/// Turns a key into its column without allocating.
struct NameSeed<'row, 's, 'a> {
    symbols: &'s Symbols,
    row: &'row mut Row<'a>,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_, '_, '_> {
    type Value = Option<Column>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_, '_, '_> {
    type Value = Option<Column>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a feature name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.row.find(self.symbols, name))
    }
}

/// The cell of one JSON token (contract 02 A1.1).
fn cell_of(token: &str) -> Cell<'_> {
    match token.as_bytes().first() {
        Some(b'"') => text_cell(token),
        Some(b't') => Cell::Bool(true),
        Some(b'f') => Cell::Bool(false),
        Some(b'n') => Cell::Null,
        Some(b'-' | b'0'..=b'9') => number_cell(token),
        _ => Cell::Nested,
    }
}

fn text_cell(token: &str) -> Cell<'_> {
    let inner = token.get(1..token.len().saturating_sub(1)).unwrap_or("");
    if !inner.contains('\\') {
        return Cell::Text(Cow::Borrowed(inner));
    }
    // A lone surrogate is legal JSON and no text: it can be neither a number nor a token.
    serde_json::from_str::<String>(token).map_or(Cell::Nested, |text| Cell::Text(Cow::Owned(text)))
}

fn number_cell(token: &str) -> Cell<'_> {
    // The standard parser rounds correctly and takes 1e400 to infinity, as Java does; -0 is the integer 0 there.
    match token.parse::<f64>() {
        Ok(value) if value == 0.0 && is_integer_token(token) => {
            Cell::Number(0.0, Spelling::Token(token))
        }
        Ok(value) => Cell::Number(value, Spelling::Token(token)),
        Err(_) => Cell::Nested,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(object: &str) -> Result<Row<'_>, Fault> {
        let mut symbols = Symbols::default();
        symbols.intern("a");
        symbols.intern("b");
        let mut row = Row::with_columns(2);
        row.read_json(&symbols, object)?;
        Ok(row)
    }

    #[test]
    fn tokens_keep_their_type() {
        let row = read(r#"{"a":1.50,"zz":[{"deep":1}],"\u0062":"x\"y"}"#).unwrap();
        assert_eq!(row.cells[0], Cell::Number(1.5, Spelling::Token("1.50")));
        assert_eq!(row.cells[1], Cell::Text("x\"y".into()));
        assert_eq!(row.unknown(), 1);
    }

    #[test]
    fn any_order_of_features_leads_to_their_columns() {
        let names = ["a", "b", "c", "d"];
        let mut symbols = Symbols::default();
        for name in names {
            symbols.intern(name);
        }
        let mut row = Row::with_columns(names.len());
        for order in ["dbca", "dbca", "acd", "b", "dbxca", "abcd", "dd", ""] {
            row.clear();
            let members: Vec<String> = (order.chars().zip(1..))
                .map(|(name, value)| format!("\"{name}\":{value}"))
                .collect();
            let object: &'static str = format!("{{{}}}", members.join(",")).leak();
            row.read_json(&symbols, object).unwrap();
            for (column, name) in names.iter().enumerate() {
                let place = order.rfind(name).map(|place| place as f64 + 1.0);
                assert_eq!(row.cells[column].number(), place, "{order} {name}");
            }
            assert_eq!(row.unknown(), order.matches('x').count());
        }
    }

    #[test]
    fn the_last_duplicate_wins_and_huge_numbers_are_infinite() {
        let row = read(r#"{"a":1,"a":1e400,"b":null}"#).unwrap();
        assert_eq!(row.cells[0].number(), Some(f64::INFINITY));
        assert_eq!(row.cells[1], Cell::Null);
    }

    #[test]
    fn other_json_is_refused() {
        for bad in [
            "",
            "[]",
            "null",
            "{\"a\":NaN}",
            "{\"a\":01}",
            "{\"a\":1,}",
            "{\"a\"",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    /// SplitMix64.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ (mixed >> 31)) % end as u64) as usize
        }

        fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
            list[self.below(list.len())]
        }

        fn number(&mut self) -> String {
            let digits = |dice: &mut Dice, most: usize| -> String {
                let count = 1 + dice.below(most);
                (0..count)
                    .map(|_| dice.pick(&["0", "1", "5", "7", "9"]))
                    .collect()
            };
            let mut text = self.pick(&["", "", "-"]).to_owned();
            text.push_str(digits(self, 4).trim_start_matches('0'));
            if text.is_empty() || text == "-" {
                text.push('0');
            }
            if self.below(3) > 0 {
                text.push('.');
                text.push_str(&digits(self, 24));
            }
            if self.below(6) == 0 {
                text.push_str(self.pick(&["e", "E", "e+", "E-"]));
                text.push_str(&digits(self, 3));
            }
            text
        }

        fn object(&mut self) -> String {
            let members: Vec<String> = (0..self.below(6))
                .map(|_| {
                    let name = self.pick(&["a", "b", "zz", "\\u0061", "a b", "年龄", ""]);
                    let value = match self.below(9) {
                        0 => self
                            .pick(&[
                                "true", "false", "null", "[1]", "{}", "tru", "01", "-", "1.", ".5",
                                "1e", "NaN",
                            ])
                            .to_owned(),
                        1 => format!("\"{}\"", self.pick(&["", "x", "1.50", "x\\n", "年", "\t"])),
                        _ => self.number(),
                    };
                    let space = self.pick(&["", "", " ", "\n\t"]);
                    format!("{space}\"{name}\"{space}:{space}{value}{space}")
                })
                .collect();
            let end = self.pick(&["}", "}", "}", "} trailing", "", ",}", "]"]);
            format!("{}{{{}{end}", self.pick(&["", " "]), members.join(","))
        }
    }

    #[test]
    fn plain_rows_are_read_as_any_others() {
        let mut symbols = Symbols::default();
        for name in ["a", "b", "年龄"] {
            symbols.intern(name);
        }
        let mut dice = Dice(1);
        let (mut plain, mut refused) = (0, 0);
        for _ in 0..200_000 {
            let text = dice.object();
            let (mut quick, mut any) = (Row::with_columns(3), Row::with_columns(3));
            let outcomes = (
                quick.read_json(&symbols, &text),
                any.read_any_json(&symbols, &text),
            );
            assert_eq!(outcomes.0.is_ok(), outcomes.1.is_ok(), "{text}");
            if outcomes.1.is_err() {
                refused += 1;
                continue;
            }
            plain += usize::from(
                Row::with_columns(3)
                    .read_plain_json(&symbols, &text)
                    .is_some(),
            );
            // Debug tells -0.0 from 0.0.
            let shown = |row: &Row<'_>| format!("{:?} {}", row.cells, row.unknown);
            assert_eq!(shown(&quick), shown(&any), "{text}");
        }
        assert!(plain > 50_000 && refused > 50_000, "{plain} {refused}");
    }
}
