//! The controllers of the Java server (contract 01 §9.5).

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use fate_edge::config::Address;
use fate_edge::http::{change_package_level, change_system_level, json_response, spring_error};
use fate_edge::managed::ManagedEntry;
use fate_inference::Semantics;
use fate_proto::common_service::UpdateServiceRequest;
use fate_proto::model::{FetchModelRequest, UnbindRequest};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{Edge, receive};
use crate::answers;
use crate::node::Node;
use crate::peer;

/// Parameters of all calls; a call looks at its own. Java takes numbers in quotes as well, and the admin pages send them.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parameters {
    host: Option<String>,
    #[serde(deserialize_with = "integer")]
    port: Option<i32>,
    table_name: Option<String>,
    namespace: Option<String>,
    service_ids: Option<Vec<String>>,
    target_host: Option<String>,
    #[serde(deserialize_with = "integer")]
    target_port: Option<i32>,
    url: Option<String>,
    router_mode: Option<String>,
    #[serde(deserialize_with = "integer")]
    weight: Option<i32>,
    #[serde(deserialize_with = "integer")]
    version: Option<i64>,
    semantics: Option<String>,
}

fn integer<'de, D: Deserializer<'de>, T: TryFrom<i64>>(from: D) -> Result<Option<T>, D::Error> {
    let read = match Value::deserialize(from)? {
        Value::Null => return Ok(None),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse::<i64>().ok(),
        Value::Number(number) => number.as_i64(),
        _ => None,
    };
    match read.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(serde::de::Error::custom(
            "a number of another kind is expected",
        )),
    }
}

/// What a called server answered.
struct Outcome {
    code: i32,
    message: String,
}

const fn entry(resource: &'static str, method: &'static str) -> ManagedEntry {
    ManagedEntry {
        resource,
        service: "httpManagement",
        method,
    }
}

/// `POST /server/model/unbind`
pub(super) async fn unbind(State(node): Edge, headers: HeaderMap, body: Body) -> Response {
    let work = async |parameters: Parameters| {
        let request = UnbindRequest {
            table_name: required(parameters.table_name, "parameter tableName is blank")?,
            namespace: required(parameters.namespace, "parameter namespace is blank")?,
            service_ids: parameters
                .service_ids
                .filter(|ids| !ids.is_empty())
                .ok_or_else(|| invalid("parameter serviceId is blank"))?,
        };
        let server = address(parameters.host, parameters.port)?;
        let answer = peer::unbind(&server, request, node.config().grpc_timeout).await?;
        Ok(Outcome {
            code: answer.status_code,
            message: answer.message,
        })
    };
    let call = Call {
        entry: entry("I_HTTP_UNBIND", "unbind"),
        path: "/server/model/unbind",
    };
    call.answer(&node, &headers, body, work).await
}

/// `POST /server/model/transfer`: the target is told to fetch the model from `host`.
pub(super) async fn transfer(State(node): Edge, headers: HeaderMap, body: Body) -> Response {
    let work = async |parameters: Parameters| {
        let request = FetchModelRequest {
            table_name: required(parameters.table_name, "parameter tableName is blank")?,
            namespace: required(parameters.namespace, "parameter namespace is blank")?,
            source_ip: required(parameters.host, "parameter host is blank")?,
            source_port: parameters.port.unwrap_or(0),
            ..FetchModelRequest::default()
        };
        let target = address(parameters.target_host, parameters.target_port)?;
        let answer = peer::fetch_model(&target, request, node.config().grpc_timeout).await?;
        Ok(Outcome {
            code: answer.status_code,
            message: answer.message,
        })
    };
    let call = Call {
        entry: entry("I_HTTP_TRANSFER", "transfer"),
        path: "/server/model/transfer",
    };
    call.answer(&node, &headers, body, work).await
}

/// `POST /server/service/weight/update`
pub(super) async fn update_weight(State(node): Edge, headers: HeaderMap, body: Body) -> Response {
    let work = async |parameters: Parameters| {
        let request = UpdateServiceRequest {
            url: required(parameters.url, "parameter url is blank")?,
            router_mode: parameters.router_mode.unwrap_or_default(),
            weight: parameters.weight.unwrap_or(-1),
            version: parameters.version.unwrap_or(-1),
        };
        let server = address(parameters.host, parameters.port)?;
        let answer = peer::update_service(&server, request, node.config().grpc_timeout).await?;
        Ok(Outcome {
            code: answer.status_code,
            message: answer.message,
        })
    };
    let call = Call {
        entry: entry("I_HTTP_UPDATE_WEIGHT", "updateService"),
        path: "/server/service/weight/update",
    };
    call.answer(&node, &headers, body, work).await
}

