//! `{"<component>.<alias>:<Name>":"<Base64>"}`: the form of FATE-Flow's answer, of Java's cache files and of a
//! transfer between two nodes.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use fate_inference::Buffers;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// Java's decoder accepts missing padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A model has some ten buffers for each component; without a limit, tiny ones would take many times the memory of
/// the text.
const MAX_BUFFERS: usize = 100_000;

/// The longest JSON text that can hold buffers of `max_bytes`: Base64, names and punctuation.
pub(crate) fn max_text_bytes(max_bytes: u64) -> u64 {
    max_bytes
        .saturating_add(max_bytes / 3)
        .saturating_add(1 << 20)
}

/// Reads the object; an empty one is an error, as in Java.
pub(crate) fn parse(text: &[u8], max_bytes: u64) -> Result<Buffers, String> {
    let EncodedBuffers(buffers) = serde_json::from_slice(text)
        .map_err(|cause| format!("not a JSON object of Base64 texts: {cause}"))?;
    check(buffers, max_bytes)
}

/// What every source must deliver: at least one buffer, not more than the limit.
pub(crate) fn check(buffers: Buffers, max_bytes: u64) -> Result<Buffers, String> {
    if buffers.is_empty() {
        return Err("there are no buffers".to_owned());
    }
    let total: u64 = buffers.values().map(|buffer| buffer.len() as u64).sum();
    if total > max_bytes {
        return Err(format!(
            "the buffers have {total} bytes, the limit is {max_bytes}"
        ));
    }
    Ok(buffers)
}

/// The same form, without white space.
pub(crate) fn write(buffers: &Buffers) -> Vec<u8> {
    let mut text = Vec::new();
    text.push(b'{');
    for (index, (name, buffer)) in buffers.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(
            serde_json::Value::from(name.as_str())
                .to_string()
                .as_bytes(),
        );
        text.extend_from_slice(b":\"");
        text.extend_from_slice(BASE64.encode(buffer).as_bytes());
        text.push(b'"');
    }
    text.push(b'}');
    text
}

/// Decodes while reading: the Base64 text is never held a second time.
pub(crate) struct EncodedBuffers(pub(crate) Buffers);

impl<'de> Deserialize<'de> for EncodedBuffers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(ObjectVisitor)
            .map(EncodedBuffers)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Buffers;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of Base64 texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Buffers, A::Error> {
        let mut buffers = Buffers::new();
        while let Some(name) = map.next_key::<String>()? {
            let EncodedBuffer(buffer) = map
                .next_value()
                .map_err(|cause| A::Error::custom(format!("{name}: {cause}")))?;
            buffers.insert(name, buffer);
            if buffers.len() > MAX_BUFFERS {
                return Err(A::Error::custom(format!("more than {MAX_BUFFERS} buffers")));
            }
        }
        Ok(buffers)
    }
}

struct EncodedBuffer(Bytes);

impl<'de> Deserialize<'de> for EncodedBuffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor).map(EncodedBuffer)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Bytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a Base64 text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        BASE64
            .decode(text)
            .map(Bytes::from)
            .map_err(|cause| E::custom(format!("bad Base64: {cause}")))
    }
}
