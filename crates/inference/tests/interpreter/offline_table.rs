//! What FATE's offline `DataIO` and `DataTransform` do to a row (contract 02 B2 rows 2, 5, 14 and 15; data_transform.py and
//! imputer.py of FATE 1.11.4): one cell of a table after the other.

use crate::{
    table::Table,
    values::{Row, Value, float_zero, is_missing, release},
};

/// data_transform.py's list, for tables without imputer.
const CAST_BLANKS: [&str; 4] = ["", "NULL", "null", "NA"];

impl Table {
    /// A sparse table's columns have numbers too. The JSON text has the names in order, and the last one counts.
    pub(crate) fn named(&self, row: &Row) -> Row {
        let mut named = Row::new();
        for (name, value) in row {
            let number = name
                .parse::<usize>()
                .ok()
                .filter(|_| self.meta.input_format == "sparse");
            let is_column = self.param.header.contains(name);
            let column = number.filter(|number| !is_column && *name == number.to_string());
            let column = column.and_then(|number| self.param.header.get(number));
            named.insert(column.unwrap_or(name).clone(), value.clone());
        }
        named
    }

    pub(crate) fn fate(&self, row: &Row, version: &str) -> Row {
        let header = &self.param.header;
        if header.is_empty() {
            let read = row
                .iter()
                .map(|(name, value)| (name.clone(), self.as_it_came(value, version)));
            return read.collect();
        }
        let mut table = Row::new();
        for name in header {
            let value = row.get(name);
            if let Some(value) = self.cell(name, value, version) {
                table.insert(name.clone(), value);
            }
        }
        table
    }

    fn cell(&self, name: &str, value: Option<&Value>, version: &str) -> Option<Value> {
        if self.meta.input_format == "tag" && !self.meta.tag_with_value {
            return Some(self.tick(value));
        }
        let cast = self.cast_of(name);
        let tokens = self.missing_tokens(version);
        let mut value = value.cloned();
        let mut is_replacement = false;
        if let Some(tokens) = &tokens
            && let Some((_, replacements)) = self.missing()
            && let Some(replacement) = replacements.get(name)
            && (is_missing(value.as_ref())
                || is_blank(value.as_ref())
                || is_token(value.as_ref(), tokens, cast))
        {
            value = Some(Value::text_of(replacement));
            is_replacement = true;
        }
        if let Some((tokens, replacements)) = self.outlier()
            && self.is_dense()
            && let Some(replacement) = replacements.get(name)
        {
            let tokens = or_default(tokens, version);
            let is_outlier = if is_replacement {
                has_text(value.as_ref(), &tokens)
            } else {
                !is_blank(value.as_ref()) && is_token(value.as_ref(), &tokens, cast)
            };
            if is_outlier {
                value = Some(Value::text_of(replacement));
                is_replacement = true;
            }
        }
        if !self.is_dense()
            && (matches!(value, None | Some(Value::Null)) || is_blank(value.as_ref()))
        {
            return Some(self.left_out());
        }
        let blanks = tokens.unwrap_or_else(|| CAST_BLANKS.map(str::to_owned).to_vec());
        let value = cast_value(&value?, cast, &blanks, is_replacement);
        let is_tiny = value.is_number()
            && value
                .number()
                .is_some_and(|number| number.abs() < float_zero(version));
        if is_tiny && self.is_dense() && self.has_sparse_output() {
            return Some(Value::LeftOut);
        }
        Some(value)
    }

    /// 1 when the tag is there.
    fn tick(&self, value: Option<&Value>) -> Value {
        let number = match value {
            None | Some(Value::Null) => return self.left_out(),
            value if is_blank(value) => return self.left_out(),
            Some(Value::Bool(is_there)) => Some(f64::from(u8::from(*is_there))),
            Some(Value::Text(text)) => python_float(text),
            Some(value) => value.number(),
        };
        match number {
            None => Value::Refused,
            Some(0.0) => self.left_out(),
            Some(_) => Value::Double(1.0),
        }
    }

    fn left_out(&self) -> Value {
        if self.has_sparse_output() {
            Value::LeftOut
        } else {
            Value::Double(0.0)
        }
    }

    /// The sparse reader has no imputer, and the tag reader's has tokens of its own.
    fn missing_tokens(&self, version: &str) -> Option<Vec<String>> {
        let (tokens, _) = self.missing()?;
        match self.meta.input_format.as_str() {
            "dense" => Some(or_default(tokens, version)),
            "tag" => Some(or_default(&[], version)),
            _ => None,
        }
    }

    fn cast_of(&self, name: &str) -> &str {
        let exclusive = self.meta.exclusive_data_type.get(name);
        let exclusive = exclusive.filter(|_| self.is_dense() && !self.has_sparse_output());
        exclusive.unwrap_or(&self.meta.data_type)
    }

