//! `CommonService`: metrics, flow rules, properties, process figures, health (contract 04 A.9).

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_edge::admission::refusal;
use fate_edge::common_service::{failed, query_metrics, update_flow_rule, with_data, with_message};
use fate_edge::managed::{ManagedEntry, managed};
use fate_proto::common_service::common_service_server::CommonService;
use fate_proto::common_service::{
    CommonResponse, HealthCheckRequest, MetricType, QueryJvmInfoRequest, QueryMetricRequest,
    QueryPropsRequest, UpdateConfigRequest, UpdateFlowRuleRequest, UpdateServiceRequest,
};
use fate_registry::Update;
use tonic::{Request, Response, Status};

use super::Edge;
use crate::health_check;
use crate::node::{Node, blocking};

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
        let work = async { metrics(&self.node, &request) };
        self.answer(entry("I_QUERY_METRICS", "queryMetrics"), work)
            .await
    }

    async fn update_flow_rule(&self, request: Request<UpdateFlowRuleRequest>) -> Answer {
        self.administrators_only(&request)?;
        let work = update_flow_rule(Arc::clone(&self.node.flow), request.into_inner());
        self.answer(entry("I_UPDATE_FLOW_RULE", "updateFlowRule"), work)
            .await
    }

    async fn list_props(&self, request: Request<QueryPropsRequest>) -> Answer {
        let keyword = request.into_inner().keyword;
        let node = &self.node;
        let work = async {
            let listed = node.config().listed(&keyword, &node.table_text());
            Ok(CommonResponse {
                message: "success".to_owned(),
                ..with_data(&listed)?
            })
        };
        self.answer(entry("I_LIST_PROPS", "listProps"), work).await
    }

    async fn query_jvm_info(&self, _: Request<QueryJvmInfoRequest>) -> Answer {
        let work = async { with_data(&self.node.process.all()) };
        self.answer(entry("I_QUERY_JVM", "queryJvmInfo"), work)
            .await
    }

    async fn update_service(&self, request: Request<UpdateServiceRequest>) -> Answer {
        self.administrators_only(&request)?;
        let request = request.into_inner();
        let work = async { update_service(&self.node, &request) };
        self.answer(entry("I_UPDATE_SERVICE", "updateService"), work)
            .await
    }

    async fn update_config(&self, request: Request<UpdateConfigRequest>) -> Answer {
        self.administrators_only(&request)?;
        let UpdateConfigRequest { file_path, data } = request.into_inner();
        let editor = self.node.editor.clone();
        let work = blocking(move || {
            editor.update_config(&file_path, &data)?;
            Ok(with_message("success"))
        });
        self.answer(entry("I_UPDATE_CONFIG", "updateConfig"), work)
            .await
    }

    async fn check_health_service(&self, _: Request<HealthCheckRequest>) -> Answer {
        let work = health(&self.node);
        self.answer(entry("I_CHECK_HEALTH", "checkHealthService"), work)
            .await
    }
}

impl Edge {
    async fn answer(
        &self,
        entry: ManagedEntry,
        work: impl Future<Output = Result<CommonResponse, Fault>>,
    ) -> Answer {
        let node = &self.node;
        let gate = &node.gates.management;
        let outcome = managed(gate, &node.flow, &node.flow_log, entry, work).await;
        Ok(Response::new(outcome.unwrap_or_else(failed)))
    }
}

/// There are no models here.
fn metrics(node: &Node, request: &QueryMetricRequest) -> Result<CommonResponse, Fault> {
    if request.r#type == MetricType::Model as i32 {
        return Err(system("find model metric error"));
    }
    query_metrics(&node.metrics, request)
}

/// As the server's: weight −1 leaves the weight, the version is not looked at (contract 03 §2.6).
fn update_service(node: &Node, request: &UpdateServiceRequest) -> Result<CommonResponse, Fault> {
    let Some(registry) = &node.registry else {
        return Err(system("there is no service registry: useZkRouter=false"));
    };
    let mode = Some(request.router_mode.as_str()).filter(|mode| !mode.trim().is_empty());
    let weight = Some(request.weight).filter(|weight| *weight != -1);
    if weight.is_some_and(|weight| weight < 0) {
        return Err(system(&format!("weight {} is negative", request.weight)));
    }
    match registry.update_service(&request.url, mode, weight) {
        Ok(Update::Replaced(_)) => Ok(with_message("success")),
        Ok(Update::NoChange) => Ok(with_message("no change")),
        Ok(Update::NoNode) => Err(Fault::new(ReturnCode::UNREGISTER, "no node")),
        Err(error) => Err(system(&error.to_string())),
    }
}

async fn health(node: &Node) -> Result<CommonResponse, Fault> {
    if !node.config().health_check {
        return Err(system(
            "health checks are switched off: health.check.allow=false",
        ));
    }
    let place = node.gates.health_checks.try_enter();
    let _place = place.map_err(|refused| refusal(refused, "commonService"))?;
    with_data(&health_check::check(node).await)
}

fn system(text: &str) -> Fault {
    Fault::new(ReturnCode::SYSTEM, text)
}
