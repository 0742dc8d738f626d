//! `CommonService`: metrics, flow rules, properties, process figures, health (contract 01 §1.8).

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_edge::common_service::{failed, query_metrics, update_flow_rule, with_data, with_message};
use fate_edge::managed::ManagedEntry;
use fate_proto::common_service::common_service_server::CommonService;
use fate_proto::common_service::{
    CommonResponse, HealthCheckRequest, QueryJvmInfoRequest, QueryMetricRequest, QueryPropsRequest,
    UpdateConfigRequest, UpdateFlowRuleRequest, UpdateServiceRequest,
};
use fate_registry::Update;
use tonic::{Request, Response, Status};

use super::Edge;
use crate::health_check;
use crate::node::Node;

type Answer = Result<Response<CommonResponse>, Status>;

const fn entry(resource: &'static str, method: &'static str) -> ManagedEntry {
    ManagedEntry {
        resource,
        service: "commonService",
        method,
    }
}

#[tonic::async_trait]
impl CommonService for Edge {
    async fn query_metrics(&self, request: Request<QueryMetricRequest>) -> Answer {
        let request = request.into_inner();
        let work = async { query_metrics(&self.node.metrics, &request) };
        self.answer(entry("I_QUERY_METRICS", "queryMetrics"), work)
            .await
    }

    async fn update_flow_rule(&self, request: Request<UpdateFlowRuleRequest>) -> Answer {
        let work = update_flow_rule(Arc::clone(&self.node.flow), request.into_inner());
        self.answer(entry("I_UPDATE_FLOW_RULE", "updateFlowRule"), work)
            .await
    }

    async fn list_props(&self, request: Request<QueryPropsRequest>) -> Answer {
        let keyword = request.into_inner().keyword;
        let node = &self.node;
        let work = async { with_data(&node.config().listed(&keyword, node.grpc_port)) };
        self.answer(entry("I_LIST_PROPS", "listProps"), work).await
    }

    async fn query_jvm_info(&self, _: Request<QueryJvmInfoRequest>) -> Answer {
        let work = async { with_data(&self.node.process.all()) };
        self.answer(entry("I_QUERY_JVM", "listJvmMem"), work).await
    }

    async fn update_service(&self, request: Request<UpdateServiceRequest>) -> Answer {
        let request = request.into_inner();
        let work = async { update_service(&self.node, &request) };
        self.answer(entry("I_UPDATE_SERVICE", "updateService"), work)
            .await
    }

    async fn update_config(&self, _: Request<UpdateConfigRequest>) -> Answer {
        Err(Status::unimplemented(
            "Method com.webank.ai.fate.api.networking.common.CommonService/updateConfig is unimplemented",
        ))
    }

    async fn check_health_service(&self, _: Request<HealthCheckRequest>) -> Answer {
        let work = health(&self.node);
        self.answer(entry("I_CHECK_HEALTH", "checkHealthService"), work)
            .await
    }
}

impl Edge {
    /// Failures are told in the answer's status code, never as a gRPC status.
    async fn answer(
        &self,
        entry: ManagedEntry,
        work: impl Future<Output = Result<CommonResponse, Fault>>,
    ) -> Answer {
        let outcome = self.node.manage(&self.node.gates.common, entry, work).await;
        Ok(Response::new(outcome.unwrap_or_else(failed)))
    }
}

/// Weight −1 leaves the weight; an omitted one is 0, as in Java (contract 03 §2.6). The version is not looked at.
fn update_service(node: &Node, request: &UpdateServiceRequest) -> Result<CommonResponse, Fault> {
    let system = |text: String| Fault::new(ReturnCode::SYSTEM, text);
    let Some(registration) = &node.registration else {
        let text = "this server is not registered: weights and router modes cannot be changed";
        return Err(system(text.to_owned()));
    };
    let weight = Some(request.weight).filter(|&weight| weight != -1);
    if weight.is_some_and(|weight| weight < 0) {
        let text = format!("weight {} is negative", request.weight);
        return Err(system(text));
    }
    let updated = registration
        .registry
        .update_service(&request.url, Some(&request.router_mode), weight)
        .map_err(|error| system(error.to_string()))?;
    match updated {
        Update::NoChange => Ok(with_message("no change")),
        Update::Replaced(_) => Ok(with_message("success")),
        Update::NoNode => Err(Fault::new(ReturnCode::UNREGISTER, "no node")),
    }
}

async fn health(node: &Node) -> Result<CommonResponse, Fault> {
    if !node.config().health_check {
        return Err(Fault::new(
            ReturnCode::SYSTEM,
            "health checks are switched off: health.check.allow=false",
        ));
    }
    let has_models = node.models.snapshot().models().next().is_some();
    let registry = node.registration.as_ref().map(|one| &one.registry);
    with_data(&health_check::check(&node.config(), registry, has_models).await)
}
