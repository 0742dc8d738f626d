//! Models that a party has whole (homogeneous and local ones): the guest scores alone, no host is asked (contract 02 B4).

use fate_domain::{fault::Fault, return_code::ReturnCode};

use super::{GuestModel, HostModel, Part};
use crate::{GuestLocal, Partial, Row, Score, symbols::Column};

/// A guest's model whose score takes nobody else's part.
#[derive(Debug)]
struct Alone<M>(M);

/// The host of such a model: it is loaded like all parties' parts, and has nothing to say.
#[derive(Debug)]
struct Unasked;

pub(super) fn guest(model: impl GuestModel + 'static, kind: impl Into<String>) -> Part {
    Part::guest(Alone(model), kind)
}

pub(super) fn unasked(kind: &str) -> Part {
    Part::host(Unasked, format!("{kind}: the guest scores alone"))
}

fn not_asked() -> Fault {
    Fault::new(
        ReturnCode::MERGE,
        "the model is scored by the guest alone; no host has a part in it",
    )
}

impl<M: GuestModel> GuestModel for Alone<M> {
    fn local(&self, row: &Row<'_>) -> Result<GuestLocal, Fault> {
        self.0.local(row)
    }

    fn read_partial(&self, _party_id: &str, _json: &str) -> Result<Partial, Fault> {
        Err(not_asked())
    }

    fn merge(&self, local: GuestLocal, _partials: &[&Partial]) -> Result<Score, Fault> {
        self.0.merge(local, &[])
    }

    fn read_legacy_partial(&self, _party_id: &str, _data: &str) -> Result<Partial, Fault> {
        Err(not_asked())
    }

    fn columns(&self) -> Vec<Column> {
        self.0.columns()
    }

    fn needs_hosts(&self) -> bool {
        false
    }
}

impl HostModel for Unasked {
    fn partial(&self, _row: &Row<'_>) -> Result<Partial, Fault> {
        Err(not_asked())
    }

    fn columns(&self) -> Vec<Column> {
        Vec::new()
    }

    fn write_partial(&self, _partial: &Partial, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{}");
    }
}
