//! From the columns of a source's row to features.
//!
//! Features are kept as JSON tokens, as the core reads them: whole and decimal numbers digit by digit, floating-point
//! numbers so that they read back as the same double, text as text: what a text means as a number is for the model to
//! decide. A column without a value (NULL, empty text) is left out, which counts as missing; a floating-point number that
//! is none goes on as the text that Python writes for it, `nan` or `inf`.

use std::collections::HashMap;
use std::sync::Arc;

use fate_domain::members::Members;

/// Most bytes of a row's features. No model needs more, and a hostile row must not fill the memory.
pub(crate) const MAX_ROW_BYTES: usize = 1 << 20;

/// Names of features with their JSON tokens.
pub(crate) type Features = Vec<(Arc<str>, Box<str>)>;

/// What a source has to say of a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Row(Arc<Features>),
    /// It does not know the key.
    Nothing,
    /// It knows the key, and what it says of it cannot be used.
    Poisoned(Arc<str>),
}

/// Which columns become features, under which names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnMapping {
    /// Columns and features; empty: every column under its own name.
    pairs: Vec<(String, Arc<str>)>,
    places: HashMap<String, usize>,
}

impl ColumnMapping {
    /// Of entries `column` or `column=feature`; none: every column under its own name.
    ///
    /// # Errors
    /// A column or a feature is named twice, or a name is empty.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut mapping = Self::default();
        for entry in entries {
            let (column, feature) = entry.split_once('=').unwrap_or((entry, entry));
            let (column, feature) = (column.trim(), feature.trim());
            if column.is_empty() || feature.is_empty() {
                return Err(format!("`{entry}` is not column or column=feature"));
            }
            if mapping.pairs.iter().any(|(_, known)| **known == *feature) {
                return Err(format!("the feature {feature} is named twice"));
            }
            let place = mapping.pairs.len();
            if mapping.places.insert(column.to_owned(), place).is_some() {
                return Err(format!("the column {column} is named twice"));
            }
            mapping.pairs.push((column.to_owned(), feature.into()));
        }
        Ok(mapping)
    }

    /// The columns that are needed, unless all of them are.
    pub(crate) fn columns(&self) -> Option<impl ExactSizeIterator<Item = &str>> {
        let columns = self.pairs.iter().map(|(column, _)| column.as_str());
        (!self.pairs.is_empty()).then_some(columns)
    }

    /// The feature that a column becomes; `None`: it is not wanted.
    pub(crate) fn feature(&self, column: &str) -> Option<Arc<str>> {
        if self.pairs.is_empty() {
            return Some(column.into());
        }
        let place = self.places.get(column)?;
        self.pairs
            .get(*place)
            .map(|(_, feature)| Arc::clone(feature))
    }
}

/// A row under way.
#[derive(Debug, Default)]
pub(crate) struct RowBuilder {
    features: Features,
    bytes: usize,
}

impl RowBuilder {
    /// A number or another JSON value, spelled as it shall stay.
    pub(crate) fn token(&mut self, feature: Arc<str>, token: &str) {
        if token == "null" || token == "\"\"" || self.is_too_large() {
            return;
        }
        self.bytes += feature.len() + token.len();
        self.features.push((feature, token.into()));
    }

    pub(crate) fn text(&mut self, feature: Arc<str>, text: &str) {
        // Looked at before the text is copied.
        self.bytes += text.len();
        if !text.is_empty() && !self.is_too_large() {
            self.token(feature, &text_token(text));
        }
    }

    /// Text of somebody else's making.
    pub(crate) fn bytes(&mut self, feature: Arc<str>, bytes: &[u8]) -> Result<(), String> {
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                self.text(feature, text);
                Ok(())
            }
            Err(_) => Err(format!("{feature} is not UTF-8 text")),
        }
    }

    fn is_too_large(&self) -> bool {
        self.bytes > MAX_ROW_BYTES
    }

    pub(crate) fn finish(self) -> Answer {
        if self.is_too_large() {
            return Answer::Poisoned(too_large().into());
        }
        Answer::Row(Arc::new(self.features))
    }
}

fn too_large() -> String {
    format!("the row is larger than {MAX_ROW_BYTES} bytes")
}

