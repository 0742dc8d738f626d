//! SecureBoost: tree ensembles whose nodes are spread over the parties (contract 02 A11, B2 rows 1 to 5, B4).
//!
//! A node belongs to the party that owns its feature. The host decides all its nodes at once and sends the decisions;
//! the guest walks its own nodes, takes the hosts' decisions at theirs, and adds the leaves. In mix mode a tree belongs
//! to one party, and the host sends the leaf it reached.
//!
//! [`quick`] chooses between [`words`] and [`ranks`] with [`kernel`]; [`Trees`] are the slow and plain way. All decide alike
//! ([`agreement`]).

use fate_domain::{fault::Fault, party::Role, return_code::ReturnCode};

use crate::{Cell, Row, dsl::FateVersion, symbols::Column};

mod bits;
mod build;
mod compact;
mod decisions;
mod guest;
mod homo;
mod host;
mod kernel;
mod quick;
mod ranks;
mod score;
#[allow(
    unsafe_code,
    reason = "code for instructions that not every processor has can only be called so"
)]
mod simd;
mod words;

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod race;

pub(crate) use bits::Bits;
pub(crate) use build::{build_guest, build_host};
pub(crate) use guest::Walk;
pub(crate) use homo::build as build_homo;

/// FATE's `consts.FLOAT_ZERO` since 1.5: the slack of a split, and what counts as zero when a dense row becomes sparse.
pub(crate) const FLOAT_ZERO: f64 = 1e-8;

/// What counts as zero when FATE makes a sparse row of a dense one.
pub(crate) fn float_zero(version: FateVersion) -> f64 {
    if version < FateVersion(1, 5, 0) {
        1e-6
    } else {
        FLOAT_ZERO
    }
}

/// All trees in one list of nodes, as the buffers have them: what is served when rows or trees are too odd for
/// [`quick`], and what that is tested against. Children are positions in that list, behind their parent's.
#[derive(Debug)]
struct Trees {
    nodes: Vec<Node>,
    /// First node of each tree, and one past the last node of the last tree.
    starts: Vec<u32>,
    features: Features,
}

#[derive(Debug, Clone, Copy)]
enum Node {
    /// A leaf; what it weighs is in the guest's table, under the node's position.
    Leaf,
    /// Decided here: feature slot, highest value that goes left, way of a missing value.
    Own {
        slot: u32,
        threshold: f64,
        missing_left: bool,
        left: u32,
        right: u32,
    },
    /// Decided by a host (position in the site's list; several when the model does not tell which).
    Foreign {
        host: Option<u32>,
        left: u32,
        right: u32,
    },
}

impl Trees {
    fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    fn root(&self, tree: usize) -> u32 {
        self.starts[tree]
    }

    fn node(&self, position: u32) -> Node {
        self.nodes[position as usize]
    }

    /// The tree of a node.
    fn tree_of(&self, position: u32) -> usize {
        let starts = self.starts.partition_point(|start| *start <= position);
        starts.saturating_sub(1)
    }

    /// Position of a tree's node in the common list.
    fn position(&self, tree: u32, node: u32) -> Option<u32> {
        let start = *self.starts.get(tree as usize)?;
        let end = *self.starts.get(tree as usize + 1)?;
        start.checked_add(node).filter(|position| *position < end)
    }
}

/// The features that own nodes look at, and how a cell becomes a value.
#[derive(Debug)]
struct Features {
    columns: Vec<Column>,
    rule: ValueRule,
}

/// How missing values and zeros are seen.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ValueRule {
    /// Absent is missing; null and text that is no number are errors, NaN goes right (contract 02 F9, F10).
    Java,
    /// Absent, null and NaN are missing.
    Fate {
        /// Trees see sparse rows. A dense row is made one, and leaves out what is below this; a row that was read as a
        /// sparse one keeps whatever it holds, zeros too (boosting.py `data_format_transform`).
        leaves_out_below: Option<f64>,
        /// A position that the row leaves out is missing (`use_missing` with `zero_as_missing`), not zero.
        left_out_is_missing: bool,
    },
}

/// A feature's value as decisions see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Missing,
    /// Present and no number: a fault where a decision looks at it.
    Bad,
}

impl Features {
    #[inline]
    fn values(&self, row: &Row<'_>) -> impl Iterator<Item = Value> {
        let columns = self.columns.iter();
        columns.map(|&column| self.rule.value(row.cell(column)))
    }
}

