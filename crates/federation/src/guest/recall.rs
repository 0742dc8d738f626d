//! What is remembered of the hosts' parts of a request's rows.

use std::time::Duration;

use bytes::Bytes;
use fate_model::{LoadedModel, Remote};

use super::Guest;
use super::host_rows::HostRows;
use crate::request::GuestRow;
use crate::result_cache::{RemoteResults, ResultKey};
use crate::watch::Inquiry;

/// The cache may take this part of the time that hosts have.
const SHARE_OF_TIME: u32 = 4;

/// By host and row. Without a cache nothing is remembered, and it costs nothing to know that.
#[derive(Debug)]
pub(super) struct Recalled<'a> {
    rows: usize,
    found: Option<Found<'a>>,
}

/// Both lists go by host first, then by row.
#[derive(Debug)]
struct Found<'a> {
    results: &'a RemoteResults,
    keys: Vec<ResultKey>,
    data: Vec<Option<Bytes>>,
}

impl<'a> Recalled<'a> {
    /// Looks once for all hosts and rows. `ids` are texts of objects. Rows of which somebody wants to know what they
    /// brought along are not looked for: a host's figures are not remembered.
    pub(super) async fn of(
        guest: &'a Guest,
        model: &LoadedModel,
        hosts: &[&Remote],
        ids: &[&str],
        inquiry: Inquiry,
        limit: Duration,
    ) -> Self {
        let rows = ids.len();
        let wanted = guest.results.as_ref();
        let wanted = wanted.filter(|_| !hosts.is_empty() && !inquiry.watches());
        let Some(results) = wanted else {
            return Self { rows, found: None };
        };
        let key = |host: &Remote, ids: &str| ResultKey::of(&host.party_id, &model.key, ids);
        let keys: Vec<ResultKey> = hosts
            .iter()
            .flat_map(|host| ids.iter().map(|ids| key(host, ids)))
            .collect();
        let mut data = results.cache.get(&keys, limit / SHARE_OF_TIME).await;
        data.resize(keys.len(), None);
        for (place, one) in data.iter_mut().enumerate() {
            let party_id = &hosts[place / rows].party_id;
            // Others write into a shared cache, too.
            if one
                .as_ref()
                .is_some_and(|one| !is_part(model, party_id, one))
            {
                tracing::warn!(key = ?keys[place], party_id, "the cache holds something that is no host's part");
                *one = None;
            }
        }
        Self {
            rows,
            found: Some(Found {
                results,
                keys,
                data,
            }),
        }
    }

    /// The `data` that a host answered before, the text of an object.
    pub(super) fn data(&self, host: usize, row: usize) -> Option<&Bytes> {
        let found = self.found.as_ref()?;
        found.data[host * self.rows + row].as_ref()
    }

    /// As [`Self::data`].
    pub(super) fn text(&self, host: usize, row: usize) -> Option<&str> {
        std::str::from_utf8(self.data(host, row)?).ok()
    }

    /// Where to remember what a host answers, and under which key.
    pub(super) fn place(&self, host: usize, row: usize) -> Option<(&'a RemoteResults, ResultKey)> {
        let found = self.found.as_ref()?;
        Some((found.results, found.keys[host * self.rows + row]))
    }

    /// Remembers the rows of a batch that hosts answered with success.
    pub(super) fn remember(&self, rows: &[GuestRow<'_>], replied: &[HostRows<'_>]) {
        let Some(found) = &self.found else {
            return;
        };
        let mut entries = Vec::new();
        for (host, of_host) in replied.iter().enumerate() {
            for (position, row) in rows.iter().enumerate() {
                let place = host * self.rows + position;
                let answered = of_host
                    .by_index
                    .get(&row.index)
                    .filter(|row| row.fault().is_none());
                if let (None, Some(data)) = (&found.data[place], answered.and_then(|row| row.data))
                {
                    entries.push((found.keys[place], Bytes::copy_from_slice(data.as_bytes())));
                }
            }
        }
        if !entries.is_empty() {
            found.results.cache.put(entries);
        }
    }

    /// Forgets every host's part of a row that could not be merged, so that the next request asks the hosts: what one of
    /// them said once, or somebody else wrote, must not fail a row for as long as it is remembered.
    pub(super) fn forget(&self, row: usize) {
        if let Some(found) = &self.found {
            let keys = found.keys.iter().skip(row).step_by(self.rows);
            found.results.cache.forget(keys.copied().collect());
        }
    }

    /// Parts that were looked for: those found, and those not.
    pub(super) fn tally(&self) -> (u32, u32) {
        let data = self.found.as_ref().map_or(&[][..], |found| &found.data);
        let hits = data.iter().filter(|one| one.is_some()).count();
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        (count(hits), count(data.len() - hits))
    }
}

fn is_part(model: &LoadedModel, party_id: &str, data: &[u8]) -> bool {
    let text = std::str::from_utf8(data).ok();
    text.is_some_and(|text| {
        text.starts_with('{') && model.plan.read_partial(party_id, text).is_ok()
    })
}
