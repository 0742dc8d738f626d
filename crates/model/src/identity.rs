//! Whether buffers are those of the model that a request names.
//!
//! A load request is believed: FATE-Flow gives a migrated model new names, and other tools give their own. But buffers of
//! another model make scores that nobody validated, so that a difference is said aloud.

use fate_domain::party::Role;
use fate_inference::{Buffers, PIPELINE_KEY};
use fate_proto::buffer::Pipeline;
use prost::Message as _;

use crate::store::Description;

/// What the pipeline says of itself, where that is not what was asked for.
pub(crate) fn doubt(buffers: &Buffers, description: &Description) -> Option<String> {
    let pipeline = Pipeline::decode(buffers.get(PIPELINE_KEY)?.clone()).ok()?;
    doubtful_name(&pipeline, description).or_else(|| doubtful_host(&pipeline, description))
}

fn doubtful_name(pipeline: &Pipeline, description: &Description) -> Option<String> {
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

/// FATE-Flow's model ids name the parties: `arbiter-10000#guest-9999#host-10000_10001#model`.
fn doubtful_host(pipeline: &Pipeline, description: &Description) -> Option<String> {
    let mut parts = pipeline.model_id.split('#');
    let hosts = parts.find_map(|part| part.strip_prefix("host-"))?;
    let is_known = |id: &str| id == hosts || hosts.split('_').any(|host| host == id);
    let mut asked = description
        .remotes
        .iter()
        .filter(|remote| remote.role == Role::Host);
    let stranger = asked.find(|remote| !is_known(&remote.party_id))?;
    Some(format!(
        "the buffers are of model {}, which has no host {}",
        pipeline.model_id, stranger.party_id
    ))
}

#[cfg(test)]
mod tests {
    use fate_domain::model_key::ModelKey;
    use fate_inference::Semantics;

    use super::*;
    use crate::published::Remote;

    fn said(model_id: &str, version: &str) -> Option<String> {
        said_to("guest-9999#host-10000#model", model_id, version, &[])
    }

    /// Asked for a model of that id and these hosts.
    fn said_to(asked: &str, model_id: &str, version: &str, hosts: &[&str]) -> Option<String> {
        let remote = |id: &&str| Remote {
            party_id: (*id).to_owned(),
            role: Role::Host,
            key: ModelKey::new("202401", format!("host#{id}#{asked}")),
        };
        let pipeline = Pipeline {
            model_id: model_id.to_owned(),
            model_version: version.to_owned(),
            ..Pipeline::default()
        };
        let buffers = [(PIPELINE_KEY.to_owned(), pipeline.encode_to_vec().into())].into();
        let description = Description {
            key: ModelKey::new("202401", format!("guest#9999#{asked}")),
            role: Role::Guest,
            party_id: "9999".to_owned(),
            remotes: hosts.iter().map(remote).collect(),
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

    #[test]
    fn hosts_that_the_model_does_not_have_are_told() {
        let of = |model_id, hosts: &[&str]| said_to(model_id, model_id, "202401", hosts);
        let two = "guest-9999#host-10000_10001#model";
        let one = "guest-9999#host-10000#model";
        for (model_id, hosts) in [
            (one, vec!["10000"]),
            (two, vec!["10000", "10001"]),
            ("no party named", vec!["10007"]),
        ] {
            assert_eq!(of(model_id, &hosts), None, "{model_id}");
        }
        assert!(of(two, &["10001", "10002"]).is_some());
        assert!(of(one, &["10007"]).is_some_and(|text| text.contains("no host 10007")));
    }
}
