//! Many rows at the guest: one packet per host, every row with its own parts and its own outcome.

use std::io::Write;
use std::pin::pin;

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_inference::{CompactForm, GuestLocal, Partial, Row, Score};
use fate_model::{LoadedModel, Remote};
use fate_proto::proxy::Packet;
use futures::future::join;
use futures::poll;
use tokio::time::Instant;

use super::explanation::{Explanation, hear};
use super::host_rows::{self, HostRows};
use super::own_part::own_part;
use super::recall::Recalled;
use super::remote::{self, Silent};
use super::single::{no_route, write_identifiers, write_question};
use super::{Call, Guest};
use crate::admission::check_interface;
use crate::compact;
use crate::java_json::{self, write_int, write_text};
use crate::packet::{self, BATCH_COMMAND, Envelope};
use crate::record::Stage;
use crate::reply::{self, Broken, Extras, HostReplyRow, RowObjects};
use crate::request::{self, GuestRequest, GuestRow};
use crate::watch::{Inquiry, Watch};

pub(super) const SERVICE: &str = "batchInference";
pub(super) const RESOURCE: &str = "I_batchInference";

/// Rows computed before other tasks of the thread get a turn.
const ROWS_PER_TURN: usize = 64;

pub(super) async fn infer(guest: &Guest, body: &Bytes, call: &mut Call) -> Result<Vec<u8>, Fault> {
    check_interface(&*guest.admission, RESOURCE, SERVICE)?;
    let (request, rows) = request::guest_batch(body, guest.settings.batch_max)?;
    call.record.case_id = request.case_id.to_string();
    let model = guest.model_for(&request, rows.len(), call)?;
    if rows.is_empty() {
        return Err(no_rows(&model));
    }

    let inquiry = guest.inquiry(&request);
    let asked_at = Instant::now();
    let limit = guest.settings.batch_timeout;
    let hosts: Vec<&Remote> = super::hosts_of(&model).collect();
    let ids: Vec<&str> = rows.iter().map(|row| row.ids).collect();
    let recalled = Recalled::of(guest, &model, &hosts, &ids, inquiry, limit).await;
    call.recalled(&recalled);
    let packets = packets(guest, &model, &request, &hosts, &rows, &recalled, inquiry)?;
    let mut asked = pin!(remote::replies(guest, packets, asked_at + limit));
    // The calls are on their way before the guest's own part is computed.
    let early = poll!(asked.as_mut());
    call.record.laps.end(Stage::Parse);
    let mut watch = Watch::new(&model.plan, &model.party_id, inquiry);
    let own_parts = async {
        let own_parts = own_parts(&model, &rows, watch.as_mut()).await;
        call.record.laps.end(Stage::Local);
        own_parts
    };
    // Both go on: a question that waits for a connection leaves as soon as there is one.
    let (answered, own_parts) = match early {
        std::task::Poll::Ready(answered) => (answered, own_parts.await),
        std::task::Poll::Pending => join(asked, own_parts).await,
    };
    call.waited_since(asked_at);
    call.record.laps.end(Stage::Remote);
    let bodies = answered.map_err(|silent| unreachable_host(guest, &silent))?;
    let replied = replied_rows(guest, &model, &hosts, &bodies)?;
    recalled.remember(&rows, &replied);
    let answered = with_recalled_rows(replied, &recalled, &rows);

    let mut row_objects = RowObjects::for_rows(rows.len());
    for (position, (row, own)) in rows.iter().zip(own_parts).enumerate() {
        let RowPart {
            local,
            mut explanation,
        } = own;
        let heard = heard(&answered, row.index, watch.as_mut(), explanation.as_mut());
        let is_local_part = local.is_ok();
        let outcome = outcome(&model, row.index, local, heard, &answered);
        if is_local_part && matches!(outcome, Outcome::Failed(_)) {
            recalled.forget(position);
        }
        call.record.failed_rows += u32::from(!matches!(outcome, Outcome::Score(_)));
        row_objects.add(row.index, |out| {
            write_row(row.index, &outcome, explanation.as_ref(), out);
        });
        give_a_turn(position).await;
    }
    call.record.laps.end(Stage::Merge);
    Ok(reply::batch(
        &request.case_id,
        &call.data(None),
        &row_objects,
        Extras::default(),
    ))
}

async fn give_a_turn(position: usize) {
    if position % ROWS_PER_TURN == ROWS_PER_TURN - 1 {
        tokio::task::yield_now().await;
    }
}

/// A Java guest sends the empty batch on and fails with its host's refusal.
fn no_rows(model: &LoadedModel) -> Fault {
    match model.remotes.first() {
        Some(host) if model.plan.needs_hosts() => Fault::new(
            ReturnCode::NET,
            format!(
                "party id {} remote error : batchDataList is empty",
                host.party_id
            ),
        ),
        _ => Fault::new(ReturnCode::PARAM, "batchDataList is empty"),
    }
}

