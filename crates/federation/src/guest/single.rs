//! One row at the guest.

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_domain::return_code::ReturnCode;
use fate_inference::{CompactForm, GuestLocal, Partial, Score};
use fate_model::{LoadedModel, Remote};
use fate_proto::proxy::Packet;
use futures::poll;
use std::pin::pin;
use tokio::time::Instant;

use super::coalesce::SingleCall;
use super::explanation::{Explanation, hear};
use super::own_part::own_part;
use super::recall::Recalled;
use super::remote::{self, Silent, Source};
use super::{Call, Guest};
use crate::admission::check_interface;
use crate::java_json;
use crate::packet::{self, Envelope, SINGLE_COMMAND};
use crate::record::Stage;
use crate::reply::{self, Extras, HostReply};
use crate::request::{self, GuestRequest, GuestRow, random_id};
use crate::result_cache::{HIT, HostAnswer};
use crate::transport::CallError;
use crate::watch::{Inquiry, Watch};
use crate::{compact, explain};

pub(super) const SERVICE: &str = "singleInference";
pub(super) const RESOURCE: &str = "I_singleInference";

pub(super) async fn infer(guest: &Guest, body: &Bytes, call: &mut Call) -> Result<Vec<u8>, Fault> {
    check_interface(&*guest.admission, RESOURCE, SERVICE)?;
    let (request, row) = request::guest_single(body)?;
    call.record.case_id = request.case_id.to_string();
    let model = guest.model_for(&request, 1, call)?;

    let inquiry = guest.inquiry(&request);
    let asked_at = Instant::now();
    let limit = guest.settings.single_timeout;
    let hosts: Vec<&Remote> = super::hosts_of(&model).collect();
    let recalled = Recalled::of(guest, &model, &hosts, &[row.ids], inquiry, limit).await;
    call.recalled(&recalled);
    let packet = packet_for(guest, &model, &request, &row, inquiry);
    let sources = sources(&hosts, &recalled, packet)?;
    let single = SingleCall {
        model: &model,
        request: &request,
        ids: row.ids,
        inquiry,
    };
    let mut asked = pin!(remote::parts(guest, single, sources, asked_at + limit));
    // The calls are on their way before the guest's own part is computed.
    let early = poll!(asked.as_mut());
    call.record.laps.end(Stage::Parse);
    let mut watch = Watch::new(&model.plan, &model.party_id, inquiry);
    let features = row.features.unwrap_or("{}");
    let mut own_row = model.plan.new_row();
    let own = own_part(&model.plan, features, &mut own_row, watch.as_mut());
    call.explanation = Explanation::of_guest(&model.party_id, own.told.as_ref());
    let local = own.local?;
    call.record.laps.end(Stage::Local);
    let answered = match early {
        std::task::Poll::Ready(answered) => answered,
        std::task::Poll::Pending => asked.await,
    };
    call.waited_since(asked_at);
    call.record.laps.end(Stage::Remote);
    let answers = answered.map_err(|silent| unreachable_host(guest, &silent))?;
    let scored = score(guest, &model, local, &answers, watch, call);
    let (message, score) = scored.inspect_err(|fault| {
        recalled.forget(0);
        say_if_nobody_is_meant(fault, row.ids);
    })?;
    call.record.laps.end(Stage::Merge);
    let data = call.data(Some(&score));
    Ok(reply::single(&message, &data, Extras::default()))
}

fn sources<'a>(
    hosts: &[&'a Remote],
    recalled: &Recalled<'a>,
    packet: impl Fn(&Remote) -> Result<Packet, Fault>,
) -> Result<Vec<(&'a Remote, Source<'a>)>, Fault> {
    let source = |position: usize, host: &Remote| -> Result<Source<'a>, Fault> {
        Ok(
            match (recalled.data(position, 0), recalled.place(position, 0)) {
                (Some(data), _) => Source::Memory(data.clone()),
                (None, Some((results, key))) => Source::Shared(packet(host)?, results, key),
                (None, None) => Source::Host(packet(host)?),
            },
        )
    };
    hosts
        .iter()
        .enumerate()
        .map(|(position, host)| Ok((*host, source(position, host)?)))
        .collect()
}

fn packet_for<'a>(
    guest: &'a Guest,
    model: &'a LoadedModel,
    request: &'a GuestRequest<'_>,
    row: &'a GuestRow<'_>,
    inquiry: Inquiry,
) -> impl Fn(&Remote) -> Result<Packet, Fault> + 'a {
    let envelope = Envelope {
        command: SINGLE_COMMAND,
        role_name: &guest.settings.service_role_name,
        case_id: &request.case_id,
        service_id: &request.service_id,
        apply_id: request.apply_id.as_deref(),
        max_bytes: guest.settings.message_max,
    };
    move |host| {
        let form = guest.compact_form(&model.plan, &host.party_id);
        packet::request(&envelope, model, host, host_body(row.ids, inquiry, form))
    }
}

