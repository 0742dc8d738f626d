//! Single calls that ask a host the same kind of question at the same time share a packet, a `batch`. Each gets its row
//! of the answer as the reply that a packet of its own would have brought, so whatever reads replies knows nothing of it.
//!
//! What the host refuses or leaves out is asked once more, alone: a host's answer to a batch has other codes and texts,
//! and perhaps another source of features. What got no reply at all is not asked again.

use std::sync::Arc;

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_inference::CompactForm;
use fate_model::{InUse, LoadedModel, Remote};
use fate_proto::proxy::Packet;
use futures::future::{Either, join_all, select};
use tokio::time::Instant;

use super::Guest;
use super::batch;
use super::gathering::{Kind, Opened, Question, Seat, Told, UnderWay};
use super::host_rows::HostRows;
use super::remote::{self, Silent, within};
use crate::compact;
use crate::packet::{self, BATCH_COMMAND, Envelope};
use crate::reply::{self, Extras, HostReply, Shape, failed_reply};
use crate::request::{GuestRequest, GuestRow};
use crate::transport::CallError;
use crate::watch::Inquiry;

/// A single call, as far as its questions may be shared.
#[derive(Debug, Clone, Copy)]
pub(super) struct SingleCall<'a> {
    pub(super) model: &'a InUse,
    pub(super) request: &'a GuestRequest<'a>,
    /// The text of an object.
    pub(super) ids: &'a str,
    pub(super) inquiry: Inquiry,
}

impl SingleCall<'_> {
    fn kind(&self, host: &Remote) -> Kind {
        Kind {
            model: self.model.key.clone(),
            loaded_at_ms: self.model.loaded_at_ms,
            party_id: host.party_id.clone(),
            service_id: self.request.service_id.to_string(),
            asks_figures: self.inquiry.watches(),
        }
    }

    /// A shared packet's own: its case and application are those of the call that began it.
    fn trip(&self, guest: &Guest, host: &Remote) -> Trip {
        Trip {
            guest: guest.clone(),
            model: self.model.shared(),
            host: host.clone(),
            case_id: self.request.case_id.to_string(),
            service_id: self.request.service_id.to_string(),
            apply_id: self.request.apply_id.as_deref().map(str::to_owned),
            inquiry: self.inquiry,
        }
    }
}

/// The body of a host's reply, from a shared packet if that is wanted and others ask, too. `packet` is the call's own.
pub(super) async fn ask<'a>(
    guest: &Guest,
    call: &SingleCall<'_>,
    host: &'a Remote,
    packet: Packet,
    deadline: Instant,
) -> Result<Bytes, Silent<'a>> {
    // The names of an explanation have room for one answer only.
    let rules = guest.settings.coalescing;
    let Some(rules) = rules.filter(|_| !call.inquiry.explain) else {
        return remote::ask(guest, host, packet, deadline).await;
    };
    let told = match guest
        .gatherings
        .join(call.kind(host), call.ids, deadline, rules)
    {
        Seat::Alone(_under_way) => return remote::ask(guest, host, packet, deadline).await,
        Seat::Shared(told, opened) => {
            if let Some((opened, under_way)) = opened {
                let trip = call.trip(guest, host);
                guest
                    .transport
                    .go_on(Box::pin(travel(trip, opened, under_way)));
            }
            within(host, deadline, told).await?
        }
    };
    let (refusal, _under_way) = match told {
        Ok(Told::Reply(body)) => return Ok(body),
        Ok(Told::Silent(cause)) => {
            let party_id = &host.party_id;
            return Err(Silent { party_id, cause });
        }
        Ok(Told::Refused(body)) => (Some(body), None),
        Ok(Told::Alone(under_way)) => (None, under_way),
        Err(_) => (None, None),
    };
    let asked = remote::ask(guest, host, packet, deadline).await;
    // Without an answer to the second question, that to the first counts.
    asked.or_else(|silent| refusal.ok_or(silent))
}

/// A shared packet's way.
#[derive(Debug)]
struct Trip {
    guest: Guest,
    model: Arc<LoadedModel>,
    host: Remote,
    case_id: String,
    service_id: String,
    apply_id: Option<String>,
    inquiry: Inquiry,
}

