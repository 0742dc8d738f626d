//! Feature names that can change the result, as dense ids.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A column of the row; an index into its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Column(u32);

impl Column {
    /// Position in the row.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// As [`Column::index`], short.
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The column at a position of the row; rows are never as long as 2^32.
    pub(crate) fn at(index: usize) -> Self {
        Column(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// Names in order of first use, and the way back.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    names: Vec<Box<str>>,
    /// Names as rows in plain JSON have them, with quotes and colon; empty where that takes escapes.
    spelled: Vec<Box<str>>,
    columns: HashMap<Box<str>, Column, BuildHasherDefault<NameHasher>>,
    /// Other names under which rows may have a column; components never use them.
    aliases: HashMap<Box<str>, Column, BuildHasherDefault<NameHasher>>,
    lowers: bool,
}

impl Symbols {
    /// The column of `name`, made if it is new. A model has far fewer than 2^32 names.
    pub(crate) fn intern(&mut self, name: &str) -> Column {
        if let Some(&column) = self.columns.get(name) {
            return column;
        }
        let column = Column::at(self.names.len());
        self.names.push(name.into());
        self.spelled.push(spelled(name));
        self.columns.insert(name.into(), column);
        column
    }

    /// Another name for a column in rows, which counts as long as no column has that name.
    pub(crate) fn alias(&mut self, name: &str, column: Column) {
        self.aliases.insert(name.into(), column);
    }

    /// From now on a name that no column has stands for the column of its lower-case form.
    pub(crate) fn lower_unknown_names(&mut self) {
        self.lowers = true;
    }

    /// The column of `name`, if any component uses it.
    pub(crate) fn find(&self, name: &str) -> Option<Column> {
        let column = self.columns.get(name).or_else(|| self.aliases.get(name));
        column.copied().or_else(|| self.find_lowered(name))
    }

    /// Columns of names that are not in lower case, with the columns of their lower-case forms.
    pub(crate) fn lowered(&self) -> Vec<(Column, Column)> {
        if !self.lowers {
            return Vec::new();
        }
        let names = self.names.iter().enumerate();
        let lowered =
            names.filter_map(|(index, name)| Some((Column::at(index), self.find_lowered(name)?)));
        lowered
            .filter(|(column, lowered)| column != lowered)
            .collect()
    }

    fn find_lowered(&self, name: &str) -> Option<Column> {
        if !self.lowers {
            return None;
        }
        self.columns.get(name.to_lowercase().as_str()).copied()
    }

    /// As [`Symbols::find`], looking first at the column `hint` expects: clients send names in a stable order.
    #[inline]
    pub(crate) fn find_near(&self, name: &str, hint: usize) -> Option<Column> {
        match self.names.get(hint) {
            Some(expected) if is_same(expected.as_bytes(), name.as_bytes()) => {
                Some(Column(hint as u32))
            }
            _ => self.find(name),
        }
    }

    /// The column that is expected at `hint`, and how its name and colon are spelled, if that is simple.
    pub(crate) fn expected(&self, hint: usize) -> Option<(Column, &str)> {
        let spelled = self.spelled.get(hint)?;
        (!spelled.is_empty()).then_some((Column(hint as u32), spelled))
    }

    pub(crate) fn name(&self, column: Column) -> &str {
        self.names.get(column.index()).map_or("", |name| name)
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }
}

fn spelled(name: &str) -> Box<str> {
    let takes_escapes = |byte| matches!(byte, b'"' | b'\\' | 0..0x20);
    if name.bytes().any(takes_escapes) {
        return Box::default();
    }
    format!("\"{name}\":").into()
}

/// Whether two names are equal. Most are shorter than what makes it worth to call the comparison of the C library.
#[inline]
fn is_same(one: &[u8], other: &[u8]) -> bool {
    match (one.split_first_chunk::<8>(), other.split_first_chunk::<8>()) {
        (Some((one, one_rest)), Some((other, other_rest))) => {
            one == other && one_rest == other_rest
        }
        _ => one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one == other),
    }
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

/// Multiply-and-rotate over eight bytes at a time. Names come from the model, so nobody outside chooses collisions.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct NameHasher(u64);

impl NameHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        let mut word = [0; 8];
        let rest = chunks.remainder();
        word[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(word) ^ ((bytes.len() as u64) << 56));
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        // hashbrown takes the top seven bits; a last fold spreads the low entropy of short names there.
        self.0 ^ (self.0 >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_dense_columns_once() {
        let mut symbols = Symbols::default();
        let a = symbols.intern("age");
        let b = symbols.intern("年龄");
        assert_eq!(symbols.intern("age"), a);
        assert_eq!((a.index(), b.index(), symbols.len()), (0, 1, 2));
        assert_eq!(symbols.find_near("年龄", 0), Some(b));
        assert_eq!(symbols.find("Age"), None);
        symbols.lower_unknown_names();
        assert_eq!(symbols.find("AGE"), symbols.find("age"));
        assert_eq!(symbols.find("Ages"), None);
        assert_eq!(symbols.name(b), "年龄");
        assert_eq!(symbols.expected(1), Some((b, "\"年龄\":")));
        symbols.intern("a\"b");
        assert_eq!((symbols.expected(2), symbols.expected(3)), (None, None));
    }
}
