//! `CommonService`: metrics, flow rules, properties, process figures, health (contract 01 §1.8).

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_edge::common_service::{failed, query_metrics, update_flow_rule, with_data};
use fate_edge::managed::ManagedEntry;
use fate_proto::common_service::common_service_server::CommonService;
use fate_proto::common_service::{
    CommonResponse, HealthCheckRequest, QueryJvmInfoRequest, QueryMetricRequest, QueryPropsRequest,
    UpdateConfigRequest, UpdateFlowRuleRequest, UpdateServiceRequest,
};
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
        let work = async { with_data(&node.config.listed(&keyword, node.grpc_port)) };
        self.answer(entry("I_LIST_PROPS", "listProps"), work).await
    }

    async fn query_jvm_info(&self, _: Request<QueryJvmInfoRequest>) -> Answer {
        let work = async { with_data(&self.node.process.all()) };
        self.answer(entry("I_QUERY_JVM", "listJvmMem"), work).await
    }

    async fn update_service(&self, _: Request<UpdateServiceRequest>) -> Answer {
        let work = async {
            Err(Fault::new(
                ReturnCode::SYSTEM,
                "there is no service registry in this version: weights and router modes cannot be changed",
            ))
        };
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

async fn health(node: &Node) -> Result<CommonResponse, Fault> {
    if !node.config.health_check {
        return Err(Fault::new(
            ReturnCode::SYSTEM,
            "health checks are switched off: health.check.allow=false",
        ));
    }
    let has_models = node.models.snapshot().models().next().is_some();
    with_data(&health_check::check(&node.config, has_models).await)
}
