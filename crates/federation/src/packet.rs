//! The packet a guest sends (contract 01 §4.7), and what a host takes from one.

use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use fate_model::{LoadedModel, Remote};
use fate_proto::proxy::{AuthInfo, Command, Data, Metadata, Model, Packet, Task, Topic};

/// The interface version that FATE-Serving 2.1.7 announces.
const VERSION: &str = "216";

/// Command of a single inference.
pub(crate) const SINGLE_COMMAND: &str = "federatedInference";
/// Command of a batch.
pub(crate) const BATCH_COMMAND: &str = "batch";

/// What all packets of one request share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Envelope<'a> {
    pub(crate) command: &'static str,
    pub(crate) role_name: &'a str,
    pub(crate) case_id: &'a str,
    pub(crate) service_id: &'a str,
    pub(crate) apply_id: Option<&'a str>,
    /// Of a whole packet.
    pub(crate) max_bytes: usize,
}

/// Room for what a packet holds besides the request's own texts: party ids, the model's key, protobuf's lengths.
const FRAME_BYTES: usize = 64 << 10;

impl Envelope<'_> {
    fn has_room_for(&self, body: &[u8]) -> bool {
        let texts = self.case_id.len() + self.service_id.len();
        let texts = texts + self.apply_id.map_or(0, str::len);
        texts + body.len() <= self.max_bytes.saturating_sub(FRAME_BYTES)
    }
}

/// The packet for one host.
///
/// # Errors
/// Code 100 when the packet would be larger than hosts take.
pub(crate) fn request(
    envelope: &Envelope<'_>,
    guest: &LoadedModel,
    host: &Remote,
    body: Vec<u8>,
) -> Result<Packet, Fault> {
    if !envelope.has_room_for(&body) {
        let text = format!(
            "the request is too large: its message to host {} would exceed {} bytes",
            host.party_id, envelope.max_bytes
        );
        return Err(Fault::new(ReturnCode::PARAM, text));
    }
    let topic = |name: &str, party_id: &str| Topic {
        name: name.to_owned(),
        party_id: party_id.to_owned(),
        role: envelope.role_name.to_owned(),
        callback: None,
    };
    Ok(Packet {
        header: Some(Metadata {
            task: Some(Task {
                task_id: String::new(),
                model: Some(Model {
                    namespace: host.key.namespace.clone(),
                    table_name: host.key.table_name.clone(),
                }),
            }),
            src: Some(topic("partnerPartyName", &guest.party_id)),
            dst: Some(topic("partyName", &host.party_id)),
            command: Some(Command {
                name: envelope.command.to_owned(),
            }),
            operator: VERSION.to_owned(),
            ..Metadata::default()
        }),
        body: Some(Data {
            key: String::new(),
            value: body.into(),
        }),
        auth: Some(AuthInfo {
            nonce: envelope.case_id.to_owned(),
            version: VERSION.to_owned(),
            service_id: envelope.service_id.to_owned(),
            apply_id: envelope.apply_id.unwrap_or_default().to_owned(),
            ..AuthInfo::default()
        }),
    })
}

/// A reply carries the body's value and nothing else (contract 01 §1.5).
pub(crate) fn reply(body: Vec<u8>) -> Packet {
    Packet {
        body: Some(Data {
            key: String::new(),
            value: body.into(),
        }),
        ..Packet::default()
    }
}

/// The host's model, as a guest of version 2 names it.
pub(crate) fn model_key(packet: &Packet) -> ModelKey {
    let header = packet.header.as_ref();
    let task = header.and_then(|header| header.task.as_ref());
    match task.and_then(|task| task.model.as_ref()) {
        Some(model) => ModelKey::new(model.table_name.as_str(), model.namespace.as_str()),
        None => ModelKey::new("", ""),
    }
}

/// The command's name; empty when there is none.
pub(crate) fn command(packet: &Packet) -> &str {
    let header = packet.header.as_ref();
    header
        .and_then(|header| header.command.as_ref())
        .map_or("", |command| &command.name)
}

/// Which kind of guest speaks, by `header.operator` (contract 01 §1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// 2.x: the header names the host's model.
    Current,
    /// 1.x: the body names the guest's model.
    Legacy,
}

/// `None` when the operator is neither blank nor a number, which Java never answers.
pub(crate) fn speaker(packet: &Packet) -> Option<Speaker> {
    let operator = packet
        .header
        .as_ref()
        .map_or("", |header| header.operator.trim());
    if operator.is_empty() {
        return Some(Speaker::Legacy);
    }
    let version = fate_domain::java_number::parse_double(operator)?;
    Some(if version < 200.0 {
        Speaker::Legacy
    } else {
        Speaker::Current
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_tells_who_speaks() {
        for (operator, expected) in [
            ("216", Some(Speaker::Current)),
            ("200.0", Some(Speaker::Current)),
            ("", Some(Speaker::Legacy)),
            (" ", Some(Speaker::Legacy)),
            ("199.9", Some(Speaker::Legacy)),
            ("two", None),
        ] {
            let packet = Packet {
                header: Some(Metadata {
                    operator: operator.to_owned(),
                    ..Metadata::default()
                }),
                ..Packet::default()
            };
            assert_eq!(speaker(&packet), expected, "{operator:?}");
        }
        assert_eq!(speaker(&Packet::default()), Some(Speaker::Legacy));
    }
}
