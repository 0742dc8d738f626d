//! Where SecureBoost sends rows without a value, by release: one split of the guest, `f <= 0` or missing, left +1.

use fate_proto::buffer::{
    BoostingTreeModelMeta, BoostingTreeModelParam, DataTransformMeta, DataTransformParam,
    DecisionTreeModelMeta, DecisionTreeModelParam, NodeParam,
};
use serde_json::{Value, json};

use crate::party::{Component, FATE, GUEST, compile_all, sigmoid, version};

const LEFT: f64 = 1.0;
const RIGHT: f64 = -1.0;

#[derive(Clone, Copy)]
struct Stump {
    release: &'static str,
    use_missing: bool,
    zero_as_missing: bool,
    missing_dir: i32,
    /// Of the guest's table: dense or sparse, and which of both its rows become.
    formats: (&'static str, &'static str),
}

impl Stump {
    fn leaf(self, row: Value) -> f64 {
        let node = |id: i32, children: i32, weight: f64| NodeParam {
            id,
            sitename: format!("guest:{GUEST}"),
            is_leaf: children < 0,
            left_nodeid: children,
            right_nodeid: children + i32::from(children > 0),
            weight,
            ..Default::default()
        };
        let tree = DecisionTreeModelParam {
            tree: vec![node(0, 1, 0.0), node(1, -1, LEFT), node(2, -1, RIGHT)],
            split_maskdict: [(0, 0.0)].into(),
            missing_dir_maskdict: [(0, self.missing_dir)].into(),
            ..Default::default()
        };
        let meta = BoostingTreeModelMeta {
            learning_rate: 1.0,
            tree_meta: Some(DecisionTreeModelMeta {
                use_missing: self.use_missing,
                zero_as_missing: self.zero_as_missing,
                ..Default::default()
            }),
            ..Default::default()
        };
        let param = BoostingTreeModelParam {
            tree_num: 1,
            trees: vec![tree],
            init_score: vec![0.0],
            tree_dim: 1,
            num_classes: 2,
            classes: vec!["0".to_owned(), "1".to_owned()],
            feature_name_fid_mapping: [(0, "f".to_owned())].into(),
            ..Default::default()
        };
        let (input_format, output_format) = self.formats;
        let table = DataTransformMeta {
            input_format: input_format.to_owned(),
            output_format: output_format.to_owned(),
            data_type: "float64".to_owned(),
            ..Default::default()
        };
        let header = DataTransformParam {
            header: vec!["f".to_owned()],
            ..Default::default()
        };
        let guest = vec![
            Component::new("data_0", "DataTransform", &table, &header),
            Component::new("sbt_0", "HeteroSecureBoostingTreeGuest", &meta, &param),
        ];
        let mut of_host = param.clone();
        for tree in &mut of_host.trees {
            tree.split_maskdict.clear();
            tree.missing_dir_maskdict.clear();
        }
        let class = "HeteroSecureBoostingTreeHost";
        let host = vec![Component::new("sbt_0", class, &meta, &of_host)];
        let plans = compile_all(&version(self.release), &[guest, host], FATE).unwrap();
        let score = plans.answer(&[row, json!({})]).unwrap()["score"]
            .as_f64()
            .unwrap();
        match score {
            score if score == sigmoid(LEFT) => LEFT,
            score if score == sigmoid(RIGHT) => RIGHT,
            score => panic!("score {score}"),
        }
    }
}

const DENSE: (&str, &str) = ("dense", "dense");
const SPARSE: (&str, &str) = ("sparse", "sparse");

/// hetero_decision_tree_guest.py `traverse_tree` up to 1.6 looks at `use_missing` first, `make_decision` since 1.7 does not.
#[test]
fn before_1_7_only_models_trained_for_missing_values_send_them_left() {
    for (release, use_missing, leaf) in [
        ("1.11.4", false, LEFT),
        ("1.7.0", false, LEFT),
        ("1.6.1", false, RIGHT),
        ("1.6.1", true, LEFT),
        ("1.4.6", false, RIGHT),
    ] {
        let stump = Stump {
            release,
            use_missing,
            zero_as_missing: false,
            missing_dir: -1,
            formats: DENSE,
        };
        assert_eq!(stump.leaf(json!({})), leaf, "{release} {use_missing}");
        assert_eq!(
            stump.leaf(json!({"f": 1})),
            RIGHT,
            "{release} {use_missing}"
        );
    }
}

/// boosting.py `data_format_transform` leaves small values of an array out; what a sparse vector holds stays.
#[test]
fn a_zero_that_a_sparse_row_holds_is_a_value() {
    for (release, formats, row, leaf) in [
        ("1.11.4", SPARSE, json!({}), RIGHT),
        ("1.11.4", SPARSE, json!({"f": 0}), LEFT),
        ("1.11.4", SPARSE, json!({"f": "5e-9"}), LEFT),
        ("1.11.4", SPARSE, json!({"f": "2e-8"}), RIGHT),
        ("1.11.4", DENSE, json!({"f": 0}), RIGHT),
        ("1.11.4", DENSE, json!({"f": "-5e-7"}), LEFT),
        // The guest of these two does not hand zero_as_missing on (hetero_secureboost_guest.py `traverse_a_tree`).
        ("1.6.1", DENSE, json!({"f": 0}), LEFT),
        ("1.5.0", DENSE, json!({"f": 0}), LEFT),
        ("1.7.0", DENSE, json!({"f": 0}), RIGHT),
        // `consts.FLOAT_ZERO` was 1e-6.
        ("1.4.6", DENSE, json!({"f": "-5e-7"}), RIGHT),
        ("1.4.6", DENSE, json!({"f": "-2e-6"}), LEFT),
    ] {
        let stump = Stump {
            release,
            use_missing: true,
            zero_as_missing: true,
            missing_dir: 1,
            formats,
        };
        assert_eq!(stump.leaf(row.clone()), leaf, "{release} {formats:?} {row}");
    }
}
