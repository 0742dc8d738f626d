//! Whose arithmetic a plan reproduces.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Chosen when a model is loaded and stored with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Semantics {
    /// Equal to FATE's offline predict, following `Pipeline.fate_version`.
    #[default]
    Fate,
    /// Equal to FATE-Serving 2.1.7, with the quirks marked P and P* in contract 02 part F.
    Java,
}

impl Semantics {
    /// The one that this is not.
    pub fn other(self) -> Semantics {
        match self {
            Semantics::Fate => Semantics::Java,
            Semantics::Java => Semantics::Fate,
        }
    }
}

impl fmt::Display for Semantics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Semantics::Fate => "fate",
            Semantics::Java => "java",
        })
    }
}

impl FromStr for Semantics {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fate" => Ok(Semantics::Fate),
            "java" => Ok(Semantics::Java),
            other => Err(format!(
                "semantics is \"fate\" or \"java\", not \"{other}\""
            )),
        }
    }
}
