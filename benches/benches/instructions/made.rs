//! Models and rows that are the same everywhere: a guest and one host, half of the features each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use fate_proto::buffer::{
    BoostingTreeModelMeta, BoostingTreeModelParam, DecisionTreeModelParam, LrModelMeta,
    LrModelParam, NodeParam, ObjectiveMeta, Pipeline,
};
use prost::Message as _;
use serde_json::json;

pub(crate) const GUEST: &str = "9999";
pub(crate) const HOST: &str = "10000";
pub(crate) const SERVICE: &str = "made";

/// Different rows; ids of the host's are their numbers.
pub(crate) const ROWS: usize = 512;
const TREE_FEATURES: usize = 25;
const DEPTH: u32 = 6;

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Of so many features a party.
    Linear { features: usize },
    /// Complete trees of depth 6 over 25 features a party.
    Forest { trees: usize },
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between -2 and 2, with as many digits as a table has.
    fn value(&mut self) -> f64 {
        (self.roll() % 4_000_001) as f64 / 1e6 - 2.0
    }
}

/// A model and rows for it.
pub(crate) struct Case {
    kind: Kind,
    rows_per_call: usize,
    guest_rows: Vec<String>,
    pub(crate) host_rows: Vec<Vec<(String, f64)>>,
}

impl Case {
    /// `lr:FEATURES` or `sbt:TREES`, with `:ROWS` behind it for a batch.
    pub(crate) fn named(name: &str) -> anyhow::Result<Self> {
        let mut parts = name.split(':');
        let kind = parts.next().unwrap_or_default();
        let numbers: Vec<usize> = parts.map(str::parse).collect::<Result<_, _>>()?;
        let (size, rows) = match numbers[..] {
            [size] => (size, 1),
            [size, rows] => (size, rows),
            _ => anyhow::bail!("{name}: no such case"),
        };
        match kind {
            "lr" => Ok(Self::new(Kind::Linear { features: size }, rows)),
            "sbt" => Ok(Self::new(Kind::Forest { trees: size }, rows)),
            _ => anyhow::bail!("{name}: no such case"),
        }
    }

    fn new(kind: Kind, rows_per_call: usize) -> Self {
        let mut dice = Dice(7);
        let features = match kind {
            Kind::Linear { features } => features,
            Kind::Forest { .. } => TREE_FEATURES,
        };
        let mut row = |party: &str| -> Vec<(String, f64)> {
            (0..features)
                .map(|feature| (format!("{party}{feature}"), dice.value()))
                .collect()
        };
        let guest_rows = (0..ROWS).map(|_| object(&row("x"))).collect();
        let host_rows = (0..ROWS).map(|_| row("z")).collect();
        Self {
            kind,
            rows_per_call,
            guest_rows,
            host_rows,
        }
    }

    pub(crate) fn is_batch(&self) -> bool {
        self.rows_per_call > 1
    }

