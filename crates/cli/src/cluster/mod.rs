//! A guest and its hosts in this process, on free loopback ports, for golden sets: real servers, real loads, real
//! connections; only the rows of the hosts and FATE-Flow's transfer endpoint are ours.

mod node;
mod publish;
mod rows;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use fate_golden::Set;
use fate_inference::Semantics;
use fate_server::config::Address;

use node::{Node, Setting};
use rows::HostRows;

use crate::publishing::transfer_endpoint::{Models, TransferEndpoint};

pub(crate) use publish::{Publication, Publisher, Service};

/// How a cluster is set up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Of every model.
    pub(crate) semantics: Semantics,
    /// Whether hosts give their cells as JSON numbers where the text is one, instead of as texts.
    pub(crate) numbers: bool,
    /// Rows that guest and hosts take in a batch.
    pub(crate) batch_max: usize,
    /// Whether the guest listens for HTTP too.
    pub(crate) http: bool,
}

/// Running servers; dropping it stops them at once.
#[derive(Debug)]
pub(crate) struct Cluster {
    guest: Node,
    /// By party id.
    hosts: BTreeMap<String, Node>,
    transfer: TransferEndpoint,
}

impl Cluster {
    /// Starts one guest for all sets and one host for each host party id; nothing is loaded yet.
    ///
    /// # Errors
    /// Two sets that a node could not tell apart, or a server that does not start.
    pub(crate) async fn start(sets: &[Arc<Set>], options: Options) -> anyhow::Result<Cluster> {
        check_distinct(sets)?;
        let transfer = transfer_endpoint(sets)
            .await
            .context("the transfer endpoint cannot be started")?;
        let mut hosts = BTreeMap::new();
        let mut routes = BTreeMap::new();
        for (party_id, rows) in HostRows::of(sets, options.numbers) {
            let setting = Setting::host(options, rows);
            let host = Node::start(setting)
                .await
                .with_context(|| format!("host {party_id}"))?;
            routes.insert(party_id.clone(), host.grpc_address());
            hosts.insert(party_id, host);
        }
        let guest = Node::start(Setting::guest(options, routes))
            .await
            .context("guest")?;
        Ok(Cluster {
            guest,
            hosts,
            transfer,
        })
    }

    /// The guest's gRPC listener.
    pub(crate) fn grpc_address(&self) -> Address {
        self.guest.grpc_address()
    }

    /// The guest's HTTP listener, if the options asked for one.
    pub(crate) fn http_address(&self) -> Option<Address> {
        self.guest.http_address()
    }

    /// Drains the guest, then the hosts that it asks.
    pub(crate) async fn stop(self) {
        self.guest.stop().await;
        let mut stopping = tokio::task::JoinSet::new();
        for host in self.hosts.into_values() {
            stopping.spawn(host.stop());
        }
        while stopping.join_next().await.is_some() {}
    }
}

/// FATE-Flow's transfer endpoint with the models of all sets.
pub(crate) async fn transfer_endpoint(sets: &[Arc<Set>]) -> io::Result<TransferEndpoint> {
    let models: Models = sets
        .iter()
        .flat_map(|set| &set.parties)
        .map(|party| (publish::key_of(party), party.buffers.clone()))
        .collect();
    TransferEndpoint::start(Arc::new(models), (Ipv4Addr::LOCALHOST, 0).into()).await
}

/// Sets share the guest, and hosts share their party's server: names and model keys must tell them apart.
fn check_distinct(sets: &[Arc<Set>]) -> anyhow::Result<()> {
    let mut names = BTreeMap::new();
    let mut keys = BTreeMap::new();
    for set in sets {
        if let Some(other) = names.insert(publish::service_id(&set.name), &set.directory) {
            anyhow::bail!(
                "{} and {} have the same name in service ids",
                other.display(),
                set.directory.display()
            );
        }
        for party in &set.parties {
            if let Some(other) = keys.insert(publish::key_of(party).store_name(), &party.directory)
            {
                anyhow::bail!(
                    "{} and {} hold the same model: same table name and namespace",
                    other.display(),
                    party.directory.display()
                );
            }
        }
    }
    Ok(())
}

pub(crate) fn address_of(listener: SocketAddr) -> Address {
    Address {
        host: listener.ip().to_string(),
        port: listener.port(),
    }
}
