//! What one host says to the rows of a batch.

use std::collections::HashMap;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_inference::{CompactForm, Partial, Plan};

use crate::compact::PackedRows;
use crate::reply::{Broken, HostReply, HostReplyRow};

#[derive(Debug)]
pub(super) struct HostRows<'a> {
    pub(super) party_id: &'a str,
    pub(super) by_index: HashMap<i32, HostReplyRow<'a>>,
    /// Parts that came in the compact form.
    pub(super) packed: Option<PackedRows>,
}

/// Why a host's answer to a batch cannot be used, in Java's words; the cause is in the log.
pub(super) fn broken(party_id: &str, cause: Broken) -> Fault {
    tracing::warn!(party_id, %cause, "a host's answer to a batch is not usable");
    Fault::new(ReturnCode::NET, format!("party id {party_id} remote error"))
}

impl<'a> HostRows<'a> {
    /// Of a host that was not asked.
    pub(super) fn none(party_id: &'a str) -> Self {
        Self {
            party_id,
            by_index: HashMap::new(),
            packed: None,
        }
    }

    /// The rows of a reply that is no refusal. `form` is the compact form that the host was offered.
    ///
    /// # Errors
    /// Code 105 for rows that cannot be told apart for certain, 108 for an odd compact form.
    pub(super) fn read(
        party_id: &'a str,
        reply: &HostReply<'a>,
        form: Option<CompactForm>,
    ) -> Result<Self, Fault> {
        let mut of_host = Self::none(party_id);
        let rows = reply.rows().map_err(|cause| broken(party_id, cause))?;
        if let Some((form, text)) = form.zip(reply.compact()) {
            of_host.packed = Some(PackedRows::read(party_id, text, form)?);
        }
        for row in rows {
            if of_host.contradicts(&row) {
                return Err(broken(party_id, Broken::RepeatedIndex));
            }
            of_host.by_index.insert(row.index, row);
        }
        Ok(of_host)
    }

    /// Whether a listed row is more than what is told of a packed one.
    fn contradicts(&self, row: &HostReplyRow<'_>) -> bool {
        let is_packed = self.packed.as_ref().is_some_and(|rows| rows.has(row.index));
        is_packed && (row.data.is_some() || !row.code.is_success())
    }

    /// The host's part of a row; `None` when it left the row out.
    pub(super) fn part(&self, plan: &Plan, index: i32) -> Option<Result<Partial, Fault>> {
        let packed = self.packed.as_ref().and_then(|rows| rows.part(index));
        if let Some(bytes) = packed {
            return Some(plan.read_compact(self.party_id, bytes));
        }
        let data = self.by_index.get(&index)?.data?;
        Some(plan.read_partial(self.party_id, data))
    }
}
