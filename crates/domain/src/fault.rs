//! Why a call has no result: a return code and a text for the caller.

use std::fmt;

use crate::return_code::ReturnCode;

/// An error as peers see it. The text may be empty where Java's is (contract 01 §5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Never [`ReturnCode::SUCCESS`].
    pub code: ReturnCode,
    /// The answer's `retmsg` or `message`.
    pub message: String,
}

impl Fault {
    /// A fault with its text.
    pub fn new(code: ReturnCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
