//! Loading and binding a set as FATE-Flow does it: publishLoad at every party, publishBind at the guest
//! (contract 01 §3.2).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use anyhow::Context as _;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_golden::{Party, Set};
use fate_server::config::Address;

use super::Cluster;
use crate::publishing::requests::{self, LoadFrom, PartyPart};
use crate::publishing::serving::{Said, Serving};

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
        let from = LoadFrom::flow(self.transfer_url.clone());
        let request = requests::load(&parts(set), &part(party), from);
        let said = self.serving(party).await?.load(request).await;
        let said = said.with_context(|| name_of(party))?;
        Ok(refusal("publishLoad", party, &said).map_or(Ok(()), Err))
    }

    /// Binds the guest's model; the service id.
    pub(crate) async fn bind(&self, set: &Set) -> Answered<String> {
        let id = service_id(&set.name);
        let guest = set.guest();
        let request = requests::bind(&parts(set), &part(guest), &id);
        let said = self.serving(guest).await?.bind(request).await;
        let said = said.with_context(|| name_of(guest))?;
        Ok(refusal("publishBind", guest, &said).map_or(Ok(id), Err))
    }

    async fn serving(&self, party: &Party) -> anyhow::Result<Serving> {
        let address = match party.role {
            Role::Guest => &self.guest,
            _ => self
                .hosts
                .get(&party.party_id)
                .with_context(|| format!("no server for {}", name_of(party)))?,
        };
        Serving::connect(address, TIMEOUT).await
    }
}

fn name_of(party: &Party) -> String {
    format!("{} {}", party.role, party.party_id)
}

fn refusal(call: &str, party: &Party, said: &Said) -> Option<String> {
    (said.code != 0).then(|| {
        format!(
            "{call} at {}: {} {}",
            name_of(party),
            said.code,
            said.message
        )
    })
}

/// `? : / &` are not allowed in a service id; a directory's name may have them.
pub(super) fn service_id(set: &str) -> String {
    set.replace(['?', ':', '/', '&'], "_")
}

/// The parties as requests name them.
fn parts(set: &Set) -> Vec<PartyPart> {
    set.parties.iter().map(part).collect()
}

fn part(party: &Party) -> PartyPart {
    PartyPart {
        role: party.role.to_string(),
        party_id: party.party_id.clone(),
        key: key_of(party),
    }
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
