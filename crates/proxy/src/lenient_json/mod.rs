//! JSON as the Java proxy reads its files: Gson in lenient mode (contract 04 A.5.1).
//!
//! Comments, single quotes, unquoted names and texts, `=` and `;` as separators are accepted, and what follows the top
//! value is ignored, because real route tables rely on it. Every value knows its line and column, and what reads a
//! document through [`Place`] names the path as well.

mod place;
mod reader;
mod writer;

pub use place::{FormatError, Place};
pub use reader::{MAX_BYTES, SyntaxError, parse};

use std::fmt;

/// A position in a text, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}", self.line, self.column)
    }
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The first character; zeros in values that were not read from a text.
    pub at: Position,
    /// The value.
    pub value: Value,
}

/// A JSON value; numbers keep their spelling.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, or a place between two commas of a list.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A number in JSON's grammar.
    Number(String),
    /// Quoted text, or unquoted text that is none of the above.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Members in the order of their first appearance; of equal names the last value counts.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// A value that no text contains.
    pub fn new(value: Value) -> Self {
        Self {
            at: Position::default(),
            value,
        }
    }

    /// The members of an object; none of anything else.
    pub fn members(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let found = self.members().iter().find(|(known, _)| known == name);
        found.map(|(_, node)| node)
    }

    /// A member of an object, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        let Value::Object(members) = &mut self.value else {
            return None;
        };
        let found = members.iter_mut().find(|(known, _)| known == name);
        found.map(|(_, node)| node)
    }

    /// Puts a member into an object, in place of one with that name if there is one.
    pub fn set(&mut self, name: &str, node: Self) {
        if let Some(known) = self.get_mut(name) {
            *known = node;
        } else if let Value::Object(members) = &mut self.value {
            members.push((name.to_owned(), node));
        }
    }
}

#[cfg(test)]
mod tests;
