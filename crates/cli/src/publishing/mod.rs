//! Publishing models to servings without FATE-Flow, in its words and calls (contract 03 §5): what `load`, `bind`, `unload`,
//! `unbind` and `models` are made of. The in-process cluster of `demo` and `model verify` publishes with the same requests.

pub(crate) mod flow_conf;
pub(crate) mod job;
pub(crate) mod report;
pub(crate) mod requests;
pub(crate) mod serving;
pub(crate) mod servings;
pub(crate) mod sources;
pub(crate) mod transfer_endpoint;
