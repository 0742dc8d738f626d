//! Loading and binding a set as FATE-Flow does it: publishLoad at every party, publishBind at the guest
//! (contract 01 §3.2).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use anyhow::Context as _;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_golden::{Party, Set};
use fate_proto::model as wire;
use fate_proto::model::model_service_client::ModelServiceClient;
use fate_server::config::Address;
use tonic::transport::Channel;

use super::Cluster;
use crate::client;

/// Compiling a large forest takes its time.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A set that can be asked.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    /// What requests carry as `serviceId`.
    pub(crate) id: String,
    /// What the hosts find the set's rows by.
    pub(crate) set: String,
    /// Kind of the guest's model, for example `binary logistic regression`.
    pub(crate) kind: String,
}

/// What became of a set.
#[derive(Debug)]
pub(crate) enum Publication {
    /// Loaded everywhere and bound.
    Served(Service),
    /// A server does not want its model; it says why.
    Refused(String),
}

/// The servers of a set's parties.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) guest: Address,
    /// By party id.
    pub(crate) hosts: BTreeMap<String, Address>,
    /// Where servers fetch models.
    pub(crate) transfer_url: String,
}

impl Cluster {
    /// Loads every party's model at its server, the guest's first, and binds the guest's to a service id. When that one
    /// scores alone, a homogeneous model, its hosts are left out.
    ///
    /// # Errors
    /// A server that cannot be reached. A refusal is no error.
    pub(crate) async fn publish(&self, set: &Set) -> anyhow::Result<Publication> {
        let hosts = self.hosts.iter();
        let publisher = Publisher {
            guest: self.guest.grpc_address(),
            hosts: hosts
                .map(|(party_id, host)| (party_id.clone(), host.grpc_address()))
                .collect(),
            transfer_url: self.transfer.url(),
        };
        for party in &set.parties {
            if party.role == Role::Host && !self.guest.needs_hosts(&key_of(set.guest())) {
                continue;
            }
            if let Err(refusal) = publisher.load(set, party).await? {
                return Ok(Publication::Refused(refusal));
            }
        }
        Ok(match publisher.bind(set).await? {
            Ok(id) => Publication::Served(Service {
                id,
                set: set.name.clone(),
                kind: self.guest.kind(&key_of(set.guest())).unwrap_or_default(),
            }),
            Err(refusal) => Publication::Refused(refusal),
        })
    }
}

/// What a server did, or what it has against it. An error is a server that cannot be reached.
type Answered<T> = anyhow::Result<Result<T, String>>;

impl Publisher {
    /// Loads a party's model at its server.
    pub(crate) async fn load(&self, set: &Set, party: &Party) -> Answered<()> {
        let request = load_request(set, party, self.transfer_url.clone());
        let answer = self.model_service(party).await?.publish_load(request).await;
        let answer = answer.with_context(|| format!("publishLoad at {}", name_of(party)))?;
        let refusal = refusal("publishLoad", party, &answer.into_inner());
        Ok(refusal.map_or(Ok(()), Err))
    }

    /// Binds the guest's model; the service id.
    pub(crate) async fn bind(&self, set: &Set) -> Answered<String> {
        let id = service_id(&set.name);
        let guest = set.guest();
        let request = bind_request(guest, &id);
        let answer = self.model_service(guest).await?.publish_bind(request).await;
        let answer = answer.with_context(|| format!("publishBind at {}", name_of(guest)))?;
        let refusal = refusal("publishBind", guest, &answer.into_inner());
        Ok(refusal.map_or(Ok(id), Err))
    }

    async fn model_service(&self, party: &Party) -> anyhow::Result<ModelServiceClient<Channel>> {
        let address = match party.role {
            Role::Guest => &self.guest,
            _ => self
                .hosts
                .get(&party.party_id)
                .with_context(|| format!("no server for {}", name_of(party)))?,
        };
        let channel = client::channel(address, TIMEOUT).await?;
        Ok(ModelServiceClient::new(channel))
    }
}

fn name_of(party: &Party) -> String {
    format!("{} {}", party.role, party.party_id)
}

fn refusal(call: &str, party: &Party, answer: &wire::PublishResponse) -> Option<String> {
    (answer.status_code != 0).then(|| {
        let party = name_of(party);
        format!(
            "{call} at {party}: {} {}",
            answer.status_code, answer.message
        )
    })
}

/// `? : / &` are not allowed in a service id; a directory's name may have them.
pub(super) fn service_id(set: &str) -> String {
    set.replace(['?', ':', '/', '&'], "_")
}

/// Every party gets the same request but for `local`.
fn load_request(set: &Set, party: &Party, url: String) -> wire::PublishRequest {
    let (role, model) = parties(&set.parties);
    wire::PublishRequest {
        local: Some(local(party)),
        role,
        model,
        load_type: "FATEFLOW".to_owned(),
        file_path: url,
        ..wire::PublishRequest::default()
    }
}

/// A bind names the initiator's part only.
fn bind_request(guest: &Party, service_id: &str) -> wire::PublishRequest {
    let (role, model) = parties(std::slice::from_ref(guest));
    wire::PublishRequest {
        local: Some(local(guest)),
        role,
        model,
        service_id: service_id.to_owned(),
        ..wire::PublishRequest::default()
    }
}

fn local(party: &Party) -> wire::LocalInfo {
    wire::LocalInfo {
        role: party.role.to_string(),
        party_id: party.party_id.clone(),
    }
}

type Roles = BTreeMap<String, wire::Party>;
type PartyModels = BTreeMap<String, wire::RoleModelInfo>;

fn parties(parties: &[Party]) -> (Roles, PartyModels) {
    let mut roles = Roles::new();
    let mut models = PartyModels::new();
    for party in parties {
        let role = party.role.to_string();
        let ids = &mut roles.entry(role.clone()).or_default().party_id;
        ids.push(party.party_id.clone());
        let ModelKey {
            table_name,
            namespace,
        } = key_of(party);
        let key = wire::ModelInfo {
            table_name,
            namespace,
        };
        let of_role = &mut models.entry(role).or_default().role_model_info;
        of_role.insert(party.party_id.clone(), key);
    }
    (roles, models)
}

/// What the party's model is published as: its own key, unless a server refuses names like it (a party id with a `/` is
/// part of the namespace). Scores do not depend on it.
pub(super) fn key_of(party: &Party) -> ModelKey {
    let key = &party.key;
    if ModelKey::checked(key.table_name.as_str(), key.namespace.as_str()).is_ok() {
        return key.clone();
    }
    let mut hash = DefaultHasher::new();
    key.hash(&mut hash);
    let name = format!("{:016x}", hash.finish());
    ModelKey::new(name.as_str(), format!("{}#{name}", party.role))
}