    /// Rows are arrays of integers.
    pub(crate) fn is_of_integers(&self) -> bool {
        let header = self.param.header.iter();
        let mut listed = header.filter(|name| self.meta.exclusive_data_type.contains_key(*name));
        let is_mixed = self.is_dense() && listed.next().is_some();
        matches!(self.meta.data_type.as_str(), "int" | "int64" | "long")
            && !self.has_sparse_output()
            && !is_mixed
    }

    /// No table that FATE wrote: values keep what they are, and blanks are missing.
    fn as_it_came(&self, value: &Value, version: &str) -> Value {
        let blanks = self.missing_tokens(version);
        let blanks = blanks.unwrap_or_else(|| CAST_BLANKS.map(str::to_owned).to_vec());
        let read = match value {
            Value::Text(text) if text.is_empty() => Value::Null,
            Value::Text(text) if blanks.contains(text) => Value::Null,
            Value::Text(text) => match value.number() {
                Some(number) => Value::Double(number),
                None if blanks.contains(&text.to_lowercase()) => Value::Null,
                None => Value::Refused,
            },
            other => other.clone(),
        };
        let is_tiny = read.is_number()
            && read
                .number()
                .is_some_and(|number| number.abs() < float_zero(version));
        if is_tiny && self.has_sparse_output() {
            Value::LeftOut
        } else {
            read
        }
    }
}

/// imputer.py's own list; FATE 1.7 added `None`.
fn or_default(tokens: &[String], version: &str) -> Vec<String> {
    if !tokens.is_empty() {
        return tokens.to_vec();
    }
    let mut default = vec!["", "none", "null", "na"];
    if release(version) >= (1, 7, 0) {
        default.push("None");
    }
    default.into_iter().map(str::to_owned).collect()
}

fn is_blank(value: Option<&Value>) -> bool {
    matches!(value, Some(Value::Text(text)) if text.is_empty())
}

fn has_text(value: Option<&Value>, tokens: &[String]) -> bool {
    matches!(value, Some(Value::Text(text)) if tokens.contains(text))
}

/// Text by its letters; in a column of numbers also in lower case where it is none (offline such a row has no score);
/// numbers by value.
fn is_token(value: Option<&Value>, tokens: &[String], cast: &str) -> bool {
    match value {
        Some(Value::Text(text)) => {
            let may_be_lower = cast != "str" && python_number(text, cast).is_none();
            tokens.contains(text) || (may_be_lower && tokens.contains(&text.to_lowercase()))
        }
        Some(value) if value.is_number() => {
            let mut numbers = tokens.iter().filter_map(|token| python_float(token));
            numbers.any(|token| Some(token) == value.number())
        }
        _ => false,
    }
}

/// Text that is no number is a fault only where it is used.
fn cast_value(value: &Value, cast: &str, blanks: &[String], is_replacement: bool) -> Value {
    match value {
        Value::Text(_) if cast == "str" => value.clone(),
        Value::Json(token) if cast == "str" => Value::text_of(token),
        Value::Text(text) if text.is_empty() || blanks.contains(text) => {
            if is_replacement && !blanks.contains(text) {
                Value::Refused
            } else {
                Value::Null
            }
        }
        Value::Text(text) => match python_number(text, cast) {
            Some(number) => Value::Double(number),
            None if !is_replacement && blanks.contains(&text.to_lowercase()) => Value::Null,
            None => Value::Refused,
        },
        Value::Json(_) => {
            let number = value.number().unwrap();
            match cast {
                "int" | "int64" | "long"
                    if number.fract() != 0.0 || number.abs() >= 2f64.powi(63) =>
                {
                    Value::Refused
                }
                "float32" => Value::Double(f64::from(number as f32)),
                _ => Value::Double(number),
            }
        }
        other => other.clone(),
    }
}

fn python_number(text: &str, cast: &str) -> Option<f64> {
    match cast {
        "int" | "int64" | "long" => {
            let digits = without_underscores(text.trim())?;
            digits.parse::<i64>().ok().map(|integer| integer as f64)
        }
        "float32" => python_float(text).map(|number| f64::from(number as f32)),
        _ => python_float(text),
    }
}

fn python_float(text: &str) -> Option<f64> {
    without_underscores(text.trim())?.parse().ok()
}

/// `1_000`, but neither `1_` nor `_1`.
fn without_underscores(text: &str) -> Option<String> {
    let pieces: Vec<&str> = text.split('_').collect();
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    let is_joint =
        |pair: &[&str]| is_digit(pair[0].chars().last()) && is_digit(pair[1].chars().next());
    pieces.windows(2).all(is_joint).then(|| pieces.concat())
}
