//! Inference of this party's applications, passed to a serving-server (contract 04 A.2.1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_domain::return_code::ReturnCode;
use fate_edge::admission::Gate;
use fate_edge::guard::guarded;
use fate_edge::trace;
use fate_proto::inference::InferenceMessage;
use prost::Message as _;
use serde_json::json;
use tonic::Status;

use crate::call::CallContext;
use crate::node::{MAX_ADDRESSES, Node, NotSent, ServiceName, Trail};
use crate::own_server::OwnServer;
use crate::peers::{Link, NotAnswered, in_time};
use crate::route_table::Route;

/// One row or many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InferenceCall {
    Single,
    Batch,
}

impl InferenceCall {
    /// From the last part of an HTTP path.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match name {
            "inference" => Some(Self::Single),
            "batchInference" => Some(Self::Batch),
            _ => None,
        }
    }

    /// From a gRPC path.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        [Self::Single, Self::Batch]
            .into_iter()
            .find(|which| which.path() == path)
    }

    /// Its name in the contract.
    pub(crate) fn name(self) -> ServiceName {
        match self {
            Self::Single => ServiceName {
                service: "inference",
                resource: "I_inference",
            },
            Self::Batch => ServiceName {
                service: "batchInference",
                resource: "I_batchInference",
            },
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Single => "/com.webank.ai.fate.api.serving.InferenceService/inference",
            Self::Batch => "/com.webank.ai.fate.api.serving.InferenceService/batchInference",
        }
    }
}

/// A request that came over HTTP.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) service_id: String,
    /// For the flow log.
    pub(crate) app_id: String,
    pub(crate) case_id: String,
    /// One flat object.
    pub(crate) body: String,
}

impl Node {
    /// Asks a server; its answer's body.
    ///
    /// # Errors
    /// There is none. The texts are for this party's own applications.
    pub(crate) async fn infer(
        &self,
        which: InferenceCall,
        asking: Asking,
        call: &CallContext,
    ) -> Result<Bytes, Fault> {
        let trail = Trail {
            case_id: asking.case_id,
            guest: self.config().coordinator.clone(),
            host: asking.app_id,
            ..Trail::default()
        };
        let message = InferenceMessage {
            body: asking.body.into(),
            ..InferenceMessage::default()
        };
        let message = message.encode_to_vec().into();
        let answer = self
            .ask(which, &asking.service_id, message, call, trail)
            .await?;
        InferenceMessage::decode(answer)
            .map(|answer| answer.body)
            .map_err(|error| {
                tracing::warn!(%error, "what a server answered is no answer");
                Fault::new(ReturnCode::NET, "remote rpc exception")
            })
    }

    /// A request that came over gRPC passes as it is. Failures are answers, as a server would give them.
    pub(crate) async fn infer_message(
        &self,
        which: InferenceCall,
        message: Bytes,
        call: &CallContext,
    ) -> Result<Bytes, Status> {
        let asked = InferenceMessage::decode(message.clone())
            .map_err(|error| Status::internal(format!("not an InferenceMessage: {error}")))?;
        let text = std::str::from_utf8(&asked.body).unwrap_or_default();
        let members = Members::leading(text).unwrap_or_default();
        let trail = Trail {
            case_id: text_of(members.get("caseId")),
            guest: self.config().coordinator.clone(),
            host: text_of(members.get("appid")),
            ..Trail::default()
        };
        let service_id = text_of(members.get("serviceId"));
        let answer = self.ask(which, &service_id, message, call, trail).await;
        Ok(answer.unwrap_or_else(|fault| {
            let body =
                json!({"retcode": fault.code.0, "retmsg": fault.message, "data": {}, "flag": 0});
            let message = InferenceMessage {
                body: body.to_string().into(),
                ..InferenceMessage::default()
            };
            message.encode_to_vec().into()
        }))
    }

    /// Both are an `InferenceMessage`, what is sent and what comes back.
    async fn ask(
        &self,
        which: InferenceCall,
        service_id: &str,
        message: Bytes,
        call: &CallContext,
        mut trail: Trail,
    ) -> Result<Bytes, Fault> {
        let started = Instant::now();
        let name = which.name();
        let mut span = self.tracing.received(name.service, call.trace.clone());
        let outcome = match self.enter(self.gate(which), name) {
            Ok(_permit) => {
                let asked = self.ask_server(which, service_id, message.clone(), call, &mut trail);
                guarded(name.service, span.around(asked))
                    .await
                    .and_then(|outcome| outcome)
            }
            Err(fault) => Err(fault),
        };
        let told = outcome.as_ref().map(|_| ());
        let output = outcome.as_ref().map_or(&[][..], |answer| answer);
        let bodies = (&message[..], output);
        self.account(name, call, &trail, started, told, bodies, &mut span);
        outcome
    }

