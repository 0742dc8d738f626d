//! The host: a guest's packet becomes the reply packet (contract 01 §1.5, §4.5, §4.6).

mod batch;
mod features;
mod single;

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_domain::return_code::ReturnCode;
use fate_features::FeatureSource;
use fate_inference::{CompactForm, Plan};
use fate_model::{InUse, Models};
use fate_proto::proxy::Packet;

use crate::admission::{Admission, check_model, enter_model};
use crate::compact;
use crate::packet::{self, BATCH_COMMAND, SINGLE_COMMAND, Speaker};
use crate::record::{CallRecord, Stage};
use crate::reply::{Shape, failed_reply};
use crate::request::{asks_explanation, text, text_member};
use crate::watch::Inquiry;

/// Figures of a host that come from the configuration.
#[derive(Debug, Clone, Copy)]
pub struct HostSettings {
    /// Rows accepted in one batch.
    pub batch_max: usize,
    /// Whether guests that offer it get the compact form of parts.
    pub compact: bool,
    /// Whether guests that ask what a row brought along are told the names of features, not only their number.
    pub details: bool,
    /// Rows of which less is there, 0 to 1, are refused with code 131.
    pub min_hit_rate: Option<f64>,
    /// Calls of one model at the same time.
    pub model_calls: Option<usize>,
}

/// Everything a host needs.
#[derive(Debug, Clone)]
pub struct Host {
    pub models: Models,
    /// Features for single calls; none answers 116.
    pub single: Option<Arc<dyn FeatureSource>>,
    /// Features for batches; none answers 116.
    pub batch: Option<Arc<dyn FeatureSource>>,
    pub admission: Arc<dyn Admission>,
    pub settings: HostSettings,
}

/// A guest's call, as far as single calls and batches have it in common.
#[derive(Debug)]
struct Question<'a> {
    /// None when the body is not a JSON object.
    members: Option<Members<'a>>,
    speaker: Speaker,
    /// The host's model, or the guest's for a 1.x guest.
    key: ModelKey,
}

impl Host {
    /// Answers a packet; every outcome is a reply.
    pub async fn unary_call(&self, packet: Packet) -> (Packet, CallRecord) {
        let is_batch = packet::command(&packet) == BATCH_COMMAND;
        let mut record = if is_batch {
            CallRecord::new(batch::SERVICE, batch::RESOURCE)
        } else {
            CallRecord::new(single::SERVICE, single::RESOURCE)
        };
        if let Some(auth) = &packet.auth {
            record.case_id.clone_from(&auth.nonce);
        }
        // In its own memory: the futures around it are moved into each other.
        let outcome = Box::pin(self.answer(&packet, &mut record)).await;
        if outcome.is_ok() {
            record.laps.end(Stage::Encode);
        }
        let body = outcome.unwrap_or_else(|fault| {
            record.fail(&fault);
            let shape = if is_batch {
                Shape::Batch
            } else {
                Shape::Single
            };
            failed_reply(shape, &fault)
        });
        (packet::reply(body), record)
    }

    /// Whether the model that a packet is for is loaded here as a host's.
    pub fn holds(&self, packet: &Packet) -> bool {
        let published = self.models.snapshot();
        match packet::speaker(packet) {
            Some(Speaker::Current) => published
                .model(&packet::model_key(packet))
                .is_some_and(|model| model.role != Role::Guest),
            Some(Speaker::Legacy) => {
                question(packet).is_ok_and(|question| published.partner(&question.key).is_some())
            }
            None => false,
        }
    }

    async fn answer(&self, packet: &Packet, record: &mut CallRecord) -> Result<Vec<u8>, Fault> {
        let question = question(packet)?;
        match packet::command(packet) {
            SINGLE_COMMAND => single::answer(self, &question, record).await,
            BATCH_COMMAND => batch::answer(self, &question, record).await,
            other => Err(Fault::new(
                ReturnCode::UNSUPPORTED_COMMAND,
                format!("unsupported command {:?}", shortened(other)),
            )),
        }
    }

    /// The model that is asked for, with room for `rows` more of its rows.
    fn model_for(
        &self,
        question: &Question<'_>,
        rows: usize,
        record: &mut CallRecord,
    ) -> Result<InUse, Fault> {
        record.rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let published = self.models.snapshot();
        let model = match question.speaker {
            Speaker::Current => published.model(&question.key),
            Speaker::Legacy => published.partner(&question.key),
        };
        // Java's text, which guests hand on (contract 01 §4.5).
        let model = model.ok_or_else(|| Fault::new(ReturnCode::MODEL_NULL, "mode is null"))?;
        record.model = Some(Arc::clone(model));
        let model = enter_model(model, self.settings.model_calls)
            .inspect_err(|_| record.is_model_full = true)?;
        check_model(&*self.admission, &model, rows)?;
        Ok(model)
    }

    /// The form in which a guest that offers it gets its parts; none: as JSON.
    fn compact_form(&self, members: &Members<'_>, plan: &Plan) -> Option<CompactForm> {
        let form = plan.own_compact_form().filter(|_| self.settings.compact)?;
        compact::is_offered(members, form).then_some(form)
    }

    /// What is to be known of the rows of a call.
    fn inquiry(&self, members: &Members<'_>) -> Inquiry {
        Inquiry {
            explain: asks_explanation(members),
            names: self.settings.details,
            min_hit_rate: self.settings.min_hit_rate,
        }
    }
}

fn question(packet: &Packet) -> Result<Question<'_>, Fault> {
    let speaker = packet::speaker(packet).ok_or_else(|| {
        let text = "the packet's operator is not a version number";
        Fault::new(ReturnCode::SYSTEM, text)
    })?;
    let body = packet.body.as_ref().map_or(&[][..], |body| &body.value);
    let members = text(body).and_then(Members::leading);
    let key = match speaker {
        Speaker::Current => packet::model_key(packet),
        Speaker::Legacy => members
            .as_ref()
            .and_then(partner_key)
            .ok_or_else(|| Fault::new(ReturnCode::SYSTEM, "the body has no partnerModelInfo"))?,
    };
    Ok(Question {
        members,
        speaker,
        key,
    })
}

/// `partnerModelInfo: {name, namespace}`, the guest's own model.
fn partner_key(members: &Members<'_>) -> Option<ModelKey> {
    let info = Members::leading(members.get("partnerModelInfo")?)?;
    let part = |name| Some(text_member(&info, name)??.into_owned());
    Some(ModelKey::new(part("name")?, part("namespace")?))
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
