//! The pipeline: its DSL as text, or the whole message. Input: flags, then the text or the message.
//!
//! Promises: as for component buffers; and a plan reports every component of its DSL once.

use std::cell::RefCell;

use bytes::Bytes;
use fate_domain::party::Role;
use fate_inference::{Buffers, PIPELINE_KEY, Semantics, Site};
use fate_proto::buffer::Pipeline;
use prost::Message as _;

use super::buffers::{compiled, score};
use super::models::{set_named, sets};
use super::{is_repeated, take_byte};

/// Set in the flags when a `Pipeline` message follows instead of a DSL.
pub(super) const WHOLE_MESSAGE: u8 = 4;

/// Buffers that a DSL may speak of: a linear pipeline with all its steps, and a forest.
const SETS: [&str; 4] = [
    "lr_scale_onehot",
    "lr_binning_woe",
    "lr_feature_imputation",
    "sbt_multiclass",
];

thread_local! {
    /// The guest's and the host's.
    static BUFFERS: RefCell<Option<[Buffers; 2]>> = const { RefCell::new(None) };
}

fn buffers(role: Role) -> Buffers {
    let parties = SETS
        .map(set_named)
        .map(|set| set.party(role).buffers.clone());
    let mut all = Buffers::new();
    parties
        .into_iter()
        .rev()
        .for_each(|buffers| all.extend(buffers));
    all
}

pub(super) fn flags(role: Role, semantics: Semantics) -> u8 {
    u8::from(role == Role::Host) | u8::from(semantics == Semantics::Java) << 1
}

/// The DSL of every party of every set.
pub(super) fn real_pipelines() -> Vec<(Role, Bytes)> {
    let all = sets();
    let parties = all.iter().flat_map(|set| &set.parties);
    parties
        .map(|party| (party.role, party.buffers[PIPELINE_KEY].clone()))
        .collect()
}

pub(super) fn run(mut input: &[u8]) {
    let is_repeated = is_repeated(input);
    let flags = take_byte(&mut input);
    let semantics = match flags & 2 {
        0 => Semantics::Fate,
        _ => Semantics::Java,
    };
    let (role, hosts) = match flags & 1 {
        0 => (Role::Guest, vec!["10000".to_owned()]),
        _ => (Role::Host, Vec::new()),
    };
    let site = Site {
        role,
        party_id: "9999".to_owned(),
        hosts,
    };
    let message = if flags & WHOLE_MESSAGE == 0 {
        let pipeline = Pipeline {
            inference_dsl: Bytes::copy_from_slice(input),
            fate_version: "1.11.4".to_owned(),
            ..Pipeline::default()
        };
        pipeline.encode_to_vec().into()
    } else {
        Bytes::copy_from_slice(input)
    };
    BUFFERS.with_borrow_mut(|known| {
        let known = known.get_or_insert_with(|| [Role::Guest, Role::Host].map(buffers));
        let buffers = &mut known[usize::from(role == Role::Host)];
        buffers.insert(PIPELINE_KEY.to_owned(), message);
        let Ok(plan) = compiled(buffers, &site, semantics, is_repeated) else {
            return;
        };
        let names: Vec<&str> = plan
            .verdict()
            .components
            .iter()
            .map(|component| component.name.as_str())
            .collect();
        for (position, name) in names.iter().enumerate() {
            assert!(!names[..position].contains(name), "{name} runs twice");
        }
        score(&plan, &site, semantics, is_repeated);
    });
}
