//! The buffers of one party's model, as FATE-Flow's transfer endpoint hands them out (contract 02 A2).

use std::collections::BTreeMap;

use bytes::Bytes;

/// `"<component>.<alias>:<MessageName>"` → protobuf bytes, plus [`PIPELINE_KEY`].
pub type Buffers = BTreeMap<String, Bytes>;

/// Key of the `Pipeline` message that carries the inference DSL.
pub const PIPELINE_KEY: &str = "pipeline.pipeline:Pipeline";