    /// The body of a call.
    pub(crate) fn question(&self, number: usize) -> Bytes {
        let features = |row: usize| &self.guest_rows[row % ROWS];
        let ids = |row: usize| format!(r#"{{"id":"{}"}}"#, row % ROWS);
        let mut body = format!(r#"{{"serviceId":"{SERVICE}","caseId":"case-{number:06}","#);
        let first = number * self.rows_per_call;
        // Writing to a string cannot fail.
        let _ = if self.is_batch() {
            let rows: Vec<String> = (0..self.rows_per_call)
                .map(|row| {
                    let (features, ids) = (features(first + row), ids(first + row));
                    format!(r#"{{"index":{row},"featureData":{features},"sendToRemoteFeatureData":{ids}}}"#)
                })
                .collect();
            write!(body, r#""batchDataList":[{}]}}"#, rows.join(","))
        } else {
            let (features, ids) = (features(first), ids(first));
            write!(
                body,
                r#""featureData":{features},"sendToRemoteFeatureData":{ids}}}"#
            )
        };
        body.into()
    }

    /// A party's model, as a serving-server's cache file has it.
    pub(crate) fn buffers(&self, is_guest: bool) -> BTreeMap<String, Vec<u8>> {
        let (component, class, meta, param) = match self.kind {
            Kind::Linear { features } => {
                let (meta, param) = linear(features, is_guest);
                ("hetero_lr_0", "HeteroLR", meta, param)
            }
            Kind::Forest { trees } => {
                let (meta, param) = forest(trees, is_guest);
                ("sbt_0", "HeteroSecureBoostingTree", meta, param)
            }
        };
        let role = if is_guest { "Guest" } else { "Host" };
        let dsl = json!({"components": {component: {
            "CodePath": format!("{class}{role}"), "input": {"data": {"data": ["args.eval_data"]}},
        }}});
        let pipeline = Pipeline {
            inference_dsl: dsl.to_string().into_bytes().into(),
            fate_version: "1.11.4".to_owned(),
            ..Default::default()
        };
        BTreeMap::from([
            (
                "pipeline.pipeline:Pipeline".to_owned(),
                pipeline.encode_to_vec(),
            ),
            (format!("{component}.model:AnyMeta"), meta),
            (format!("{component}.model:AnyParam"), param),
        ])
    }
}

fn object(row: &[(String, f64)]) -> String {
    let members: Vec<String> = row
        .iter()
        .map(|(name, value)| format!("{name:?}:{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn linear(features: usize, is_guest: bool) -> (Vec<u8>, Vec<u8>) {
    let mut dice = Dice(11 + u64::from(is_guest));
    let prefix = if is_guest { "x" } else { "z" };
    let header: Vec<String> = (0..features)
        .map(|feature| format!("{prefix}{feature}"))
        .collect();
    let meta = LrModelMeta {
        penalty: "L2".to_owned(),
        ..Default::default()
    };
    let param = LrModelParam {
        weight: header
            .iter()
            .map(|name| (name.clone(), dice.value() / 10.0))
            .collect(),
        header,
        ..Default::default()
    };
    (meta.encode_to_vec(), param.encode_to_vec())
}

/// Both parties' parts come from the same rolls.
fn forest(trees: usize, is_guest: bool) -> (Vec<u8>, Vec<u8>) {
    let mut dice = Dice(13);
    let prefix = if is_guest { "x" } else { "z" };
    let meta = BoostingTreeModelMeta {
        learning_rate: 0.3,
        objective_meta: Some(ObjectiveMeta {
            objective: "cross_entropy".to_owned(),
            param: Vec::new(),
        }),
        ..Default::default()
    };
    let param = BoostingTreeModelParam {
        tree_num: i32::try_from(trees).unwrap_or(i32::MAX),
        trees: (0..trees).map(|_| tree(&mut dice, is_guest)).collect(),
        init_score: vec![0.0],
        tree_dim: 1,
        num_classes: 2,
        classes: vec!["0".to_owned(), "1".to_owned()],
        feature_name_fid_mapping: (0_i32..)
            .take(TREE_FEATURES)
            .map(|feature| (feature, format!("{prefix}{feature}")))
            .collect(),
        ..Default::default()
    };
    (meta.encode_to_vec(), param.encode_to_vec())
}

/// Node `n` has the children `2n + 1` and `2n + 2`.
fn tree(dice: &mut Dice, is_guest: bool) -> DecisionTreeModelParam {
    let mut tree = DecisionTreeModelParam::default();
    for node in 0..(1_i32 << (DEPTH + 1)) - 1 {
        let (belongs_to_guest, feature) = (dice.roll() % 2 == 1, dice.roll());
        let (split, weight) = (dice.value(), dice.value() / 20.0);
        let is_leaf = node >= (1 << DEPTH) - 1;
        let owner = match belongs_to_guest || is_leaf {
            true => format!("guest:{GUEST}"),
            false => format!("host:{HOST}"),
        };
        let mut written = NodeParam {
            id: node,
            sitename: owner,
            is_leaf,
            weight: if is_guest { weight } else { 0.0 },
            left_nodeid: -1,
            right_nodeid: -1,
            ..Default::default()
        };
        if !is_leaf {
            written.fid = i32::try_from(feature % TREE_FEATURES as u64).unwrap_or(0);
            written.left_nodeid = 2 * node + 1;
            written.right_nodeid = 2 * node + 2;
            if belongs_to_guest == is_guest {
                tree.split_maskdict.insert(node, split);
                tree.missing_dir_maskdict.insert(node, 1);
            }
        }
        tree.tree.push(written);
    }
    tree
}
