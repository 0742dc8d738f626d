//! The requests of a load and a bind, as FATE-Flow fills them (contract 03 §5.2).

use std::collections::BTreeMap;

use fate_domain::model_key::ModelKey;
use fate_proto::model as wire;

/// One party of a federated model, with the name of its part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartyPart {
    pub(crate) role: String,
    pub(crate) party_id: String,
    pub(crate) key: ModelKey,
}

/// Where a serving gets the buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadFrom {
    pub(crate) load_type: String,
    pub(crate) file_path: String,
}

impl LoadFrom {
    /// FATE-Flow's transfer endpoint at this URL.
    pub(crate) fn flow(url: String) -> LoadFrom {
        LoadFrom {
            load_type: "FATEFLOW".to_owned(),
            file_path: url,
        }
    }
}

/// Every party gets the same request but for `local`.
pub(crate) fn load(
    parties: &[PartyPart],
    local: &PartyPart,
    from: LoadFrom,
) -> wire::PublishRequest {
    let (role, model) = maps(parties);
    wire::PublishRequest {
        local: Some(local_info(local)),
        role,
        model,
        load_type: from.load_type,
        file_path: from.file_path,
        ..wire::PublishRequest::default()
    }
}

/// A bind tells every party's id, and the initiator's model only.
pub(crate) fn bind(
    parties: &[PartyPart],
    initiator: &PartyPart,
    service_id: &str,
) -> wire::PublishRequest {
    let (role, _) = maps(parties);
    let (_, model) = maps(std::slice::from_ref(initiator));
    wire::PublishRequest {
        local: Some(local_info(initiator)),
        role,
        model,
        service_id: service_id.to_owned(),
        ..wire::PublishRequest::default()
    }
}

fn local_info(party: &PartyPart) -> wire::LocalInfo {
    wire::LocalInfo {
        role: party.role.clone(),
        party_id: party.party_id.clone(),
    }
}

type Roles = BTreeMap<String, wire::Party>;
type PartyModels = BTreeMap<String, wire::RoleModelInfo>;

fn maps(parties: &[PartyPart]) -> (Roles, PartyModels) {
    let mut roles = Roles::new();
    let mut models = PartyModels::new();
    for party in parties {
        let ids = &mut roles.entry(party.role.clone()).or_default().party_id;
        ids.push(party.party_id.clone());
        let key = wire::ModelInfo {
            table_name: party.key.table_name.clone(),
            namespace: party.key.namespace.clone(),
        };
        let of_role = &mut models
            .entry(party.role.clone())
            .or_default()
            .role_model_info;
        of_role.insert(party.party_id.clone(), key);
    }
    (roles, models)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn parts() -> Vec<PartyPart> {
        let model_id = "arbiter-10000#guest-9999#host-10000#model";
        [("guest", "9999"), ("host", "10000"), ("arbiter", "10000")]
            .map(|(role, party_id)| PartyPart {
                role: role.to_owned(),
                party_id: party_id.to_owned(),
                key: ModelKey::new(
                    "2020080416153238910324",
                    format!("{role}#{party_id}#{model_id}"),
                ),
            })
            .to_vec()
    }

    /// The sizes that FATE-Flow's own requests have (contract 03 §8.2, §8.3); map entries come in any order.
    #[test]
    fn requests_are_as_long_as_those_of_fate_flow() {
        let parts = parts();
        let url = "http://127.0.0.1:37380/v1/model/transfer".to_owned();
        let flow = load(&parts, &parts[0], LoadFrom::flow(url));
        assert_eq!(flow.encoded_len(), 424);
        let nowhere = load(&parts, &parts[0], LoadFrom::flow(String::new()));
        assert_eq!(nowhere.encoded_len(), 382);
        assert_eq!(bind(&parts, &parts[0], "lr-test").encoded_len(), 177);
    }
}
