//! The ids of a row, as a guest sent them.

use fate_domain::java_number;

/// The text that Java makes of an id's JSON value.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn text(value: &str) -> Result<String, String> {
    match value.as_bytes().first() {
        Some(b'"') => {
            serde_json::from_str(value).map_err(|error| format!("the id is not text: {error}"))
        }
        Some(b'{' | b'[') => Err("the id is neither a text nor a number".to_owned()),
        // Java reads a number with fraction or exponent as a double and shows it as such.
        Some(b'-' | b'0'..=b'9') if value.contains(['.', 'e', 'E']) => {
            java_number::parse_double(value)
                .map(java_number::double_to_string)
                .ok_or_else(|| "the id is not a number".to_owned())
        }
        _ => Ok(value.to_owned()),
    }
}
