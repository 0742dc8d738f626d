//! `sync.on.start`: before a node takes calls it copies the models and bindings that its peers hold, other nodes of the
//! same party (contract 01 §3.8). A new node then needs no load of its own.
//!
//! Nothing here keeps a node from starting: what a peer does not give is said in the log, and the node serves what it has.

use std::time::Duration;

use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_edge::config::Address;
use fate_model::{Binding, LoadedModel, Models};
use fate_proto::model::{LocalInfo, ModelInfo, ModelInfoEx, Party, PublishRequest, RoleModelInfo};
use fate_registry::{Provider, ZooKeeperSettings, tree};

use crate::config::Config;
use crate::peer;

/// However many models there are, a node must start.
const PATIENCE: Duration = Duration::from_secs(300);

const REGISTRY_PATIENCE: Duration = Duration::from_secs(10);

/// What a start copied.
#[derive(Debug, Default)]
struct Copied {
    models: usize,
    bindings: usize,
    failures: usize,
}

/// Copies from every peer in turn what is not here yet.
pub(crate) async fn copy_from_peers(models: &Models, config: &Config) {
    let mut copied = Copied::default();
    let all = async {
        for peer in peers(config).await {
            if let Err(fault) = copy_from(&peer, models, config, &mut copied).await {
                copied.failures += 1;
                tracing::warn!(%peer, "no models were copied from a peer: {fault}");
            }
        }
    };
    let is_complete = tokio::time::timeout(PATIENCE, all).await.is_ok();
    if !is_complete {
        tracing::warn!(
            ?PATIENCE,
            "copying from peers takes too long; the node starts with what it has"
        );
    }
    let Copied {
        models,
        bindings,
        failures,
    } = copied;
    tracing::info!(models, bindings, failures, "models copied from peers");
}

/// The operator's list, or every server in the registry. This node is in neither yet: what a life before left there is
/// refused at once, as the port is not open.
async fn peers(config: &Config) -> Vec<Address> {
    let registry = match &config.registry {
        Some(registry) if config.sync_peers.is_empty() => registry,
        _ => return config.sync_peers.clone(),
    };
    let settings = ZooKeeperSettings {
        login: registry.login.clone(),
        ..ZooKeeperSettings::new(registry.addresses.clone(), "serving")
    };
    let tree = match tokio::time::timeout(REGISTRY_PATIENCE, tree::read(&settings)).await {
        Ok(Ok(tree)) => tree,
        Ok(Err(cause)) => {
            tracing::warn!("no peers are known: {cause}");
            return Vec::new();
        }
        Err(_) => {
            tracing::warn!(
                "no peers are known: ZooKeeper at {} is too late",
                settings.addresses
            );
            return Vec::new();
        }
    };
    let gives_models = |leaf: &&tree::Leaf| {
        (leaf.project.as_str(), leaf.service.as_str()) == ("serving", "modelTransfer")
    };
    tree.leaves
        .iter()
        .filter(gives_models)
        .filter_map(|leaf| Provider::read(&leaf.text, &leaf.service))
        .filter_map(|provider| provider.authority().parse().ok())
        .collect()
}

async fn copy_from(
    peer: &Address,
    models: &Models,
    config: &Config,
    copied: &mut Copied,
) -> Result<(), Fault> {
    for held in peer::query_models(peer, config.grpc_timeout).await? {
        let key = ModelKey::new(held.table_name.as_str(), held.namespace.as_str());
        let known = models.snapshot().model(&key).cloned();
        let done = match known {
            Some(model) => bind_missing(models, &model, &held, copied).await,
            None => copy_model(peer, models, config, &key, &held, copied).await,
        };
        if let Err(fault) = done {
            copied.failures += 1;
            tracing::warn!(%peer, model = key.store_name(), "a model was not copied: {fault}");
        }
    }
    Ok(())
}

async fn copy_model(
    peer: &Address,
    models: &Models,
    config: &Config,
    key: &ModelKey,
    held: &ModelInfoEx,
    copied: &mut Copied,
) -> Result<(), Fault> {
    let key = ModelKey::checked(key.table_name.as_str(), key.namespace.as_str())?;
    let limit = peer::transfer_limit(config.max_model_bytes);
    let given = peer::model_transfer(peer, &key, limit, config.transfer_timeout).await?;
    models
        .import(&key, &given.model_data, &given.cache_data)
        .await?;
    copied.models += 1;
    copied.bindings += held.service_ids.len();
    tracing::info!(%peer, model = key.store_name(), "model copied");
    Ok(())
}

/// A model that was restored may have got service ids while this node was away. Those that lead elsewhere here stay.
async fn bind_missing(
    models: &Models,
    model: &LoadedModel,
    held: &ModelInfoEx,
    copied: &mut Copied,
) -> Result<(), Fault> {
    if model.role != Role::Guest {
        return Ok(());
    }
    for service_id in &held.service_ids {
        if matches!(models.snapshot().bound(service_id), Binding::NotBound) {
            models.bind(&bind_request(model, service_id)).await?;
            copied.bindings += 1;
        }
    }
    Ok(())
}

fn bind_request(model: &LoadedModel, service_id: &str) -> PublishRequest {
    let role = model.role.to_string();
    let party_id = model.party_id.clone();
    let info = ModelInfo {
        table_name: model.key.table_name.clone(),
        namespace: model.key.namespace.clone(),
    };
    let party = Party {
        party_id: vec![party_id.clone()],
    };
    let of_role = RoleModelInfo {
        role_model_info: [(party_id.clone(), info)].into_iter().collect(),
    };
    PublishRequest {
        local: Some(LocalInfo {
            role: role.clone(),
            party_id,
        }),
        role: [(role.clone(), party)].into_iter().collect(),
        model: [(role, of_role)].into_iter().collect(),
        service_id: service_id.to_owned(),
        ..PublishRequest::default()
    }
}
