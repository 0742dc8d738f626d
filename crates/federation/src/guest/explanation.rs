//! What an answer tells besides the score when it is asked to: `{"guest":{…},"hosts":{"10000":{…}}}`.

use fate_domain::fault::Fault;

use crate::claim::Claim;
use crate::explain;
use crate::java_json::write_text;
use crate::watch::{Told, Watch};

/// The explanation of one row, as far as it is known.
#[derive(Debug)]
pub(super) struct Explanation {
    guest: Vec<u8>,
    /// Members, by party id.
    hosts: Vec<u8>,
}

impl Explanation {
    /// Of a row of which the guest's own part was seen; `None` when the client did not ask.
    pub(super) fn of_guest(party_id: &str, told: Option<&Told>) -> Option<Self> {
        let guest = told?.object("partyId", party_id)?;
        Some(Explanation {
            guest,
            hosts: Vec::new(),
        })
    }

    fn add_host(&mut self, party_id: &str, object: &[u8]) {
        if !self.hosts.is_empty() {
            self.hosts.push(b',');
        }
        write_text(party_id, &mut self.hosts);
        self.hosts.push(b':');
        self.hosts.extend_from_slice(object);
    }

    /// Appends `"explain":{…}`.
    pub(super) fn write_member(&self, out: &mut Vec<u8>) {
        write_text(explain::MEMBER, out);
        out.extend_from_slice(b":{\"guest\":");
        out.extend_from_slice(&self.guest);
        out.extend_from_slice(b",\"hosts\":{");
        out.extend_from_slice(&self.hosts);
        out.extend_from_slice(b"}}");
    }
}

/// Takes down what a host tells of its part of a row, if anybody wants to know.
///
/// # Errors
/// Code 131 when the host had too few features for the guest's policy.
pub(super) fn hear(
    watch: Option<&mut Watch<'_>>,
    explanation: Option<&mut Explanation>,
    party_id: &str,
    text: Option<&str>,
) -> Result<(), Fault> {
    let Some(watch) = watch else { return Ok(()) };
    let claim = Claim::read(text);
    if claim == Claim::Unusable {
        tracing::warn!(party_id, "the figures of a host's features cannot be used");
    }
    if let Some(explanation) = explanation {
        explanation.add_host(party_id, &claim.object(&mut watch.room));
    }
    watch.check_claim(party_id, &claim)
}
