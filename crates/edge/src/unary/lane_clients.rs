//! The clients of one address: one for each lane and one for the rest of the process, so that a call changes no thread.

use super::UnaryClient;
use crate::config::Address;
use crate::dial::Dialer;
use crate::lane;

/// A connection for each thread that calls; made when it is needed.
#[derive(Debug)]
pub struct LaneClients(Box<[UnaryClient]>);

impl LaneClients {
    /// For a process with so many lanes.
    ///
    /// # Errors
    /// The address is none.
    pub fn open(
        address: &Address,
        dialer: &Dialer,
        max_message_bytes: usize,
        lanes: usize,
    ) -> Result<Self, String> {
        let open = |_| UnaryClient::open(address, dialer.clone(), max_message_bytes);
        Ok(Self((0..=lanes).map(open).collect::<Result<_, _>>()?))
    }

    /// The one for this thread.
    pub fn here(&self) -> &UnaryClient {
        &self.0[lane::place() % self.0.len()]
    }
}
