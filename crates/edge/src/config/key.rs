//! One property of a table of keys.

use super::value::Kind;

/// What the value is when the key is absent or, for texts, blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Nothing: the key is optional.
    Unset,
    /// This text, read like a value of the file.
    Is(&'static str),
    /// This many times the number of processors.
    Processors(usize),
}

/// Whether this server acts on the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// The key does what it says.
    Honoured,
    /// The key is read, checked and listed, but changes nothing; the text says why.
    Ignored(&'static str),
}

/// One property.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The name in the file; the misspelled ones are Java's own spelling.
    pub name: &'static str,
    /// How the text is read and checked.
    pub kind: Kind,
    /// The default, Java's where Java has the key.
    pub fallback: Fallback,
    /// Honoured or ignored.
    pub treatment: Treatment,
    /// One line for operators.
    pub doc: &'static str,
}

/// One line of a table.
pub const fn key(
    name: &'static str,
    kind: Kind,
    fallback: Fallback,
    treatment: Treatment,
    doc: &'static str,
) -> Key {
    Key {
        name,
        kind,
        fallback,
        treatment,
        doc,
    }
}

/// One line of a table that is acted on.
pub const fn honoured(
    name: &'static str,
    kind: Kind,
    fallback: Fallback,
    doc: &'static str,
) -> Key {
    key(name, kind, fallback, Treatment::Honoured, doc)
}

/// A duration in milliseconds.
pub const MILLIS: Kind = Kind::Number {
    min: 1,
    max: i32::MAX as i64,
};
/// A number of things.
pub const COUNT: Kind = Kind::Number {
    min: 1,
    max: i32::MAX as i64,
};
/// What a Java `int` holds.
pub const ANY_INT: Kind = Kind::Number {
    min: i32::MIN as i64,
    max: i32::MAX as i64,
};

/// Finds a key by its exact name.
pub fn find<'a>(keys: &'a [Key], name: &str) -> Option<&'a Key> {
    keys.iter().find(|key| key.name == name)
}