    async fn ask_server(
        &self,
        which: InferenceCall,
        service_id: &str,
        message: Bytes,
        call: &CallContext,
        trail: &mut Trail,
    ) -> Result<Bytes, Fault> {
        let service = which.name().service;
        let mut route = self.forwarder.inference(service_id, service)?;
        let another = |tried: &[Route]| self.forwarder.another_server(service_id, service, tried);
        route = self.around_down(route, another);
        let deadline = call.deadline_within(self.limit(which));
        let mut tried = Vec::new();
        loop {
            trail.router.clone_from(&route.shown);
            let sent = Instant::now();
            let outcome = self.send_to_server(which, &route, message.clone(), call, deadline);
            let outcome = outcome.await;
            trail.downstream += sent.elapsed();
            let fault = match outcome {
                Ok(answer) => return answer,
                Err(NotSent(fault)) => fault,
            };
            tried.push(route);
            if tried.len() == MAX_ADDRESSES {
                return Err(fault);
            }
            route = another(&tried).ok_or(fault)?;
        }
    }

    async fn send_to_server(
        &self,
        which: InferenceCall,
        route: &Route,
        message: Bytes,
        call: &CallContext,
        deadline: tokio::time::Instant,
    ) -> Result<Result<Bytes, Fault>, NotSent> {
        // Java's text; the cause is in the log.
        let fault = Fault::new(ReturnCode::NET, "remote rpc exception");
        let (peer, _place) = self.peer(route, which.name().service, &fault).await?;
        let mut span = trace::child("forward", trace::Kind::Client);
        span.note("server.address", &*route.shown);
        let call = &*call.in_span(&span);
        let sent = Instant::now();
        let answer = match &peer.link {
            Link::Grpc(peer) => peer.unary(which.path(), message, call, deadline).await,
            Link::OwnServer(server) => {
                let asked = span.around(ask_own(&**server, which, message));
                in_time(deadline, asked).await
            }
            Link::Http(_) => {
                tracing::warn!(
                    peer = route.shown,
                    "servers are asked over gRPC, not by url"
                );
                return Err(NotSent(fault));
            }
        };
        peer.note(&answer, sent.elapsed());
        if let Err(cause) = &answer {
            span.fail(|| cause.to_string());
        }
        match answer {
            Ok(answer) => Ok(Ok(answer)),
            Err(NotAnswered::Unsent(cause)) => {
                tracing::warn!(peer = route.shown, cause, "a server was not reached");
                Err(NotSent(fault))
            }
            Err(cause) => {
                tracing::warn!(peer = route.shown, %cause, "a server has not answered");
                Ok(Err(fault))
            }
        }
    }

    fn gate(&self, which: InferenceCall) -> &Arc<Gate> {
        match which {
            InferenceCall::Single => &self.gates.inference,
            InferenceCall::Batch => &self.gates.batch,
        }
    }

    fn limit(&self, which: InferenceCall) -> Duration {
        match which {
            InferenceCall::Single => self.config().timeouts.inference,
            InferenceCall::Batch => self.config().timeouts.batch,
        }
    }
}

/// The server in this process takes bodies, not messages.
async fn ask_own(server: &dyn OwnServer, which: InferenceCall, message: Bytes) -> Bytes {
    // Every message here has been read before; what is none has no body.
    let body = InferenceMessage::decode(message).unwrap_or_default().body;
    let answer = match which {
        InferenceCall::Single => server.infer(body).await,
        InferenceCall::Batch => server.infer_batch(body).await,
    };
    let answer = InferenceMessage {
        body: answer.into(),
        ..InferenceMessage::default()
    };
    answer.encode_to_vec().into()
}

/// A text member; empty when it is none.
fn text_of(value: Option<&str>) -> String {
    let text = value.and_then(|value| serde_json::from_str(value).ok());
    text.unwrap_or_default()
}