impl ValueRule {
    #[inline]
    fn value(self, cell: &Cell<'_>) -> Value {
        let ValueRule::Fate {
            leaves_out_below,
            left_out_is_missing,
        } = self
        else {
            return match cell {
                Cell::Absent => Value::Missing,
                cell => cell.number().map_or(Value::Bad, Value::Number),
            };
        };
        if let (Cell::Number(number, _), Some(limit)) = (cell, leaves_out_below)
            && number.abs() >= limit
        {
            return Value::Number(*number);
        }
        if cell.is_missing() {
            return Value::Missing;
        }
        let is_left_out = |number: f64| {
            *cell == Cell::ImplicitZero
                || leaves_out_below.is_some_and(|limit| number.abs() < limit)
        };
        match cell.number() {
            None => Value::Bad,
            Some(number) if number.is_nan() => Value::Missing,
            Some(number) if !is_left_out(number) => Value::Number(number),
            Some(_) if left_out_is_missing => Value::Missing,
            Some(_) => Value::Number(0.0),
        }
    }
}

/// Whether a value goes left.
fn goes_left(value: Value, threshold: f64, missing_left: bool) -> Result<bool, Fault> {
    match value {
        Value::Number(number) => Ok(number <= threshold),
        Value::Missing => Ok(missing_left),
        Value::Bad => Err(Fault::new(
            ReturnCode::SYSTEM,
            "a feature of the tree model is not a number",
        )),
    }
}

/// Who owns a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Own,
    Host(Option<u32>),
}

/// Reads a node's site, `host:10000`. FATE-Serving 2.1.7 compares party ids only, so that equal ids break it (F12).
fn owner(site: &str, role: Role, party_id: &str, hosts: &[String], java: bool) -> Owner {
    let (site_role, id) = match site.split_once(':') {
        Some((role, rest)) => (Some(role), rest.split(':').next().unwrap_or(rest)),
        None => (None, site),
    };
    let role_fits = java || site_role.is_none_or(|site_role| site_role == role.to_string());
    let bare_role = site_role.is_none() && !java && site == role.to_string();
    if (id == party_id && role_fits) || bare_role {
        return Owner::Own;
    }
    let host = hosts
        .iter()
        .position(|host| host == id)
        .and_then(|index| u32::try_from(index).ok());
    Owner::Host(host)
}

#[cfg(test)]
impl ValueRule {
    fn fate(leaves_out_below: Option<f64>, left_out_is_missing: bool) -> Self {
        ValueRule::Fate {
            leaves_out_below,
            left_out_is_missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_belongs_to_role_and_party() {
        let hosts = ["10000".to_owned(), "9999".to_owned()];
        let of = |site, java| owner(site, Role::Guest, "9999", &hosts, java);
        assert_eq!(of("guest:9999", false), Owner::Own);
        assert_eq!(of("host:10000", false), Owner::Host(Some(0)));
        assert_eq!(of("host:9999", false), Owner::Host(Some(1)));
        assert_eq!(of("host:9999", true), Owner::Own);
        assert_eq!(of("guest", false), Owner::Own);
        assert_eq!(of("guest", true), Owner::Host(None));
        assert_eq!(of("9999", true), Owner::Own);
    }

    #[test]
    fn zeros_and_missing_values_follow_the_rule() {
        use Value::{Bad, Missing, Number};
        let dense = ValueRule::fate(Some(1e-8), false);
        let zero_missing = ValueRule::fate(Some(1e-8), true);
        for (cell, of_java, of_dense, of_zero_missing) in [
            (Cell::Absent, Missing, Missing, Missing),
            (Cell::Null, Bad, Missing, Missing),
            (Cell::double(0.0), Number(0.0), Number(0.0), Missing),
            (Cell::double(-9e-9), Number(-9e-9), Number(0.0), Missing),
            (Cell::double(1e-8), Number(1e-8), Number(1e-8), Number(1e-8)),
            (Cell::Text("x".into()), Bad, Bad, Bad),
            (Cell::ImplicitZero, Number(0.0), Number(0.0), Missing),
        ] {
            assert_eq!(ValueRule::Java.value(&cell), of_java, "{cell:?}");
            assert_eq!(dense.value(&cell), of_dense, "{cell:?}");
            assert_eq!(zero_missing.value(&cell), of_zero_missing, "{cell:?}");
        }
        assert_eq!(dense.value(&Cell::double(f64::NAN)), Missing);
        let sparse = ValueRule::fate(None, false);
        let sparse_zero_missing = ValueRule::fate(None, true);
        for number in [0.0, 5e-9] {
            let held = Cell::double(number);
            assert_eq!(sparse.value(&held), Number(number));
            assert_eq!(sparse_zero_missing.value(&held), Number(number));
        }
        assert_eq!(sparse.value(&Cell::ImplicitZero), Number(0.0));
        assert_eq!(sparse_zero_missing.value(&Cell::ImplicitZero), Missing);
    }
}
