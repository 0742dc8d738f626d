//! What a `PublishRequest` asks for: who we are, who the others are, which model (contract 01 §3.2 to §3.4).

use std::collections::BTreeSet;

use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_domain::return_code::ReturnCode;
use fate_inference::Refusal;
use fate_proto::model::PublishRequest;

use crate::published::Remote;

/// FATE ids are short; anything longer is not a service id but an attack on the registry's path names.
const MAX_SERVICE_ID_BYTES: usize = 1024;

/// Parties of the other role. Every one of them costs a call in each inference.
const MAX_REMOTES: usize = 64;

/// The identity of the model a load request publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadTarget {
    pub(crate) key: ModelKey,
    pub(crate) role: Role,
    pub(crate) party_id: String,
    pub(crate) remotes: Vec<Remote>,
    /// The request has no word about the other side: only a guest's model that needs no host may be loaded so.
    pub(crate) is_alone: bool,
}

/// Contract 01 §3.3 steps 1 to 3. A missing entry is 110, as in Java, but with a text. Homogeneous models, which Java does
/// not know, have no host to name.
pub(crate) fn load_target(request: &PublishRequest) -> Result<LoadTarget, Fault> {
    let (role, party_id) = local(request);
    let is_alone = role == Role::Guest && !request.role.contains_key(Role::Host.as_str());
    let remotes = if is_alone {
        Vec::new()
    } else {
        remotes(request, other_side(role))?
    };
    let key =
        model_of(request, role, &party_id).ok_or_else(|| system("model info is invalid"))??;
    Ok(LoadTarget {
        key,
        role,
        party_id,
        remotes,
        is_alone,
    })
}

/// The answer to a guest's load without hosts when the model cannot be served so.
pub(crate) fn names_no_host(cause: &Refusal) -> Fault {
    system(format!(
        "the request names no host party: role.host is missing ({cause})"
    ))
}

/// Contract 01 §3.4 steps 1 and 2: the service id and the model it shall lead to. The local party's model, or else, as
/// in Java, that of the first party of the role.
pub(crate) fn bind_target(request: &PublishRequest) -> Result<(String, ModelKey), Fault> {
    check_service_id(&request.service_id)?;
    let (role, party_id) = local(request);
    if let Some(key) = model_of(request, role, &party_id) {
        return Ok((request.service_id.clone(), key?));
    }
    let first = request
        .role
        .get(&role.to_string())
        .and_then(|party| party.party_id.first());
    let key = first
        .and_then(|party_id| model_of(request, role, party_id))
        .ok_or_else(|| {
            system(format!(
                "model info is invalid: the request names no model of {role} {party_id}"
            ))
        })??;
    Ok((request.service_id.clone(), key))
}

/// The characters Java refuses, and what could not become a name in the registry.
pub(crate) fn check_service_id(service_id: &str) -> Result<(), Fault> {
    if service_id.trim().is_empty() {
        return Err(system("param service id is blank"));
    }
    if service_id.contains(['?', ':', '/', '&']) {
        return Err(system(
            r#"Service id contains special characters, ["?",":","/","&"]"#,
        ));
    }
    if service_id.chars().any(char::is_control) {
        return Err(system("service id contains control characters"));
    }
    if matches!(service_id, "." | "..") {
        return Err(system("service id must not be \".\" or \"..\""));
    }
    if service_id.len() > MAX_SERVICE_ID_BYTES {
        return Err(system(format!(
            "service id is longer than {MAX_SERVICE_ID_BYTES} bytes"
        )));
    }
    Ok(())
}

/// Anything but `guest` is a host (contract 01 §3.1).
pub(crate) fn role_of(text: &str) -> Role {
    if text == "guest" {
        Role::Guest
    } else {
        Role::Host
    }
}

pub(crate) fn other_side(role: Role) -> Role {
    if role == Role::Guest {
        Role::Host
    } else {
        Role::Guest
    }
}

fn local(request: &PublishRequest) -> (Role, String) {
    match &request.local {
        Some(local) => (role_of(&local.role), local.party_id.clone()),
        None => (Role::Host, String::new()),
    }
}

fn remotes(request: &PublishRequest, role: Role) -> Result<Vec<Remote>, Fault> {
    let parties = request.role.get(role.as_str()).ok_or_else(|| {
        system(format!(
            "the request names no {role} party: role.{role} is missing"
        ))
    })?;
    let party_ids: BTreeSet<&String> = parties.party_id.iter().collect();
    if party_ids.len() > MAX_REMOTES {
        return Err(system(format!(
            "the request names {} {role} parties, more than {MAX_REMOTES}",
            party_ids.len()
        )));
    }
    let mut known = BTreeSet::new();
    let mut remotes: Vec<Remote> = Vec::with_capacity(party_ids.len());
    for party_id in parties.party_id.iter().filter(|id| known.insert(*id)) {
        let key = model_of(request, role, party_id).ok_or_else(|| {
            system(format!(
                "model info is invalid: the request names no model of {role} {party_id}"
            ))
        })??;
        remotes.push(Remote {
            party_id: party_id.clone(),
            role,
            key,
        });
    }
    Ok(remotes)
}

fn model_of(
    request: &PublishRequest,
    role: Role,
    party_id: &str,
) -> Option<Result<ModelKey, Fault>> {
    let info = request
        .model
        .get(&role.to_string())?
        .role_model_info
        .get(party_id)?;
    Some(ModelKey::checked(&info.table_name, &info.namespace))
}

fn system(message: impl Into<String>) -> Fault {
    Fault::new(ReturnCode::SYSTEM, message)
}
