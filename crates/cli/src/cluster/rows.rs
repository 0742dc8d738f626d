//! A host's rows: the tables of the golden sets behind the trait that feature sources have.
//!
//! A row's ids are `{"set": "<set>", "id": "<row>"}`; `set` may be left out when the host has one set only.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_features::{BatchRows, BoxFuture, FeatureRow, FeatureSource};
use fate_golden::{Set, Table};
use serde::Deserialize;

/// The rows that one host party has in several sets.
#[derive(Debug)]
pub(super) struct HostRows {
    /// By the set's name.
    tables: BTreeMap<String, HostTable>,
    numbers: bool,
}

#[derive(Debug)]
struct HostTable {
    set: Arc<Set>,
    /// Position among the set's hosts.
    host: usize,
    /// Row id to position in the table.
    positions: HashMap<String, usize>,
}

#[derive(Deserialize)]
struct Ids {
    set: Option<String>,
    id: String,
}

impl HostRows {
    /// The rows of all hosts of the sets, by party id.
    pub(super) fn of(sets: &[Arc<Set>], numbers: bool) -> BTreeMap<String, HostRows> {
        let mut parties: BTreeMap<String, HostRows> = BTreeMap::new();
        for set in sets {
            for (host, party) in set.hosts().iter().enumerate() {
                let rows = parties
                    .entry(party.party_id.clone())
                    .or_insert_with(|| HostRows {
                        tables: BTreeMap::new(),
                        numbers,
                    });
                rows.tables
                    .insert(set.name.clone(), HostTable::new(set, host, &party.table));
            }
        }
        parties
    }

    fn find(&self, ids: &str) -> Result<FeatureRow, Fault> {
        let ids: Ids = serde_json::from_str(ids)
            .map_err(|cause| Fault::new(ReturnCode::FEATURE, format!("ids: {cause}")))?;
        self.table(ids.set.as_deref())
            .and_then(|table| table.features(&ids.id, self.numbers))
            .ok_or_else(|| {
                let text = format!("there is no row {:?}", ids.id);
                Fault::new(ReturnCode::HOST_FEATURE_NOT_EXIST, text)
            })
    }

    fn table(&self, set: Option<&str>) -> Option<&HostTable> {
        match set {
            Some(set) => self.tables.get(set),
            None if self.tables.len() == 1 => self.tables.values().next(),
            None => None,
        }
    }
}

impl HostTable {
    fn new(set: &Arc<Set>, host: usize, table: &Table) -> HostTable {
        HostTable {
            set: Arc::clone(set),
            host,
            positions: table
                .rows
                .iter()
                .enumerate()
                .map(|(position, row)| (row.id.clone(), position))
                .collect(),
        }
    }

    fn features(&self, id: &str, numbers: bool) -> Option<FeatureRow> {
        let table = &self.set.hosts().get(self.host)?.table;
        let row = table.rows.get(*self.positions.get(id)?)?;
        Some(FeatureRow::Json(row.json(&table.columns, numbers)))
    }
}

impl FeatureSource for HostRows {
    fn name(&self) -> &str {
        "golden"
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(std::future::ready(self.find(ids)))
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        let rows = ids.iter().map(|ids| self.find(ids)).collect();
        Box::pin(std::future::ready(Ok(rows)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn sets(names: &[&str]) -> Vec<Arc<Set>> {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        names
            .iter()
            .map(|name| Arc::new(Set::open(models.join(name)).unwrap()))
            .collect()
    }

    #[test]
    fn rows_are_found_by_set_and_id() {
        let sets = sets(&["lr_scale_onehot", "sbt_two_hosts"]);
        let parties = HostRows::of(&sets, true);
        assert_eq!(parties.keys().collect::<Vec<_>>(), ["10000", "10001"]);
        let table = &sets[1].hosts()[1].table;
        let row = table.rows.last().unwrap();
        let features = FeatureRow::Json(row.json(&table.columns, true));

        let named = serde_json::json!({ "set": "sbt_two_hosts", "id": row.id }).to_string();
        assert_eq!(parties["10001"].find(&named), Ok(features.clone()));
        let bare = serde_json::json!({ "id": row.id }).to_string();
        assert_eq!(parties["10001"].find(&bare), Ok(features));
        // This host has rows of two sets: without the set's name there is no telling which.
        for ids in [bare.as_str(), r#"{"set":"sbt_two_hosts","id":"nobody"}"#] {
            let fault = parties["10000"].find(ids).unwrap_err();
            assert_eq!(fault.code, ReturnCode::HOST_FEATURE_NOT_EXIST, "{ids}");
        }
        for ids in ["", "{}", "[]", r#"{"id":7}"#] {
            let fault = parties["10000"].find(ids).unwrap_err();
            assert_eq!(fault.code, ReturnCode::FEATURE, "{ids}");
        }
    }
}
