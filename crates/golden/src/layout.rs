//! How a party's rows are written: what its DataIO or DataTransform says (contract 02 A4).

use std::collections::BTreeMap;

use bytes::Bytes;
use fate_proto::buffer::{DataIoMeta, DataTransformMeta};
use prost::Message as _;

/// Buffers are read in this order; only one of them is there.
const META: [&str; 2] = [":DataTransformMeta", ":DataIOMeta"];

/// The form of `features.csv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A header, and a cell for each of its columns.
    Dense {
        /// Between cells when it is not a comma: used only for a file without commas in its header.
        delimiter: Option<u8>,
        /// The guest's label column, as far as the component tells.
        label: Option<String>,
    },
    /// FATE's tag and sparse (svmlight) tables: `id,name:value,…` or `id,name,…`.
    Named(Named),
}

/// How the features of one row follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) delimiter: String,
    /// Between name and value; none when a name stands for the value 1.
    pub(crate) value_delimiter: Option<String>,
    /// Whether a match id comes first.
    pub(crate) has_match_id: bool,
    /// Whether a label comes next.
    pub(crate) has_label: bool,
}

/// Dense unless a data component says otherwise.
pub(crate) fn layout_of(buffers: &BTreeMap<String, Bytes>) -> Layout {
    let meta = META
        .iter()
        .find_map(|name| {
            let (key, buffer) = buffers.iter().find(|(key, _)| key.ends_with(name))?;
            read(key, buffer)
        })
        .unwrap_or_default();
    match meta.input_format.as_str() {
        "sparse" | "svmlight" => Layout::Named(named(&meta, true)),
        "tag" => Layout::Named(named(&meta, meta.tag_with_value)),
        _ => Layout::Dense {
            delimiter: match meta.delimitor.as_bytes() {
                [byte] if *byte != b',' => Some(*byte),
                _ => None,
            },
            label: (meta.with_label && !meta.label_name.is_empty()).then_some(meta.label_name),
        },
    }
}

/// The two message families carry the same settings with the same numbers.
fn read(key: &str, buffer: &Bytes) -> Option<DataTransformMeta> {
    if key.ends_with(META[0]) {
        return DataTransformMeta::decode(buffer.clone()).ok();
    }
    let meta = DataIoMeta::decode(buffer.clone()).ok()?;
    Some(DataTransformMeta {
        input_format: meta.input_format,
        delimitor: meta.delimitor,
        tag_with_value: meta.tag_with_value,
        tag_value_delimitor: meta.tag_value_delimitor,
        with_label: meta.with_label,
        label_name: meta.label_name,
        ..DataTransformMeta::default()
    })
}

fn named(meta: &DataTransformMeta, has_values: bool) -> Named {
    let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
    // svmlight knows the colon only.
    let value_delimiter = if meta.input_format == "tag" {
        or(&meta.tag_value_delimitor, ":")
    } else {
        ":".to_owned()
    };
    Named {
        delimiter: or(&meta.delimitor, ","),
        value_delimiter: has_values.then_some(value_delimiter),
        has_match_id: meta.with_match_id,
        has_label: meta.with_label,
    }
}

impl Named {
    /// Name and value of every feature in a row's fields, the id being taken off; the value of a name alone is `1`.
    /// Match id and label are no features. Of a name that comes twice the later value counts, as in FATE.
    pub(crate) fn features<'a>(
        &self,
        fields: impl Iterator<Item = &'a str>,
    ) -> Result<BTreeMap<&'a str, &'a str>, String> {
        let mut texts = fields
            .flat_map(|field| field.split(self.delimiter.as_str()))
            .skip(usize::from(self.has_match_id))
            .peekable();
        if self.begins_with_label(texts.peek().copied()) {
            texts.next();
        }
        let mut features = BTreeMap::new();
        for text in texts.filter(|text| !text.is_empty()) {
            let (name, value) = match &self.value_delimiter {
                None => (text, "1"),
                // A value holds no colon, a name may.
                Some(delimiter) => text
                    .rsplit_once(delimiter.as_str())
                    .ok_or_else(|| format!("{text:?} is not name{delimiter}value"))?,
            };
            features.insert(name, value);
        }
        Ok(features)
    }

    /// Rows to predict may come without the label: where features have values, it is what has none.
    fn begins_with_label(&self, first: Option<&str>) -> bool {
        match (&self.value_delimiter, first) {
            (Some(delimiter), Some(first)) => !first.contains(delimiter.as_str()),
            _ => self.has_label,
        }
    }
}
