//! From values to strict JSON.

use std::fmt::{self, Write};

use super::{Node, Value};

impl Node {
    /// The value on one line without blanks.
    pub fn compact(&self) -> String {
        self.written(None)
    }

    /// The value with an indentation of three blanks and no blank after a colon, as the Java proxy formats a table.
    pub fn pretty(&self) -> String {
        self.written(Some(0))
    }

    fn written(&self, level: Option<usize>) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write_node(self, level, &mut text);
        text
    }
}

/// `level` is the indentation of the line the value stands on; none is compact.
fn write_node(node: &Node, level: Option<usize>, out: &mut String) -> fmt::Result {
    match &node.value {
        Value::Null => out.write_str("null"),
        Value::Flag(flag) => write!(out, "{flag}"),
        Value::Number(text) => out.write_str(text),
        Value::Text(text) => write_text(text, out),
        Value::List(items) if items.is_empty() => out.write_str("[]"),
        Value::Object(members) if members.is_empty() => out.write_str("{}"),
        Value::List(items) => {
            out.write_char('[')?;
            for (position, item) in items.iter().enumerate() {
                begin_line(position, level, out)?;
                write_node(item, level.map(|level| level + 1), out)?;
            }
            end_lines(level, out)?;
            out.write_char(']')
        }
        Value::Object(members) => {
            out.write_char('{')?;
            for (position, (name, member)) in members.iter().enumerate() {
                begin_line(position, level, out)?;
                write_text(name, out)?;
                out.write_char(':')?;
                write_node(member, level.map(|level| level + 1), out)?;
            }
            end_lines(level, out)?;
            out.write_char('}')
        }
    }
}

fn begin_line(position: usize, level: Option<usize>, out: &mut String) -> fmt::Result {
    if position > 0 {
        out.write_char(',')?;
    }
    match level {
        Some(level) => new_line(level + 1, out),
        None => Ok(()),
    }
}

fn end_lines(level: Option<usize>, out: &mut String) -> fmt::Result {
    level.map_or(Ok(()), |level| new_line(level, out))
}

fn new_line(level: usize, out: &mut String) -> fmt::Result {
    write!(out, "\n{:width$}", "", width = level * 3)
}

fn write_text(text: &str, out: &mut String) -> fmt::Result {
    write!(out, "{}", serde_json::Value::from(text))
}
