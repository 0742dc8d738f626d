//! The name of a loaded model.

use std::fmt;
use std::fmt::Write;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::return_code::ReturnCode;

/// One party's part of one model version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModelKey {
    /// FATE's model version.
    pub table_name: String,
    /// FATE's party model id, `role#party#model_id`.
    pub namespace: String,
}

/// Longest `<table name>_<namespace>` in bytes: a file name holds 255, and `model_…_cache.lock` needs 17 of them.
const MAX_STORE_NAME: usize = 238;

impl ModelKey {
    /// A key as somebody asks for it; fit for a look-up.
    pub fn new(table_name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            table_name: table_name.into(),
            namespace: namespace.into(),
        }
    }

    /// A key that may become part of a file name.
    ///
    /// # Errors
    /// 110 for a part that is empty, holds `/`, `\`, `..` or a control character, or when both are too long together.
    pub fn checked(
        table_name: impl Into<String>,
        namespace: impl Into<String>,
    ) -> Result<Self, Fault> {
        let key = Self::new(table_name, namespace);
        check_part("table name", &key.table_name)?;
        check_part("namespace", &key.namespace)?;
        let length = key.store_name().len();
        if length > MAX_STORE_NAME {
            return Err(invalid(format!(
                "table name and namespace are {length} bytes long together, more than {MAX_STORE_NAME}"
            )));
        }
        Ok(key)
    }

    /// `<table name>_<namespace>`, the key of Java's stores and part of its file names (contract 01 §3.1).
    pub fn store_name(&self) -> String {
        format!("{}_{}", self.table_name, self.namespace)
    }

    /// `M_<table name>_<namespace>`: counters and flow rules (contract 01 §1.4).
    pub fn resource_name(&self) -> String {
        format!("M_{}_{}", self.table_name, self.namespace)
    }

    /// The registry environment of a host model: lower-case hex MD5 of `<table name>&<namespace>` (contract 01 §3.1).
    pub fn environment(&self) -> String {
        let text = format!("{}&{}", self.table_name, self.namespace);
        Md5::digest(text.as_bytes())
            .iter()
            .fold(String::with_capacity(32), |mut hex, byte| {
                // Writing to a string cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }
}

impl fmt::Display for ModelKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}_{}", self.table_name, self.namespace)
    }
}

fn check_part(name: &str, part: &str) -> Result<(), Fault> {
    if part.trim().is_empty() {
        return Err(invalid(format!("{name} is blank")));
    }
    if part.contains("..") || part == "." {
        return Err(invalid(format!(
            "{name} {part:?} contains \"..\" or is \".\""
        )));
    }
    match part
        .chars()
        .find(|c| matches!(c, '/' | '\\') || c.is_control())
    {
        Some(c) => Err(invalid(format!("{name} {part:?} contains {c:?}"))),
        None => Ok(()),
    }
}

fn invalid(message: String) -> Fault {
    Fault::new(ReturnCode::SYSTEM, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "host#10000#arbiter-10000#guest-9999#host-10000#model";

    #[test]
    fn names_are_those_of_java() {
        let key = ModelKey::checked("2020080416153238910324", HOST).unwrap();
        assert_eq!(key.environment(), "2e207aa43edc0a5e2517b68618920b2b");
        assert_eq!(key.store_name(), format!("2020080416153238910324_{HOST}"));
        assert_eq!(
            key.resource_name(),
            format!("M_2020080416153238910324_{HOST}")
        );
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        let long = "x".repeat(239);
        for bad in [
            "",
            " ",
            "a/b",
            "..",
            ".",
            "a\\b",
            "../../etc/passwd",
            "a\0b",
            "a\nb",
            &long,
        ] {
            for key in [ModelKey::checked(bad, HOST), ModelKey::checked("1", bad)] {
                assert_eq!(key.unwrap_err().code, ReturnCode::SYSTEM, "{bad:?}");
            }
        }
    }

    #[test]
    fn any_other_text_is_a_name() {
        ModelKey::checked("版本 1.0", "guest#银行#a-b_c&d:e?f").unwrap();
    }
}
