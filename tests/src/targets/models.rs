//! The models of `models/`, made small where they are long: a target is only as good as it is fast.

use std::path::{Path, PathBuf};

use fate_domain::party::Role;
use fate_golden::{PartyModel, Table};
use fate_inference::Buffers;
use fate_proto::buffer::BoostingTreeModelParam;
use prost::Message as _;
use serde_json::Value;

use super::made;

/// Trees that are kept of a forest.
const TREES: usize = 2;

/// `models/`.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

/// A federated model.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) name: String,
    /// The guest first.
    pub(super) parties: Vec<PartyModel>,
    /// A row of each party, an object of texts.
    pub(super) rows: Vec<String>,
}

impl Set {
    pub(super) fn guest(&self) -> &PartyModel {
        &self.parties[0]
    }

    /// The first host; homogeneous models have none.
    pub(super) fn host(&self) -> Option<&PartyModel> {
        self.parties.get(1)
    }

    pub(super) fn party(&self, role: Role) -> &PartyModel {
        let mut parties = self.parties.iter();
        parties.find(|party| party.role == role).unwrap()
    }
}

/// All sets, with short forests, and the made ones.
pub(super) fn sets() -> Vec<Set> {
    let paths = fate_golden::sets_below(folder()).unwrap();
    let real = paths.iter().map(|path| read(path));
    real.chain(made::sets()).collect()
}

/// A set of `models/`.
pub(super) fn set_named(name: &str) -> Set {
    read(&folder().join(name))
}

fn read(path: &Path) -> Set {
    let set = fate_golden::Set::open(path).unwrap();
    let rows = set.parties.iter().map(|party| first_row(&party.table));
    let rows = rows.collect();
    let parties = set.parties.into_iter().map(|party| {
        let mut buffers = party.buffers;
        shorten_forests(&mut buffers);
        PartyModel {
            role: party.role,
            party_id: party.party_id,
            key: party.key,
            directory: party.directory,
            buffers,
        }
    });
    Set {
        name: set.name,
        parties: parties.collect(),
        rows,
    }
}

fn first_row(table: &Table) -> String {
    let cells = table.rows[0].cells.iter();
    let members: serde_json::Map<String, Value> = cells
        .map(|(column, cell)| (table.columns[*column].clone(), cell.as_str().into()))
        .collect();
    Value::from(members).to_string()
}

fn shorten_forests(buffers: &mut Buffers) {
    for (key, bytes) in buffers.iter_mut() {
        let is_forest = key.contains("SecureBoosting") && key.ends_with("Param");
        if is_forest {
            let mut forest = BoostingTreeModelParam::decode(bytes.clone()).unwrap();
            let dimensions = forest.tree_dim.max(1) as usize;
            let kept = (TREES.div_ceil(dimensions) * dimensions).min(forest.trees.len());
            forest.trees.truncate(kept);
            forest.tree_plan.truncate(kept);
            forest.tree_num = kept as i32;
            forest.feature_importances.clear();
            forest.anonymous_name_mapping.clear();
            forest.losses.clear();
            for tree in &mut forest.trees {
                tree.leaf_count.clear();
            }
            *bytes = forest.encode_to_vec().into();
        }
    }
}