/// The body for a host (contract 01 §2.6). Its identifiers are fresh, as Java's are.
fn host_body(ids: &str, inquiry: Inquiry, form: Option<CompactForm>) -> Vec<u8> {
    let mut body = Vec::with_capacity(208 + ids.len());
    write_identifiers(&mut body);
    body.extend_from_slice(br#","featureData":{},"sendToRemoteFeatureData":"#);
    java_json::write(ids, &mut body);
    write_question(inquiry, &mut body);
    compact::write_offer(form, &mut body);
    body.push(b'}');
    body
}

/// `{"seqno":…,"caseId":…`, without the closing brace.
pub(super) fn write_identifiers(body: &mut Vec<u8>) {
    body.extend_from_slice(br#"{"seqno":""#);
    body.extend_from_slice(random_id().as_bytes());
    body.extend_from_slice(br#"","caseId":""#);
    body.extend_from_slice(random_id().as_bytes());
    body.push(b'"');
}

/// Asks the host for figures if they are needed; Java's hosts do not know the member and ignore it.
pub(super) fn write_question(inquiry: Inquiry, body: &mut Vec<u8>) {
    if inquiry.watches() {
        let text = format!(r#","{}":true"#, explain::MEMBER);
        body.extend_from_slice(text.as_bytes());
    }
}

fn unreachable_host(guest: &Guest, silent: &Silent<'_>) -> Fault {
    let party_id = silent.party_id;
    if let Some(fault) = no_route(silent) {
        return fault;
    }
    let cause = silent.text(guest.settings.single_timeout);
    Fault::new(
        ReturnCode::NET,
        format!("host {party_id} remote error : {cause}"),
    )
}

/// 106 for a party that cannot be called at all, in Java's words where it has some (contract 01 §4).
pub(super) fn no_route(silent: &Silent<'_>) -> Option<Fault> {
    let party_id = silent.party_id;
    let text = match silent.cause {
        CallError::NoRoute => format!(
            "address is error in config file: neither proxy nor federation.hosts leads to host {party_id}"
        ),
        CallError::NoRegisteredProxy => "serving-proxy address is not found in zk".to_owned(),
        _ => return None,
    };
    Some(Fault::new(ReturnCode::ROUTER, text))
}

/// Java's text for no parts at all, and whose answer was none.
fn null_result(party_id: &str, what: &str) -> Fault {
    let text = format!("remote inference result is null: the answer of host {party_id} {what}");
    Fault::new(ReturnCode::MERGE, text)
}

/// Hosts refuse a request without ids in words that do not tell (102, as Java's do); the guest's log does.
fn say_if_nobody_is_meant(fault: &Fault, ids: &str) {
    let is_empty = || Members::leading(ids).is_some_and(|ids| ids.iter().next().is_none());
    let refusals = [ReturnCode::FEATURE, ReturnCode::HOST_FEATURE_NOT_EXIST];
    if refusals.map(ReturnCode::prefixed).contains(&fault.code) && is_empty() {
        tracing::warn!(
            "sendToRemoteFeatureData is empty: hosts look features up by what it holds, as a rule an id"
        );
    }
}

/// Merges the parts of all parties. The text of the last host comes with the score, to become the answer's as in Java.
fn score(
    guest: &Guest,
    model: &LoadedModel,
    local: GuestLocal,
    answers: &[(&str, HostAnswer)],
    mut watch: Option<Watch<'_>>,
    call: &mut Call,
) -> Result<(String, Score), Fault> {
    let mut message = String::new();
    let mut partials: Vec<(&str, Partial)> = Vec::with_capacity(answers.len());
    let mut without_part = None;
    for (party_id, answer) in answers {
        let body = match answer {
            HostAnswer::Reply(body) => body,
            HostAnswer::Remembered(data) => {
                let data = String::from_utf8_lossy(data);
                partials.push((party_id, model.plan.read_partial(party_id, &data)?));
                message = HIT.to_owned();
                continue;
            }
        };
        // A host that says nothing readable has no part; the merge then refuses to score without it.
        let Some(reply) = reply::read_host_reply(body) else {
            without_part.get_or_insert((party_id, "is not a result"));
            continue;
        };
        if let Some(fault) = reply.fault() {
            guest.transport.refused(party_id);
            tracing::warn!(party_id, cause = %fault, "a host, or a proxy on the way, refused");
            return Err(fault);
        }
        hear(
            watch.as_mut(),
            call.explanation.as_mut(),
            party_id,
            reply.explanation(),
        )?;
        match part(guest, model, party_id, &reply)? {
            Some(part) => partials.push((party_id, part)),
            None => {
                without_part.get_or_insert((party_id, "has no data"));
            }
        }
        message = reply.message;
    }
    if let Some((party_id, what)) = without_part.filter(|_| partials.is_empty()) {
        return Err(null_result(party_id, what));
    }
    Ok((message, model.plan.merge(local, &partials)?))
}

/// A host's part: in the compact form if it was offered and the host uses it, else as JSON.
fn part(
    guest: &Guest,
    model: &LoadedModel,
    party_id: &str,
    reply: &HostReply<'_>,
) -> Result<Option<Partial>, Fault> {
    let form = guest.compact_form(&model.plan, party_id);
    if let Some((form, text)) = form.zip(reply.compact()) {
        let bytes = compact::read_single(party_id, text, form)?;
        return model.plan.read_compact(party_id, &bytes).map(Some);
    }
    let data = reply.data();
    data.map(|data| model.plan.read_partial(party_id, data))
        .transpose()
}
