//! `ModelService`: load, bind, unload, unbind, query, synchronise (contract 01 §1.7, §3).

use std::sync::Arc;

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use fate_edge::managed::ManagedEntry;
use fate_model::{LoadedModel, Published};
use fate_proto::model::model_service_server::ModelService;
use fate_proto::model::{
    FetchModelRequest, FetchModelResponse, ModelInfoEx, ModelTransferRequest,
    ModelTransferResponse, PublishRequest, PublishResponse, QueryModelRequest, QueryModelResponse,
    UnbindRequest, UnbindResponse, UnloadRequest, UnloadResponse,
};
use tonic::{Request, Response, Status};

use super::Edge;
use super::model_content::{self, Details};
use crate::node::Node;
use crate::peer;

const fn entry(resource: &'static str, method: &'static str) -> ManagedEntry {
    ManagedEntry {
        resource,
        service: "modelService",
        method,
    }
}

const BIND: ManagedEntry = entry("I_MODEL_PUBLISH_ONLINE", "bind");

#[tonic::async_trait]
impl ModelService for Edge {
    async fn publish_load(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let request = request.into_inner();
        let work = load(&self.node, &request);
        let outcome = self.managed(entry("I_MODEL_LOAD", "load"), work).await;
        Ok(Response::new(published(
            outcome.map(|model| model.summary()),
        )))
    }

    async fn publish_bind(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        let request = request.into_inner();
        let outcome = self.managed(BIND, self.node.models.bind(&request)).await;
        Ok(Response::new(published(outcome.map(|()| String::new()))))
    }

    async fn publish_online(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        self.publish_bind(request).await
    }

    async fn query_model(
        &self,
        request: Request<QueryModelRequest>,
    ) -> Result<Response<QueryModelResponse>, Status> {
        let request = request.into_inner();
        let work = async { Ok(query(&self.node, &request)) };
        let outcome = self
            .managed(entry("I_QUERY_MODEL", "queryModel"), work)
            .await;
        Ok(Response::new(match outcome {
            Ok(model_infos) => QueryModelResponse {
                model_infos,
                ..QueryModelResponse::default()
            },
            Err(fault) => QueryModelResponse {
                retcode: fault.code.0,
                message: fault.message,
                ..QueryModelResponse::default()
            },
        }))
    }

    async fn unload(
        &self,
        request: Request<UnloadRequest>,
    ) -> Result<Response<UnloadResponse>, Status> {
        let request = request.into_inner();
        let key = ModelKey::new(request.table_name, request.namespace);
        let work = unload(&self.node, &key);
        let outcome = self.managed(entry("I_UNLOAD", "unload"), work).await;
        let (status_code, message) = status_of(outcome);
        Ok(Response::new(UnloadResponse {
            status_code,
            message,
        }))
    }

    async fn unbind(
        &self,
        request: Request<UnbindRequest>,
    ) -> Result<Response<UnbindResponse>, Status> {
        let request = request.into_inner();
        let key = ModelKey::new(request.table_name, request.namespace);
        let work = unbind(&self.node, &key, &request.service_ids);
        let outcome = self.managed(entry("I_UNBIND", "unbind"), work).await;
        let (status_code, message) = status_of(outcome);
        Ok(Response::new(UnbindResponse {
            status_code,
            message,
        }))
    }

    async fn fetch_model(
        &self,
        request: Request<FetchModelRequest>,
    ) -> Result<Response<FetchModelResponse>, Status> {
        let request = request.into_inner();
        let work = fetch(&self.node, &request);
        let outcome = self
            .managed(entry("I_FETCH_MODEL", "fetchModel"), work)
            .await;
        let (status_code, message) = match outcome {
            Ok(()) => (0, "success".to_owned()),
            Err(fault) => (fault.code.0, fault.message),
        };
        Ok(Response::new(FetchModelResponse {
            status_code,
            message,
        }))
    }

    async fn model_transfer(
        &self,
        request: Request<ModelTransferRequest>,
    ) -> Result<Response<ModelTransferResponse>, Status> {
        let request = request.into_inner();
        let work = transfer(&self.node, &request);
        let outcome = self
            .managed(entry("I_MODEL_TRANSFER", "modelTransfer"), work)
            .await;
        Ok(Response::new(outcome.unwrap_or_else(|fault| {
            ModelTransferResponse {
                status_code: fault.code.0,
                message: fault.message,
                ..ModelTransferResponse::default()
            }
        })))
    }
}

impl Edge {
    async fn managed<T>(
        &self,
        entry: ManagedEntry,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        self.node.manage(&self.node.gates.models, entry, work).await
    }
}

