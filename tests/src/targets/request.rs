//! Bodies of requests: what clients send to a guest, and guests to a host. Input: a mode, for hosts the set's tag, then the
//! body or the whole packet. What a request's ids say is what the host's plan reads as features.
//!
//! Promises: every outcome is an answer in the contract's form with the code that was counted; a success has a score of
//! finite numbers, or for a host its component's part.

use std::cell::RefCell;

use bytes::Bytes;
use fate_golden::PartyModel;
use fate_proto::proxy::{Command, Data, Metadata, Model, Packet, Task};
use prost::Message as _;

use super::exchange::{Exchange, check_batch, check_envelope, check_single, key_of};
use super::models::Set;
use super::{tagged, take_byte, take_u16};

/// Who is asked, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Guest,
    GuestBatch,
    Host,
    HostBatch,
    /// As a 1.x guest asks.
    HostLegacy,
    /// The input is the packet.
    HostPacket,
}

pub(super) const MODES: [Mode; 6] = [
    Mode::Guest,
    Mode::GuestBatch,
    Mode::Host,
    Mode::HostBatch,
    Mode::HostLegacy,
    Mode::HostPacket,
];

#[derive(Debug)]
struct Bench {
    exchange: Exchange,
    /// Of a packet for each set that has hosts, by its name.
    headers: Vec<(String, Metadata)>,
}

impl Bench {
    fn new() -> Bench {
        let exchange = Exchange::new();
        let sets = exchange.sets.iter();
        let headers = sets.filter_map(|set| {
            let header = header(set, set.host()?);
            Some((set.name.clone(), header))
        });
        Bench {
            headers: headers.collect(),
            exchange,
        }
    }
}

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

pub(super) fn run(mut input: &[u8]) {
    let mode = MODES[usize::from(take_byte(&mut input)) % MODES.len()];
    BENCH.with_borrow_mut(|bench| {
        let Bench { exchange, headers } = bench.get_or_insert_with(Bench::new);
        match mode {
            Mode::Guest => check_single(&exchange.infer(input)),
            Mode::GuestBatch => check_batch(&exchange.infer_batch(input)),
            Mode::HostPacket => {
                if let Ok(packet) = Packet::decode(input) {
                    ask_host(exchange, packet);
                }
            }
            mode => {
                let names = headers.iter().map(|(name, _)| name.as_str());
                let set = tagged(names, take_u16(&mut input));
                ask_host(exchange, packet(mode, &headers[set].1, input));
            }
        }
    });
}

/// The header of a packet for a host of a set.
fn header(set: &Set, host: &PartyModel) -> Metadata {
    let key = key_of(&set.name, host);
    Metadata {
        task: Some(Task {
            task_id: String::new(),
            model: Some(Model {
                namespace: key.namespace,
                table_name: key.table_name,
            }),
        }),
        ..Metadata::default()
    }
}

fn packet(mode: Mode, header: &Metadata, body: &[u8]) -> Packet {
    let command = match mode {
        Mode::HostBatch => "batch",
        _ => "federatedInference",
    };
    let operator = match mode {
        Mode::HostLegacy => "",
        _ => "216",
    };
    Packet {
        header: Some(Metadata {
            command: Some(Command {
                name: command.to_owned(),
            }),
            operator: operator.to_owned(),
            ..header.clone()
        }),
        body: Some(Data {
            key: String::new(),
            value: Bytes::copy_from_slice(body),
        }),
        auth: None,
    }
}

/// The packet that a guest sends to a host of a set, for seeds.
pub(super) fn packet_for(set: &Set, host: &PartyModel, mode: Mode, body: &str) -> Packet {
    packet(mode, &header(set, host), body.as_bytes())
}

fn ask_host(exchange: &Exchange, packet: Packet) {
    let command = packet
        .header
        .as_ref()
        .and_then(|header| header.command.as_ref());
    let is_batch = command.is_some_and(|command| command.name == "batch");
    let (body, code) = exchange.unary_call(packet);
    let answer = check_envelope(&body, code);
    if let Some(compact) = answer.get("compact") {
        assert!(
            compact["digest"].is_string() && compact["bits"].is_string(),
            "{answer}"
        );
        assert!(
            code.is_success() && compact["rows"].is_array() == is_batch,
            "{answer}"
        );
        return;
    }
    if is_batch {
        for row in answer["batchDataList"].as_array().unwrap() {
            assert!(
                row["retcode"].is_i64() && row["data"].is_object(),
                "{answer}"
            );
            assert!(row["retcode"] != 0 || row["data"].as_object().unwrap().len() == 1);
        }
    } else if code.is_success() {
        let members = answer["data"].as_object().unwrap();
        let mut parts = members.iter().filter(|(name, _)| *name != "retcode");
        assert!(parts.any(|(_, part)| part.is_object()), "{answer}");
    }
}
