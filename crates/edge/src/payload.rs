//! Bodies in logs: switched off, or masked, or as they are.

use serde_json::Value;

use crate::config::MASK;

/// Members that say where a value belongs and nothing about a person.
const TOLD: &[&str] = &[
    "serviceId",
    "caseId",
    "caseid",
    "seqno",
    "applyId",
    "appid",
    "index",
    "retcode",
    "retmsg",
    "flag",
    "modelId",
    "modelVersion",
    "timestamp",
];
/// The longest body that is logged.
const MAX_BYTES: usize = 64 << 10;

/// What of bodies is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// Requests (`print.input.data`).
    pub input: bool,
    /// Answers (`print.output.data`).
    pub output: bool,
    /// Names without values (`print.mask`).
    pub is_masked: bool,
}

impl Shown {
    /// A request as it is logged.
    pub fn input(&self, body: &[u8]) -> Option<String> {
        self.input.then(|| self.text(body))
    }

    /// An answer as it is logged.
    pub fn output(&self, body: &[u8]) -> Option<String> {
        self.output.then(|| self.text(body))
    }

    /// On one line.
    fn text(&self, body: &[u8]) -> String {
        if body.len() > MAX_BYTES {
            return format!("<{} bytes>", body.len());
        }
        if self.is_masked {
            return masked(body);
        }
        String::from_utf8_lossy(body).replace(|c: char| c.is_control(), " ")
    }
}

/// Members keep their names, values are gone; what is no JSON is only counted.
fn masked(body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(mut value) => {
            mask(&mut value);
            value.to_string()
        }
        Err(_) => format!("<{} bytes>", body.len()),
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members.iter_mut() {
                let is_told = TOLD.contains(&name.as_str());
                if !is_told || value.is_object() || value.is_array() {
                    mask(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        Value::Null => {}
        _ => *value = MASK.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_masked_and_names_are_not() {
        let shown = Shown {
            input: true,
            output: false,
            is_masked: true,
        };
        let body = br#"{"serviceId":"s","featureData":{"income":1.5,"name":"x","retcode":{"a":7}},"list":[1,null,{"index":0,"b":true}]}"#;
        let text = shown.input(body).unwrap();
        assert_eq!(
            text,
            format!(
                r#"{{"serviceId":"s","featureData":{{"income":"{MASK}","name":"{MASK}","retcode":{{"a":"{MASK}"}}}},"list":["{MASK}",null,{{"index":0,"b":"{MASK}"}}]}}"#
            )
        );
        assert_eq!(shown.output(body), None);
        for (body, shape) in [
            (&b"secret"[..], "<6 bytes>"),
            (b"", "<0 bytes>"),
            (b"\xff\x00", "<2 bytes>"),
        ] {
            assert_eq!(shown.input(body).unwrap(), shape);
        }
    }

    #[test]
    fn unmasked_bodies_stay_on_one_line_and_are_bounded() {
        let shown = Shown {
            input: true,
            ..Shown::default()
        };
        assert_eq!(shown.input(b"{\n\"x\":1}").unwrap(), "{ \"x\":1}");
        assert_eq!(
            shown.input(&vec![b'x'; 1 << 20]).unwrap(),
            "<1048576 bytes>"
        );
    }
}