/// A packet for every host, with the rows that are not remembered; none where all are.
fn packets<'a>(
    guest: &Guest,
    model: &LoadedModel,
    request: &GuestRequest<'_>,
    hosts: &[&'a Remote],
    rows: &[GuestRow<'_>],
    recalled: &Recalled<'_>,
    inquiry: Inquiry,
) -> Result<Vec<(&'a Remote, Option<Packet>)>, Fault> {
    let envelope = Envelope {
        command: BATCH_COMMAND,
        role_name: &guest.settings.service_role_name,
        case_id: &request.case_id,
        service_id: &request.service_id,
        apply_id: request.apply_id.as_deref(),
        max_bytes: guest.settings.message_max,
    };
    let packet = |position: usize, host: &Remote| {
        let unknown = |row: &usize| recalled.data(position, *row).is_none();
        let unknown: Vec<&GuestRow<'_>> = (0..rows.len())
            .filter(unknown)
            .map(|row| &rows[row])
            .collect();
        if unknown.is_empty() {
            return Ok(None);
        }
        let form = guest.compact_form(&model.plan, &host.party_id);
        let body = host_body(model, host, &unknown, inquiry, form);
        packet::request(&envelope, model, host, body).map(Some)
    };
    let hosts = hosts.iter().enumerate();
    hosts
        .map(|(position, host)| Ok((*host, packet(position, host)?)))
        .collect()
}

/// The body for a host (contract 01 §2.6).
pub(super) fn host_body(
    model: &LoadedModel,
    host: &Remote,
    rows: &[&GuestRow<'_>],
    inquiry: Inquiry,
    form: Option<CompactForm>,
) -> Vec<u8> {
    let size: usize = rows.iter().map(|row| row.ids.len() + 96).sum();
    let mut body = Vec::with_capacity(512 + size);
    write_identifiers(&mut body);
    body.extend_from_slice(br#","featureData":{},"sendToRemoteFeatureData":{},"batchDataList":["#);
    for (position, row) in rows.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        body.extend_from_slice(b"{\"index\":");
        write_int(row.index, &mut body);
        body.extend_from_slice(br#","featureData":{},"sendToRemoteFeatureData":"#);
        java_json::write(row.ids, &mut body);
        body.extend_from_slice(br#","needCheckFeature":false}"#);
    }
    body.push(b']');
    for (name, value) in [
        ("hostTableName", host.key.table_name.as_str()),
        ("hostNamespace", &host.key.namespace),
        ("guestPartyId", &model.party_id),
        ("hostPartyId", &host.party_id),
    ] {
        // Writing to memory cannot fail.
        let _ = write!(body, ",\"{name}\":");
        write_text(value, &mut body);
    }
    write_question(inquiry, &mut body);
    compact::write_offer(form, &mut body);
    body.push(b'}');
    body
}

/// What the guest itself has of a row.
struct RowPart {
    local: Result<GuestLocal, Fault>,
    /// None unless the client asked.
    explanation: Option<Explanation>,
}

async fn own_parts(
    model: &LoadedModel,
    rows: &[GuestRow<'_>],
    mut watch: Option<&mut Watch<'_>>,
) -> Vec<RowPart> {
    let mut parts = Vec::with_capacity(rows.len());
    let mut cells = model.plan.new_row();
    for (position, row) in rows.iter().enumerate() {
        parts.push(row_part(model, row, &mut cells, watch.as_deref_mut()));
        give_a_turn(position).await;
    }
    parts
}

fn row_part<'a>(
    model: &'a LoadedModel,
    row: &GuestRow<'a>,
    cells: &mut Row<'a>,
    watch: Option<&mut Watch<'_>>,
) -> RowPart {
    let Some(features) = row.features else {
        let fault = Fault::new(ReturnCode::PARAM, "no feature data");
        return RowPart {
            local: Err(invalid(&fault)),
            explanation: None,
        };
    };
    let own = own_part(&model.plan, features, cells, watch);
    let local = own.local.map_err(|fault| match fault.code {
        ReturnCode::FILL_RATE => fault,
        _ => invalid(&fault),
    });
    RowPart {
        local,
        explanation: Explanation::of_guest(&model.party_id, own.told.as_ref()),
    }
}

/// Java hides the cause of a row that fails at the guest behind code 108; the code stays, the cause is told.
fn invalid(cause: &Fault) -> Fault {
    let text = format!("local result is invalid : {cause}");
    Fault::new(ReturnCode::MERGE, text)
}

fn unreachable_host(guest: &Guest, silent: &Silent<'_>) -> Fault {
    let party_id = silent.party_id;
    if let Some(fault) = no_route(silent) {
        return fault;
    }
    let cause = silent.text(guest.settings.batch_timeout);
    tracing::warn!(party_id, cause, "a host did not answer a batch");
    Fault::new(ReturnCode::NET, format!("party id {party_id} remote error"))
}

/// What the hosts replied; nothing of a host that was not asked. One host that refuses, or cannot be understood, fails
/// the whole batch.
fn replied_rows<'a>(
    guest: &Guest,
    model: &LoadedModel,
    hosts: &[&'a Remote],
    bodies: &'a [Option<Bytes>],
) -> Result<Vec<HostRows<'a>>, Fault> {
    let mut replied = Vec::with_capacity(hosts.len());
    for (host, body) in hosts.iter().zip(bodies) {
        let party_id = host.party_id.as_str();
        let of_host = match body {
            None => HostRows::none(party_id),
            Some(body) => {
                let reply = reply::read_host_reply(body)
                    .ok_or_else(|| host_rows::broken(party_id, Broken::Answer))?;
                if let Some(fault) = reply.fault() {
                    guest.transport.refused(party_id);
                    tracing::warn!(party_id, cause = %fault, "a host, or a proxy on the way, refused a batch");
                    return Err(fault);
                }
                HostRows::read(party_id, &reply, guest.compact_form(&model.plan, party_id))?
            }
        };
        replied.push(of_host);
    }
    Ok(replied)
}

fn with_recalled_rows<'a>(
    mut replied: Vec<HostRows<'a>>,
    recalled: &'a Recalled<'_>,
    rows: &[GuestRow<'_>],
) -> Vec<HostRows<'a>> {
    for (host, of_host) in replied.iter_mut().enumerate() {
        for (position, row) in rows.iter().enumerate() {
            if let Some(data) = recalled.text(host, position) {
                let remembered = HostReplyRow::remembered(row.index, data);
                of_host.by_index.insert(row.index, remembered);
            }
        }
    }
    replied
}

/// Takes down what every host tells of a row; the first that has too few features is the fault.
fn heard(
    hosts: &[HostRows<'_>],
    index: i32,
    mut watch: Option<&mut Watch<'_>>,
    mut explanation: Option<&mut Explanation>,
) -> Result<(), Fault> {
    let mut outcome = Ok(());
    if watch.is_none() {
        return outcome;
    }
    for host in hosts {
        let told = match (host.by_index.get(&index), &host.packed) {
            (Some(row), _) => row.explanation,
            (None, Some(packed)) if packed.has(index) => None,
            (None, _) => continue,
        };
        let explanation = explanation.as_deref_mut();
        let next = hear(watch.as_deref_mut(), explanation, host.party_id, told);
        outcome = outcome.and(next);
    }
    outcome
}

/// What became of a row.
#[derive(Debug)]
enum Outcome {
    Score(Score),
    /// A host refused the row.
    Refused(Fault),
    /// The parts could not be put together.
    Failed(Fault),
}

fn outcome(
    model: &LoadedModel,
    index: i32,
    local: Result<GuestLocal, Fault>,
    heard: Result<(), Fault>,
    hosts: &[HostRows<'_>],
) -> Outcome {
    let mut listed = hosts.iter().filter_map(|host| host.by_index.get(&index));
    if let Some(fault) = listed.find_map(HostReplyRow::fault) {
        return Outcome::Refused(fault);
    }
    let merged = local.and_then(|local| {
        heard?;
        let parts = hosts
            .iter()
            .filter_map(|host| Some((host.party_id, host.part(&model.plan, index)?)));
        let partials: Vec<(&str, Partial)> = parts
            .map(|(party_id, part)| Ok((party_id, part?)))
            .collect::<Result<_, Fault>>()?;
        // A row that one of the hosts left out has no score.
        model.plan.merge(local, &partials)
    });
    match merged {
        Ok(score) => Outcome::Score(score),
        Err(fault) => Outcome::Failed(fault),
    }
}

/// A row of the answer; `data` is null where Java's is, unless there is something to tell.
fn write_row(index: i32, outcome: &Outcome, explanation: Option<&Explanation>, out: &mut Vec<u8>) {
    let (code, message) = match outcome {
        Outcome::Score(_) => (ReturnCode::SUCCESS, ""),
        Outcome::Refused(fault) | Outcome::Failed(fault) => (fault.code, fault.message.as_str()),
    };
    out.extend_from_slice(b"{\"index\":");
    write_int(index, out);
    out.extend_from_slice(b",\"retcode\":");
    write_int(code.0, out);
    out.extend_from_slice(b",\"retmsg\":");
    write_text(message, out);
    out.extend_from_slice(b",\"data\":");
    if matches!(outcome, Outcome::Failed(_)) && explanation.is_none() {
        out.extend_from_slice(b"null");
    } else {
        write_data(outcome, explanation, out);
    }
    out.push(b'}');
}

fn write_data(outcome: &Outcome, explanation: Option<&Explanation>, row: &mut Vec<u8>) {
    row.push(b'{');
    if let Outcome::Score(score) = outcome {
        score.write_members(row);
    }
    if let Some(explanation) = explanation {
        if matches!(outcome, Outcome::Score(_)) {
            row.push(b',');
        }
        explanation.write_member(row);
    }
    row.push(b'}');
}
