//! Whether buffers are those of the model that a request names.
//!
//! A load request is believed: FATE-Flow gives a migrated model new names, and other tools give their own. But buffers of
//! another model make scores that nobody validated, so that a difference is said aloud.

use fate_inference::{Buffers, PIPELINE_KEY};
use fate_proto::buffer::Pipeline;
use prost::Message as _;

use crate::store::Description;

/// What the pipeline says of itself, where that is not what was asked for.
pub(crate) fn doubt(buffers: &Buffers, description: &Description) -> Option<String> {
    let pipeline = Pipeline::decode(buffers.get(PIPELINE_KEY)?.clone()).ok()?;
    let key = &description.key;
    let model_id = key.namespace.splitn(3, '#').nth(2).unwrap_or_default();
    let is_other = |said: &str, asked: &str| !said.is_empty() && said != asked;
    if !is_other(&pipeline.model_id, model_id)
        && !is_other(&pipeline.model_version, &key.table_name)
    {
        return None;
    }
    Some(format!(
        "the buffers call themselves model {} version {}",
        pipeline.model_id, pipeline.model_version
    ))
}

#[cfg(test)]
mod tests {
    use fate_domain::model_key::ModelKey;
    use fate_domain::party::Role;
    use fate_inference::Semantics;

    use super::*;

    fn said(model_id: &str, version: &str) -> Option<String> {
        let pipeline = Pipeline {
            model_id: model_id.to_owned(),
            model_version: version.to_owned(),
            ..Pipeline::default()
        };
        let buffers = [(PIPELINE_KEY.to_owned(), pipeline.encode_to_vec().into())].into();
        let description = Description {
            key: ModelKey::new("202401", "host#10000#guest-9999#host-10000#model"),
            role: Role::Host,
            party_id: "10000".to_owned(),
            remotes: Vec::new(),
            loaded_at_ms: 0,
            resource_address: None,
            semantics: Semantics::Fate,
        };
        doubt(&buffers, &description)
    }

    #[test]
    fn other_names_are_told_and_missing_ones_are_not() {
        assert_eq!(said("guest-9999#host-10000#model", "202401"), None);
        assert_eq!(said("", ""), None);
        assert!(said("guest-9999#host-10000#other", "202401").is_some());
        assert!(said("guest-9999#host-10000#model", "202402").is_some());
    }
}
