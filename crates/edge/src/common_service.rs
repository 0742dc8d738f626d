//! The parts of `CommonService` that every role has (contract 01 §1.8, 04 A.9). Each role implements the service itself.

use std::sync::Arc;

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_proto::common_service::{
    CommonResponse, MetricType, QueryMetricRequest, UpdateFlowRuleRequest,
};
use serde::Serialize;

use crate::flow::{FlowControl, Metrics, Samples};

/// `queryMetrics`: samples of one resource, or of all interfaces.
pub fn query_metrics(
    metrics: &Metrics,
    request: &QueryMetricRequest,
) -> Result<CommonResponse, Fault> {
    let (begin, end, source) = (request.begin_ms, request.end_ms, request.source.as_str());
    let is_model = request.r#type == MetricType::Model as i32;
    let samples = if is_model {
        metrics.of_source("M_", source, begin, end)
    } else if source.trim().is_empty() {
        metrics.interfaces_since(begin)
    } else {
        metrics.of_source("I_", source, begin, end)
    };
    match samples {
        Samples::NoneSince => Ok(CommonResponse::default()),
        Samples::Found(nodes) => with_data(&nodes),
    }
}

/// `updateFlowRule`: effective at once and stored.
pub async fn update_flow_rule(
    flow: Arc<FlowControl>,
    request: UpdateFlowRuleRequest,
) -> Result<CommonResponse, Fault> {
    let UpdateFlowRuleRequest { source, allow_qps } = request;
    // Storing the rule syncs a file.
    tokio::task::spawn_blocking(move || flow.set_limit(&source, allow_qps))
        .await
        .map_err(|error| Fault::new(ReturnCode::SYSTEM, error.to_string()))??;
    Ok(with_message("success"))
}

/// Failures are told in the answer's status code, never as a gRPC status.
pub fn failed(fault: Fault) -> CommonResponse {
    CommonResponse {
        status_code: fault.code.0,
        message: fault.message,
        ..CommonResponse::default()
    }
}

/// A success with a text.
pub fn with_message(message: &str) -> CommonResponse {
    CommonResponse {
        message: message.to_owned(),
        ..CommonResponse::default()
    }
}

/// A success with JSON.
pub fn with_data(data: &impl Serialize) -> Result<CommonResponse, Fault> {
    let data = serde_json::to_vec(data)
        .map_err(|error| Fault::new(ReturnCode::SYSTEM, error.to_string()))?;
    Ok(CommonResponse {
        data: Bytes::from(data),
        ..CommonResponse::default()
    })
}
