//! The guest: a client's request becomes a score (contract 01 §4.1 to §4.4).

mod batch;
mod coalesce;
mod explanation;
mod gathering;
mod host_rows;
mod own_part;
mod recall;
mod remote;
mod single;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_inference::{CompactForm, Plan, Score};
use fate_model::{Binding, InUse, LoadedModel, Models, Remote};
use tokio::time::Instant;

use self::explanation::Explanation;
pub use self::gathering::{Coalescing, Gatherings};
use self::recall::Recalled;
use crate::admission::{Admission, check_model, enter_model};
use crate::java_json::write_text;
use crate::record::{Answer, CallRecord, Stage};
use crate::reply::{Shape, failed_with_data};
use crate::request::GuestRequest;
use crate::result_cache::RemoteResults;
use crate::transport::HostTransport;
use crate::watch::Inquiry;

/// Figures of a guest that come from the configuration.
#[derive(Debug, Clone)]
pub struct GuestSettings {
    /// For all hosts of a single inference together.
    pub single_timeout: Duration,
    /// For all hosts of a batch together.
    pub batch_timeout: Duration,
    /// Rows of a batch; one with more is refused before anything is made of it.
    pub batch_max: usize,
    /// Bytes of a packet for a host; hosts refuse larger ones, so they are not sent.
    pub message_max: usize,
    /// Role in the topics of packets, normally `serving`.
    pub service_role_name: String,
    /// Whether hosts are offered the compact form of parts.
    pub compact: bool,
    /// Whether every answer tells what its rows brought along, asked or not.
    pub details: bool,
    /// Rows of which less is there at a party, 0 to 1, are refused with code 131.
    pub min_hit_rate: Option<f64>,
    /// Calls of one model at the same time.
    pub model_calls: Option<usize>,
    /// Whether single calls share packets to hosts.
    pub coalescing: Option<Coalescing>,
}

/// Everything a guest needs.
#[derive(Debug, Clone)]
pub struct Guest {
    pub models: Models,
    pub transport: Arc<dyn HostTransport>,
    pub admission: Arc<dyn Admission>,
    /// What hosts answered before. As long as there is one, hosts are asked in Java's form: what is remembered is what
    /// Java nodes remember.
    pub results: Option<RemoteResults>,
    /// Single calls that wait for company.
    pub gatherings: Gatherings,
    pub settings: GuestSettings,
}

/// A call under way: what is known of it so far.
#[derive(Debug)]
struct Call {
    record: CallRecord,
    /// `"modelId":…,"modelVersion":…,"timestamp":…`; empty until the model is known.
    model_members: Vec<u8>,
    /// What a single answer tells of its row, when it is asked to.
    explanation: Option<Explanation>,
}

impl Guest {
    /// One row. `body` is the JSON of contract 01 §2.2; every outcome is an answer.
    pub async fn infer(&self, body: Bytes) -> Answer {
        let mut call = Call::new(single::SERVICE, single::RESOURCE);
        // In its own memory: the futures around it are moved into each other.
        let outcome = Box::pin(single::infer(self, &body, &mut call)).await;
        call.finish(Shape::Single, outcome)
    }

    /// Many rows of one model (contract 01 §2.3).
    pub async fn infer_batch(&self, body: Bytes) -> Answer {
        let mut call = Call::new(batch::SERVICE, batch::RESOURCE);
        let outcome = Box::pin(batch::infer(self, &body, &mut call)).await;
        call.finish(Shape::Batch, outcome)
    }

    /// The model behind the service id, with room for `rows` more of its rows.
    fn model_for(
        &self,
        request: &GuestRequest<'_>,
        rows: usize,
        call: &mut Call,
    ) -> Result<InUse, Fault> {
        let model = match self.models.snapshot().bound(&request.service_id) {
            Binding::Model(model) => model,
            Binding::NotBound => {
                return Err(Fault::new(
                    ReturnCode::MODEL_NULL,
                    "serviceId is not bind model",
                ));
            }
            Binding::ModelGone(key) => {
                let text = format!("the bound model {} is not loaded", key.store_name());
                return Err(Fault::new(ReturnCode::SYSTEM, text));
            }
        };
        call.found(&model, rows);
        let model = enter_model(&model, self.settings.model_calls)
            .inspect_err(|_| call.record.is_model_full = true)?;
        check_model(&*self.admission, &model, rows)?;
        Ok(model)
    }

    /// The form that a host is offered for its parts, if the model has one. What is remembered is in Java's form, so a
    /// guest that remembers asks for that.
    fn compact_form(&self, plan: &Plan, party_id: &str) -> Option<CompactForm> {
        let form = plan.compact_form_of(party_id);
        form.filter(|_| self.settings.compact && self.results.is_none())
    }

    /// What is to be known of the rows of a request.
    fn inquiry(&self, request: &GuestRequest<'_>) -> Inquiry {
        Inquiry {
            explain: request.explain || self.settings.details,
            names: true,
            min_hit_rate: self.settings.min_hit_rate,
        }
    }
}

impl Call {
    fn new(service: &'static str, resource: &'static str) -> Self {
        Self {
            record: CallRecord::new(service, resource),
            model_members: Vec::new(),
            explanation: None,
        }
    }

    fn found(&mut self, model: &Arc<LoadedModel>, rows: usize) {
        self.record.model = Some(Arc::clone(model));
        self.record.rows = u32::try_from(rows).unwrap_or(u32::MAX);
        write_model_members(model, &mut self.model_members);
    }

    /// The `data` of the answer.
    fn data(&self, score: Option<&Score>) -> Vec<u8> {
        let mut data = Vec::with_capacity(self.model_members.len() + 64);
        data.push(b'{');
        if let Some(score) = score {
            score.write_members(&mut data);
            data.push(b',');
        }
        data.extend_from_slice(&self.model_members);
        if let Some(explanation) = &self.explanation {
            data.push(b',');
            explanation.write_member(&mut data);
        }
        data.push(b'}');
        data
    }

    fn recalled(&mut self, recalled: &Recalled<'_>) {
        (self.record.cache_hits, self.record.cache_misses) = recalled.tally();
    }

    fn waited_since(&mut self, start: Instant) {
        self.record.downstream = start.elapsed();
    }

    fn finish(mut self, shape: Shape, outcome: Result<Vec<u8>, Fault>) -> Answer {
        if outcome.is_ok() {
            self.record.laps.end(Stage::Encode);
        }
        let body = outcome.unwrap_or_else(|fault| {
            self.record.fail(&fault);
            failed_with_data(shape, &fault, &self.data(None))
        });
        Answer {
            body,
            record: self.record,
        }
    }
}

/// The hosts that a model's score needs.
fn hosts_of(model: &LoadedModel) -> impl Iterator<Item = &Remote> {
    model.remotes.iter().filter(|_| model.plan.needs_hosts())
}

/// `"modelId":…,"modelVersion":…,"timestamp":…`
fn write_model_members(model: &LoadedModel, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"modelId\":");
    write_text(&model.key.namespace, out);
    out.extend_from_slice(b",\"modelVersion\":");
    write_text(&model.key.table_name, out);
    out.extend_from_slice(b",\"timestamp\":");
    out.extend_from_slice(model.loaded_at_ms.to_string().as_bytes());
}