/// `POST /server/model/semantics`, ours: gives a model of this server another semantics, durably.
pub(super) async fn semantics(State(node): Edge, headers: HeaderMap, body: Body) -> Response {
    let work = async |parameters: Parameters| {
        let (key, semantics) = new_semantics(parameters).map_err(bad_request)?;
        let change = node.models.set_semantics(&key, semantics).await;
        Ok(match change {
            Ok(change) => Outcome {
                code: 0,
                message: change.to_string(),
            },
            Err(fault) => Outcome {
                code: fault.code.0,
                message: fault.message,
            },
        })
    };
    let call = Call {
        entry: entry("I_HTTP_SEMANTICS", "semantics"),
        path: "/server/model/semantics",
    };
    call.answer(&node, &headers, body, work).await
}

fn new_semantics(parameters: Parameters) -> Result<(ModelKey, Semantics), Fault> {
    let key = ModelKey::new(
        required(parameters.table_name, "parameter tableName is blank")?,
        required(parameters.namespace, "parameter namespace is blank")?,
    );
    let semantics = required(parameters.semantics, "parameter semantics is blank")?;
    let semantics = semantics.parse().map_err(|cause: String| invalid(&cause))?;
    Ok((key, semantics))
}

struct Call {
    entry: ManagedEntry,
    path: &'static str,
}

impl Call {
    /// Invalid parameters and failures are Spring's 500 document, as the Java server gives it, but for those that are a
    /// [`bad_request`]; an answer of the called server is a `ReturnResult`, whatever its code.
    async fn answer(
        &self,
        node: &Node,
        headers: &HeaderMap,
        body: Body,
        work: impl AsyncFnOnce(Parameters) -> Result<Outcome, Fault>,
    ) -> Response {
        let received = match receive(node, self.entry.service, headers, body).await {
            Ok(received) => received,
            Err(fault) => return self.error(StatusCode::BAD_REQUEST, &fault.message),
        };
        let object = serde_json::from_slice::<Map<String, Value>>(&received.bytes);
        let parameters = object.and_then(|object| Parameters::deserialize(Value::Object(object)));
        let parameters = match parameters {
            Ok(parameters) => parameters,
            Err(error) => return self.error(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let outcome = node
            .manage(&node.gates.models, self.entry, work(parameters))
            .await;
        match outcome {
            Ok(Outcome { code, message }) => {
                let answer = answers::return_result(ReturnCode(code), &message);
                json_response(StatusCode::OK, answer)
            }
            Err(fault) if fault.code == ReturnCode::PARAM => {
                self.error(StatusCode::BAD_REQUEST, &fault.message)
            }
            Err(fault) => self.error(StatusCode::INTERNAL_SERVER_ERROR, &fault.message),
        }
    }

    fn error(&self, status: StatusCode, message: &str) -> Response {
        spring_error(status, self.path, message)
    }
}

fn required(value: Option<String>, message: &str) -> Result<String, Fault> {
    value
        .filter(|text| !text.trim().is_empty())
        .ok_or_else(|| invalid(message))
}

fn address(host: Option<String>, port: Option<i32>) -> Result<Address, Fault> {
    let host = required(host, "parameter host is blank")?;
    let port = port
        .filter(|port| *port != 0)
        .ok_or_else(|| invalid("parameter port was wrong"))?;
    peer::dotted_address(&host, port)
}

fn invalid(message: &str) -> Fault {
    Fault::new(ReturnCode::SYSTEM, message)
}

/// Of a path that Java does not have: 400, as it should be.
fn bad_request(fault: Fault) -> Fault {
    Fault::new(ReturnCode::PARAM, fault.message)
}

/// `GET /server/alterSysLogLevel/{level}`
pub(super) async fn system_log_level(State(node): Edge, Path(level): Path<String>) -> Response {
    change_system_level(node.log_levels.as_ref(), &level)
}

/// `GET /server/alterPkgLogLevel?level=&pkgName=`
pub(super) async fn package_log_level(State(node): Edge, uri: Uri) -> Response {
    change_package_level(node.log_levels.as_ref(), &uri)
}