/// A request that names no source is led to FATE-Flow by the registry (contract 03 §6.2).
async fn load(node: &Node, request: &PublishRequest) -> Result<Arc<LoadedModel>, Fault> {
    let names_none = matches!(request.load_type.as_str(), "" | "FATEFLOW")
        && request.file_path.trim().is_empty();
    let known = match &node.registration {
        Some(registration) if names_none => registration.transfer_addresses().await,
        _ => Vec::new(),
    };
    node.models.load_knowing(request, &known).await
}

/// `data` is the JSON of an empty map, on errors as well. FATE-Flow judges by the status code alone and shows the text of
/// failures only (contract 03 §5.3), so that a load's text may tell the verdict.
fn published(outcome: Result<String, Fault>) -> PublishResponse {
    let (status_code, message) = match outcome {
        Ok(text) => (0, text),
        Err(fault) => (fault.code.0, fault.message),
    };
    PublishResponse {
        status_code,
        message,
        data: Bytes::from_static(b"{}"),
        ..PublishResponse::default()
    }
}

fn status_of(outcome: Result<(), Fault>) -> (i32, String) {
    match outcome {
        Ok(()) => (0, String::new()),
        Err(fault) => (fault.code.0, fault.message),
    }
}

/// The registry leads nobody to the model any more before it goes.
async fn unload(node: &Node, key: &ModelKey) -> Result<(), Fault> {
    let _leaving = match &node.registration {
        Some(registration) => Some(registration.leave_model(key).await),
        None => None,
    };
    node.models.unload(key).await
}

async fn unbind(node: &Node, key: &ModelKey, service_ids: &[String]) -> Result<(), Fault> {
    let _leaving = match &node.registration {
        Some(registration) => Some(registration.leave_services(key, service_ids).await),
        None => None,
    };
    node.models.unbind(key, service_ids).await
}

fn query(node: &Node, request: &QueryModelRequest) -> Vec<ModelInfoEx> {
    let published = node.models.snapshot();
    let mut selected = selected(&published, request);
    selected.sort_by(|a, b| a.key.cmp(&b.key));
    let with_nodes = request.query_type == 0;
    selected
        .iter()
        .zip(0..)
        .map(|(model, index)| {
            let details = Details {
                index,
                allow_qps: node.flow.limit(&model.key.resource_name()),
                with_nodes,
            };
            model_content::describe(model, &published, details)
        })
        .collect()
}

fn selected(published: &Published, request: &QueryModelRequest) -> Vec<Arc<LoadedModel>> {
    match request.query_type {
        0 => published.models().cloned().collect(),
        1 => bound_like(published, &request.service_id),
        2 => {
            let key = ModelKey::new(request.table_name.as_str(), request.namespace.as_str());
            published.model(&key).cloned().into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Models with a service id that contains the text, in any case; an empty text matches every bound model.
fn bound_like(published: &Published, part: &str) -> Vec<Arc<LoadedModel>> {
    let part = part.to_lowercase();
    published
        .models()
        .filter(|model| {
            let ids = published.service_ids(&model.key);
            ids.iter().any(|id| id.to_lowercase().contains(&part))
        })
        .cloned()
        .collect()
}

/// This server takes a model from another one (contract 01 §3.8).
async fn fetch(node: &Node, request: &FetchModelRequest) -> Result<(), Fault> {
    synchronization_allowed(node)?;
    let source = peer::dotted_address(&request.source_ip, request.source_port)?;
    let key = ModelKey::checked(request.table_name.as_str(), request.namespace.as_str())?;
    let limit = peer::transfer_limit(node.config().max_model_bytes);
    let answer = peer::model_transfer(&source, &key, limit, node.config().grpc_timeout).await?;
    node.models
        .import(&key, &answer.model_data, &answer.cache_data)
        .await
}

/// This server gives a model to another one.
async fn transfer(
    node: &Node,
    request: &ModelTransferRequest,
) -> Result<ModelTransferResponse, Fault> {
    synchronization_allowed(node)?;
    let key = ModelKey::new(request.table_name.as_str(), request.namespace.as_str());
    let export = node.models.export(&key).await?;
    Ok(ModelTransferResponse {
        status_code: 0,
        message: "success".to_owned(),
        model_data: export.model_json.into(),
        cache_data: export.cache.into(),
    })
}

fn synchronization_allowed(node: &Node) -> Result<(), Fault> {
    if node.config().synchronize {
        return Ok(());
    }
    Err(Fault::new(
        ReturnCode::MODEL_SYNC,
        "no synchronization allowed, to use this function, please configure model.synchronize=true",
    ))
}