async fn travel(trip: Trip, opened: Opened, under_way: UnderWay) {
    let mut questions = opened.gathered().await;
    questions.retain(|question| !question.is_forgotten());
    if questions.len() < 2 {
        if let Some(lone) = questions.pop() {
            lone.tell(Told::Alone(Some(under_way)));
        }
        return;
    }
    let Ok(packet) = trip.packet(&questions) else {
        return tell_all(questions, || Told::Alone(None));
    };
    let Some(answered) = trip.ask(packet, &mut questions).await else {
        return;
    };
    match answered {
        Ok(body) => trip.tell(questions, &body, &under_way),
        Err(cause) => tell_all(questions, || Told::Silent(cause.clone())),
    }
}

impl Trip {
    fn form(&self) -> Option<CompactForm> {
        self.guest
            .compact_form(&self.model.plan, &self.host.party_id)
    }

    /// Rows are numbered as the questions are.
    fn packet(&self, questions: &[Question]) -> Result<Packet, Fault> {
        let settings = &self.guest.settings;
        let envelope = Envelope {
            command: BATCH_COMMAND,
            role_name: &settings.service_role_name,
            case_id: &self.case_id,
            service_id: &self.service_id,
            apply_id: self.apply_id.as_deref(),
            max_bytes: settings.message_max,
        };
        let mut rows = Vec::with_capacity(questions.len());
        for (index, question) in (0..).zip(questions) {
            rows.push(GuestRow {
                index,
                features: None,
                ids: &question.ids,
            });
        }
        let rows: Vec<&GuestRow<'_>> = rows.iter().collect();
        let body = batch::host_body(&self.model, &self.host, &rows, self.inquiry, self.form());
        packet::request(&envelope, &self.model, &self.host, body)
    }

    /// The body of the reply; `None` when nobody waits for it any longer.
    async fn ask(
        &self,
        packet: Packet,
        questions: &mut [Question],
    ) -> Option<Result<Bytes, CallError>> {
        let earliest = questions.iter().map(|question| question.deadline).min()?;
        let (transport, party_id) = (&self.guest.transport, &self.host.party_id);
        let call = transport.call(party_id, packet, earliest);
        let call = tokio::time::timeout_at(earliest, call);
        let forgotten = join_all(questions.iter_mut().map(Question::forgotten));
        match select(Box::pin(call), forgotten).await {
            Either::Left((Ok(answered), _)) => {
                Some(answered.map(|packet| packet.body.unwrap_or_default().value))
            }
            Either::Left((Err(_), _)) => Some(Err(CallError::Timeout)),
            Either::Right(_) => None,
        }
    }

    fn tell(&self, questions: Vec<Question>, body: &Bytes, under_way: &UnderWay) {
        let party_id = self.host.party_id.as_str();
        let reply = reply::read_host_reply(body);
        let is_refusal = |reply: &HostReply<'_>| reply.fault().is_some();
        if reply.as_ref().is_some_and(is_refusal) {
            under_way.keep_apart();
            tracing::warn!(party_id, "a host refused a shared packet: calls go alone");
            return tell_all(questions, || Told::Refused(body.clone()));
        }
        let form = self.form();
        let rows = reply.and_then(|reply| {
            let rows = HostRows::read(party_id, &reply, form).ok()?;
            Some((reply, rows))
        });
        let Some((reply, rows)) = rows else {
            under_way.keep_apart();
            tracing::warn!(
                party_id,
                "a shared packet was not understood: calls go alone"
            );
            return tell_all(questions, || Told::Alone(None));
        };
        for (index, question) in (0..).zip(questions) {
            question.tell(told(&reply, &rows, index, form));
        }
    }
}

fn tell_all(questions: Vec<Question>, told: impl Fn() -> Told) {
    for question in questions {
        question.tell(told());
    }
}

/// A row of a batch as the reply to a single call.
fn told(reply: &HostReply<'_>, rows: &HostRows<'_>, index: i32, form: Option<CompactForm>) -> Told {
    let listed = rows.by_index.get(&index);
    let packed = rows.packed.as_ref().and_then(|rows| rows.part(index));
    let compact = form
        .zip(packed)
        .map(|(form, part)| compact::object(form, None, part));
    let extras = Extras {
        compact: compact.as_deref(),
        explanation: listed.and_then(|row| row.explanation).map(str::as_bytes),
    };
    let data = match listed {
        _ if compact.is_some() => r#"{"retcode":0}"#,
        Some(row) if !row.code.is_success() => {
            let refusal = Fault::new(row.code, row.message());
            return Told::Refused(failed_reply(Shape::Single, &refusal).into());
        }
        Some(row) => match row.data {
            Some(data) => data,
            None => return Told::Alone(None),
        },
        None => return Told::Alone(None),
    };
    Told::Reply(reply::single(&reply.message, data.as_bytes(), extras).into())
}