/// The features of a JSON object.
pub(crate) fn of_json(object: &[u8], mapping: &ColumnMapping) -> Answer {
    if object.len() > MAX_ROW_BYTES {
        return Answer::Poisoned(too_large().into());
    }
    let Ok(text) = std::str::from_utf8(object) else {
        return Answer::Poisoned("the row is not UTF-8 text".into());
    };
    match Members::whole(text) {
        Err(cause) => Answer::Poisoned(format!("the row is not a JSON object: {cause}").into()),
        Ok(members) => of_members(&members, mapping),
    }
}

pub(crate) fn of_members(members: &Members<'_>, mapping: &ColumnMapping) -> Answer {
    let mut row = RowBuilder::default();
    for (name, value) in members.iter() {
        if let Some(feature) = mapping.feature(name) {
            row.token(feature, value);
        }
    }
    row.finish()
}

/// A double that reads back as itself; one that is no number as Python writes it.
pub(crate) fn float_token(number: f64) -> String {
    match serde_json::Number::from_f64(number) {
        Some(number) => number.to_string(),
        None if number.is_nan() => "\"nan\"".to_owned(),
        None if number > 0.0 => "\"inf\"".to_owned(),
        None => "\"-inf\"".to_owned(),
    }
}

/// A decimal number digit by digit; what is none of JSON's (`NaN`) as text.
pub(crate) fn decimal_token(text: &str) -> String {
    let is_number = serde_json::from_str::<serde_json::Number>(text).is_ok();
    if is_number {
        text.to_owned()
    } else {
        text_token(text)
    }
}

pub(crate) fn text_token(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(answer: &Answer) -> String {
        match answer {
            Answer::Row(features) => {
                let pairs = features
                    .iter()
                    .map(|(name, token)| format!("{name}={token}"));
                pairs.collect::<Vec<_>>().join(" ")
            }
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn columns_are_chosen_and_renamed() {
        let all = ColumnMapping::default();
        let some = ColumnMapping::of(["b=x1", " a "]).unwrap();
        let object = br#"{"a":1.50,"b":"t","c":true,"d":null,"e":""}"#;
        assert_eq!(shown(&of_json(object, &all)), r#"a=1.50 b="t" c=true"#);
        assert_eq!(shown(&of_json(object, &some)), r#"a=1.50 x1="t""#);
        assert!(all.columns().is_none());
        assert_eq!(some.columns().unwrap().collect::<Vec<_>>(), ["b", "a"]);
        for wrong in [["a", "a=b"], ["a=x", "b=x"], ["a", "=b"], ["a", "b="]] {
            assert!(ColumnMapping::of(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_are_exact_or_texts() {
        for number in [
            0.1,
            -0.0,
            1e300,
            5e-324,
            f64::MAX,
            1.0 / 3.0,
            f64::from(0.1_f32),
        ] {
            let token = float_token(number);
            assert_eq!(
                token.parse::<f64>().unwrap().to_bits(),
                number.to_bits(),
                "{token}"
            );
        }
        assert_eq!(float_token(f64::NAN), "\"nan\"");
        assert_eq!(float_token(f64::NEG_INFINITY), "\"-inf\"");
        for (decimal, token) in [
            ("1.50", "1.50"),
            ("-0.5", "-0.5"),
            ("NaN", "\"NaN\""),
            ("007", "\"007\""),
        ] {
            assert_eq!(decimal_token(decimal), token);
        }
    }

    #[test]
    fn what_is_no_row_is_poisoned() {
        let all = ColumnMapping::default();
        let huge = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_ROW_BYTES));
        for object in [
            &b"[1]"[..],
            b"",
            b"{\"a\":NaN}",
            b"{\"a\":\"\xff\"}",
            huge.as_bytes(),
        ] {
            assert!(matches!(of_json(object, &all), Answer::Poisoned(_)));
        }
        let mut row = RowBuilder::default();
        row.text("a".into(), &"x".repeat(MAX_ROW_BYTES + 1));
        assert!(matches!(row.finish(), Answer::Poisoned(_)));
        let mut row = RowBuilder::default();
        assert!(row.bytes("a".into(), b"\xff").is_err());
    }
}
