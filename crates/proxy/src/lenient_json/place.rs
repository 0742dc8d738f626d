//! Reading a document: a value together with its path, coerced as Gson coerces.

use super::{Node, Position, SyntaxError, Value};

/// What is wrong in a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{at}{}{path}: {message}", if path.is_empty() { "" } else { ", " })]
pub struct FormatError {
    /// Where the value begins.
    pub at: Position,
    /// Names and numbers that lead to the value: `route_table.default.default[0].port`; empty for the document.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl From<SyntaxError> for FormatError {
    fn from(error: SyntaxError) -> Self {
        Self {
            at: error.at,
            path: String::new(),
            message: error.message,
        }
    }
}

/// A value of a document and the way to it.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// The value.
    pub node: &'a Node,
    /// As in [`FormatError::path`].
    pub path: String,
}

impl<'a> Place<'a> {
    /// The document.
    pub fn root(node: &'a Node) -> Self {
        Self {
            node,
            path: String::new(),
        }
    }

    /// An error about this value.
    pub fn wrong(&self, message: impl Into<String>) -> FormatError {
        FormatError {
            at: self.node.at,
            path: self.path.clone(),
            message: message.into(),
        }
    }

    /// The members of an object.
    ///
    /// # Errors
    /// It is no object.
    pub fn members(&self) -> Result<impl Iterator<Item = (&'a str, Self)> + use<'a>, FormatError> {
        let Value::Object(members) = &self.node.value else {
            return Err(self.wrong("must be an object"));
        };
        let path = self.path.clone();
        Ok(members.iter().map(move |(name, node)| {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{name}");
            (name.as_str(), Self { node, path })
        }))
    }

    /// A member that may be missing.
    ///
    /// # Errors
    /// The value is no object.
    pub fn get(&self, name: &str) -> Result<Option<Self>, FormatError> {
        Ok(self
            .members()?
            .find(|(known, _)| *known == name)
            .map(|(_, place)| place))
    }

    /// A member that must be there.
    ///
    /// # Errors
    /// The value is no object, or the member is missing.
    pub fn required(&self, name: &str) -> Result<Self, FormatError> {
        self.get(name)?
            .ok_or_else(|| self.wrong(format!("`{name}` is missing")))
    }

    /// The items of a list.
    ///
    /// # Errors
    /// It is no list.
    pub fn items(&self) -> Result<impl Iterator<Item = Self> + use<'a>, FormatError> {
        let Value::List(items) = &self.node.value else {
            return Err(self.wrong("must be a list"));
        };
        let path = self.path.clone();
        Ok(items.iter().enumerate().map(move |(position, node)| Self {
            node,
            path: format!("{path}[{position}]"),
        }))
    }

    /// A text; numbers and flags are taken as they are spelled.
    ///
    /// # Errors
    /// It is null, a list or an object.
    pub fn text(&self) -> Result<String, FormatError> {
        match &self.node.value {
            Value::Text(text) | Value::Number(text) => Ok(text.clone()),
            Value::Flag(flag) => Ok(flag.to_string()),
            _ => Err(self.wrong("must be a text")),
        }
    }

    /// An integer; texts that spell one and decimals without a fraction are taken.
    ///
    /// # Errors
    /// It is nothing of the kind.
    pub fn integer(&self) -> Result<i64, FormatError> {
        let read = match &self.node.value {
            Value::Number(text) => text.parse().ok().or_else(|| whole_number(text)),
            Value::Text(text) => text.parse::<i32>().ok().map(i64::from),
            _ => None,
        };
        read.ok_or_else(|| self.wrong("must be an integer"))
    }

    /// A flag; the text `true` in any case counts as true, every other text and every number as false.
    ///
    /// # Errors
    /// It is null, a list or an object.
    pub fn flag(&self) -> Result<bool, FormatError> {
        match &self.node.value {
            Value::Flag(flag) => Ok(*flag),
            Value::Text(text) => Ok(text.eq_ignore_ascii_case("true")),
            Value::Number(_) => Ok(false),
            _ => Err(self.wrong("must be true or false")),
        }
    }
}

/// `8869.0` and `8e3`, as long as a double holds them exactly.
fn whole_number(text: &str) -> Option<i64> {
    let value: f64 = text.parse().ok()?;
    let is_whole = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
    // The bounds make the cast exact.
    is_whole.then_some(value as i64)
}
