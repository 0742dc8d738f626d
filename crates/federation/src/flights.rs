//! Questions to hosts that are under way, so that the same one is not put twice at the same time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::result_cache::ResultKey;

type Landing = watch::Receiver<Option<Bytes>>;

/// All that are under way: never more than calls are.
#[derive(Debug, Default)]
pub(crate) struct Flights(Mutex<HashMap<ResultKey, Landing>>);

/// What somebody does who wants to know.
#[derive(Debug)]
pub(crate) enum Ticket {
    /// Nobody asks yet: whoever holds this does. Dropping it without [`Lead::land`] says that there is no answer.
    Lead(Lead),
    /// Somebody is asking.
    Follow(Flight),
}

/// The one who asks.
#[derive(Debug)]
pub(crate) struct Lead {
    key: ResultKey,
    flights: Arc<Flights>,
    land: watch::Sender<Option<Bytes>>,
}

/// Somebody else's question.
#[derive(Debug)]
pub(crate) struct Flight(Landing);

impl Flights {
    /// Leads if nobody does.
    pub(crate) fn board(self: &Arc<Self>, key: ResultKey) -> Ticket {
        match self.0.lock().entry(key) {
            Entry::Occupied(flight) => Ticket::Follow(Flight(flight.get().clone())),
            Entry::Vacant(place) => {
                let (land, landing) = watch::channel(None);
                place.insert(landing);
                Ticket::Lead(Lead {
                    key,
                    flights: Arc::clone(self),
                    land,
                })
            }
        }
    }
}

impl Lead {
    /// Tells everybody who waits.
    pub(crate) fn land(self, data: Bytes) {
        self.land.send_replace(Some(data));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.0.lock().remove(&self.key);
    }
}

impl Flight {
    /// The answer; `None` when there is none.
    pub(crate) async fn landed(mut self) -> Option<Bytes> {
        let landed = self.0.wait_for(Option::is_some).await;
        landed.ok().and_then(|data| data.clone())
    }
}
