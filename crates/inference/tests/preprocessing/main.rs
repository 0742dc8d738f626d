//! Rows and verdicts of small pipelines, with numbers worked out by hand from FATE's sources (contract 02 A4 to A8, B2, B4).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod pipeline;

use fate_inference::Semantics;
use fate_proto::buffer::{
    ColsMap, ColumnExpandMeta, ColumnExpandParam, DataTransformImputerMeta,
    DataTransformImputerParam, DataTransformMeta, DataTransformParam, FeatureBinningParam,
    FeatureBinningResult, FeatureSelectionMeta, FeatureSelectionParam, IvParam, LeftCols,
    MultiClassResult, OneHotMeta, OneHotParam,
};
use pipeline::*;

#[test]
fn a_tag_counts_when_it_is_there() {
    let plan = plan(
        "1.11.4",
        vec![table(format("tag", "dense"), &["高", "a b"])],
        &[("高", 1.0), ("a b", 10.0)],
    );
    for (row, expected) in [
        (r#"{"高":1,"a b":1,"unknown":1}"#, Ok(11.0)),
        (r#"{"a b":true,"高":false}"#, Ok(10.0)),
        (r#"{"a b":5,"高":"0"}"#, Ok(10.0)),
        (r#"{"a b":null,"高":""}"#, Ok(0.0)),
        ("{}", Ok(0.0)),
        (r#"{"高":"maybe"}"#, Err(110)),
    ] {
        assert_eq!(sum(&plan, row), expected, "{row}");
    }
}

#[test]
fn sparse_tables_know_columns_by_number_too() {
    let header = ["x0", "x1", "x2"];
    let weights = [("x0", 1.0), ("x1", 10.0), ("x2", 100.0)];
    let sparse = vec![table(format("sparse", "dense"), &header)];
    let plan = plan("1.11.4", sparse.clone(), &weights);
    for row in [
        r#"{"0":2,"2":"3"}"#,
        r#"{"x0":2,"x2":3}"#,
        r#"{"x0":2,"2":3,"02":9}"#,
    ] {
        assert_eq!(sum(&plan, row), Ok(302.0), "{row}");
    }
    let java = compiled("1.11.4", sparse, &weights, Semantics::Java).unwrap();
    assert_eq!(sum(&java, r#"{"0":2,"x2":3}"#), Ok(300.0));
}

/// A zero that a dense vector holds is binned, one that a sparse vector leaves out is not.
#[test]
fn what_is_left_out_is_binned_in_dense_vectors_only() {
    let (meta, param) = binning(&["x0"], "bin_num", &[]);
    let shifted = FeatureBinningParam {
        binning_result: Some(FeatureBinningResult {
            binning_result: [(
                "x0".to_owned(),
                IvParam {
                    split_points: vec![-1.0, 5.0],
                    ..Default::default()
                },
            )]
            .into(),
            ..Default::default()
        }),
        ..param
    };
    for (output, expected) in [("dense", 1.0), ("sparse", 0.0)] {
        let steps = vec![
            table(format("tag", output), &["x0"]),
            step("HeteroFeatureBinningHost", &meta, &shifted),
        ];
        let plan = plan("1.11.4", steps, &[("x0", 1.0)]);
        assert_eq!(sum(&plan, "{}"), Ok(expected), "{output}");
        assert_eq!(sum(&plan, r#"{"x0":1}"#), Ok(1.0), "{output}");
    }
}

#[test]
fn missing_tokens_are_fates() {
    let imputer = |tokens: &[&str]| {
        let meta = DataTransformMeta {
            imputer_meta: Some(DataTransformImputerMeta {
                is_imputer: true,
                missing_value: texts(tokens),
                ..Default::default()
            }),
            ..format("dense", "dense")
        };
        let param = DataTransformParam {
            header: texts(&["a"]),
            imputer_param: Some(DataTransformImputerParam {
                missing_replace_value: [("a".to_owned(), "7".to_owned())].into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        vec![step("DataTransform", &meta, &param)]
    };
    let by_version = |version| plan(version, imputer(&[]), &[("a", 1.0)]);
    let (new, old) = (by_version("1.11.4"), by_version("1.6.1"));
    for text in ["", "none", "null", "na"] {
        let row = serde_json::json!({ "a": text }).to_string();
        assert_eq!(
            (sum(&new, &row), sum(&old, &row)),
            (Ok(7.0), Ok(7.0)),
            "{text:?}"
        );
    }
    for row in ["{}", r#"{"a":null}"#] {
        assert_eq!(sum(&new, row), Ok(7.0), "{row}");
    }
    // NaN is a number of Python's that the default list does not name as text.
    assert_eq!(sum(&new, r#"{"a":"nan"}"#), Err(110));
    let stored = plan(
        "1.11.4",
        imputer(&["", "none", "null", "na", "None", "nan"]),
        &[("a", 1.0)],
    );
    for text in ["nan", "None"] {
        let row = serde_json::json!({ "a": text }).to_string();
        assert_eq!(sum(&stored, &row), Ok(7.0), "{text:?}");
    }
    // Python's numbers, and none of Java's own.
    for (text, expected) in [
        ("1_000", Ok(1000.0)),
        (" 1e2 ", Ok(100.0)),
        ("1d", Err(110)),
        ("0x1p1", Err(110)),
    ] {
        let row = serde_json::json!({ "a": text }).to_string();
        assert_eq!(sum(&stored, &row), expected, "{text:?}");
    }
}

#[test]
fn values_become_what_the_table_says() {
    let typed = |data_type: &str, exclusive: &[(&str, &str)]| {
        let pairs = exclusive.iter();
        let meta = DataTransformMeta {
            data_type: data_type.to_owned(),
            exclusive_data_type: pairs
                .map(|(name, data_type)| ((*name).to_owned(), (*data_type).to_owned()))
                .collect(),
            ..format("dense", "dense")
        };
        plan(
            "1.11.4",
            vec![table(meta, &["a", "B"])],
            &[("a", 1.0), ("B", 1.0)],
        )
    };
    let integers = typed("int", &[]);
    assert_eq!(sum(&integers, r#"{"a":"12","B":3.0}"#), Ok(15.0));
    assert_eq!(sum(&integers, r#"{"a":"12.0"}"#), Err(110));
    assert_eq!(sum(&integers, r#"{"a":1.5}"#), Err(110));
    let single = typed("float64", &[("a", "float32")]);
    assert_eq!(sum(&single, r#"{"a":"0.1"}"#), Ok(f64::from(0.1_f32)));
    // FATE writes the names in lower case and compares them as they are: no type for B.
    let other = typed("float64", &[("b", "int")]);
    assert_eq!(sum(&other, r#"{"B":"1.5"}"#), Ok(1.5));
    let meta = DataTransformMeta {
        data_type: "complex".to_owned(),
        ..format("dense", "dense")
    };
    let refusal = compiled(
        "",
        vec![table(meta, &["a"])],
        &[("a", 1.0)],
        Semantics::Fate,
    );
    assert!(refusal.unwrap_err().reason.contains("complex"));
}

#[test]
fn appended_columns_have_their_value_and_need_not_be_supplied() {
    let expand = |fill: &[&str], method: &str| {
        let meta = ColumnExpandMeta {
            append_header: texts(&["a", "b"]),
            method: method.to_owned(),
            fill_value: texts(fill),
            need_run: true,
        };
        let steps = vec![
            step(
                "ColumnExpand",
                &meta,
                &ColumnExpandParam {
                    header: texts(&["x", "a", "b"]),
                },
            ),
            table(format("dense", "dense"), &["x", "a", "b"]),
        ];
        compiled(
            "1.11.4",
            steps,
            &[("x", 1.0), ("a", 10.0), ("b", 100.0)],
            Semantics::Fate,
        )
    };
    let one = expand(&["1e-08"], "manual").unwrap();
    assert_eq!(
        sum(&one, r#"{"x":1,"a":5}"#),
        Ok(1.0 + 10.0 * 1e-8 + 100.0 * 1e-8)
    );
    let each = expand(&["2", "3"], "manual").unwrap();
    assert_eq!(sum(&each, r#"{"x":1}"#), Ok(321.0));
    assert_eq!(each.verdict().features, ["x"]);
    assert!(
        each.verdict().differences[0].contains("ColumnExpand"),
        "{:?}",
        each.verdict().differences
    );
    for (fill, method) in [
        (&["1", "2", "3"][..], "manual"),
        (&[], "manual"),
        (&["1,2"], "manual"),
        (&["1"], "other"),
    ] {
        assert!(expand(fill, method).is_err(), "{fill:?} {method}");
    }
}

#[test]
fn bins_follow_the_release() {
    let steps = |transform_type: &str| {
        let (meta, param) = binning(&["x"], transform_type, &[0.5, -1.5, 2.5, 9.0]);
        vec![
            table(format("dense", "dense"), &["x"]),
            step("HeteroFeatureBinningHost", &meta, &param),
        ]
    };
    let bin = |version: &str, row: &str| sum(&plan(version, steps("bin_num"), &[("x", 1.0)]), row);
    for (version, of_missing) in [
        ("1.4.6", 2.0),
        ("1.5.0", 0.0),
        ("1.6.1", 0.0),
        ("1.7.0", 3.0),
        ("", 3.0),
    ] {
        assert_eq!(bin(version, r#"{"x":null}"#), Ok(of_missing), "{version}");
        assert_eq!(bin(version, r#"{"x":2}"#), Ok(1.0), "{version}");
        assert_eq!(bin(version, r#"{"x":1e300}"#), Ok(2.0), "{version}");
    }
    let woe = plan("1.11.4", steps("woe"), &[("x", 1.0)]);
    assert_eq!(sum(&woe, r#"{"x":1.5}"#), Ok(-1.5));
    assert_eq!(sum(&woe, r#"{"x":null}"#), Ok(9.0));
    assert!(
        woe.verdict()
            .differences
            .iter()
            .any(|sentence| sentence.contains("woe"))
    );
    let none = plan("1.11.4", steps("None"), &[("x", 1.0)]);
    assert_eq!(sum(&none, r#"{"x":1.5}"#), Ok(1.5));
    assert!(
        none.verdict()
            .differences
            .iter()
            .any(|sentence| sentence.contains("bins them"))
    );
}

#[test]
fn weights_of_several_classes_are_those_of_the_first_up_to_1_9() {
    let (meta, mut param) = binning(&["x"], "woe", &[0.0; 3]);
    let of_class = |weight: f64| {
        let (_, class) = binning(&["x"], "woe", &[weight; 3]);
        class.binning_result.unwrap()
    };
    param.multi_class_result = Some(MultiClassResult {
        results: vec![of_class(4.0), of_class(8.0)],
        ..Default::default()
    });
    let by_version = |version| {
        let steps = vec![
            table(format("dense", "dense"), &["x"]),
            step("HeteroFeatureBinningHost", &meta, &param),
        ];
        compiled(version, steps, &[("x", 1.0)], Semantics::Fate)
    };
    assert_eq!(sum(&by_version("1.9.2").unwrap(), r#"{"x":1}"#), Ok(4.0));
    for version in ["1.10.0", "1.11.4", ""] {
        assert!(
            by_version(version)
                .unwrap_err()
                .reason
                .contains("several classes"),
            "{version}"
        );
    }
}

/// numpy keeps no fractions in an array of integers.
#[test]
fn weights_in_a_table_of_integers_lose_their_fractions() {
    let meta = DataTransformMeta {
        data_type: "int".to_owned(),
        ..format("dense", "dense")
    };
    let (binning, param) = binning(&["x"], "woe", &[0.5, -1.5, 2.5]);
    let steps = vec![
        table(meta, &["x"]),
        step("HeteroFeatureBinningHost", &binning, &param),
    ];
    let plan = plan("1.11.4", steps, &[("x", 1.0)]);
    for (row, expected) in [
        (r#"{"x":1}"#, 0.0),
        (r#"{"x":2}"#, -1.0),
        (r#"{"x":3}"#, 2.0),
    ] {
        assert_eq!(sum(&plan, row), Ok(expected), "{row}");
    }
}

#[test]
fn categories_are_numbers_or_text_and_unseen_ones_are_none() {
    let map = |values: &[&str], name: &str| ColsMap {
        values: texts(values),
        transformed_headers: values
            .iter()
            .map(|value| format!("{name}_{value}"))
            .collect(),
    };
    let meta = OneHotMeta {
        transform_col_names: texts(&["n", "s"]),
        header: texts(&["n", "s"]),
        need_run: true,
    };
    let param = OneHotParam {
        col_map: [
            ("n".to_owned(), map(&["-1", "0", "2"], "n")),
            ("s".to_owned(), map(&["red", "红"], "s")),
        ]
        .into(),
        ..Default::default()
    };
    let typed = DataTransformMeta {
        exclusive_data_type: [("s".to_owned(), "str".to_owned())].into(),
        ..format("dense", "dense")
    };
    let steps = vec![
        table(typed, &["n", "s"]),
        step("OneHotEncoder", &meta, &param),
    ];
    let weights = [
        ("n_-1", 1.0),
        ("n_0", 10.0),
        ("n_2", 100.0),
        ("s_红", 1000.0),
    ];
    let plan = plan("1.11.4", steps, &weights);
    for (row, expected) in [
        (r#"{"n":-1,"s":"红"}"#, 1001.0),
        (r#"{"n":"2.0","s":"red"}"#, 100.0),
        (r#"{"n":0.0,"s":"Red"}"#, 10.0),
        (r#"{"n":1.5,"s":5}"#, 0.0),
        (r#"{"n":7}"#, 0.0),
        ("{}", 0.0),
    ] {
        assert_eq!(sum(&plan, row), Ok(expected), "{row}");
    }
    assert_eq!(plan.verdict().features, ["n", "s"]);
}

#[test]
fn a_party_supplies_what_reaches_its_model() {
    for (class, semantics) in [
        ("BaseHeteroFeatureSelection", Semantics::Fate),
        ("HeteroFeatureSelection", Semantics::Fate),
        ("HeteroFeatureSelectionHost", Semantics::Fate),
        ("FeatureSelection", Semantics::Java),
    ] {
        let meta = FeatureSelectionMeta {
            need_run: true,
            ..Default::default()
        };
        let left = ["Age", "age", "007"].map(|name| (name.to_owned(), true));
        let param = FeatureSelectionParam {
            final_left_cols: Some(LeftCols {
                left_cols: left.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let names = ["Age", "age", "007", "7"];
        let steps = vec![
            table(format("dense", "dense"), &names),
            step(class, &meta, &param),
        ];
        let weights = [("Age", 1.0), ("age", 10.0), ("007", 100.0), ("7", 1000.0)];
        let plan = compiled("1.11.4", steps, &weights, semantics).unwrap();
        assert_eq!(plan.verdict().features, ["007", "Age", "age"], "{class}");
        let row = r#"{"7":1,"007":1,"age":2,"Age":3}"#;
        assert_eq!(sum(&plan, row), Ok(123.0), "{class}");
    }
}

#[test]
fn differences_are_named_where_there_are_any_in_both_semantics() {
    let (meta, param) = binning(&["x"], "woe", &[0.5, -1.5, 2.5]);
    let binned = vec![
        table(format("dense", "dense"), &["x"]),
        step("HeteroFeatureBinningHost", &meta, &param),
    ];
    let plain = vec![table(format("dense", "dense"), &["x"])];
    for semantics in [Semantics::Fate, Semantics::Java] {
        let of = |steps: &Vec<Step>| {
            let plan = compiled("1.11.4", steps.clone(), &[("x", 1.0)], semantics).unwrap();
            plan.verdict().differences.clone()
        };
        assert!(of(&plain).is_empty(), "{:?}", of(&plain));
        assert!(
            of(&binned)[0].contains("ignores transform_type woe"),
            "{:?}",
            of(&binned)
        );
    }
    let several = FeatureBinningParam {
        multi_class_result: Some(MultiClassResult {
            results: vec![Default::default(); 2],
            ..Default::default()
        }),
        ..param
    };
    let steps = vec![step("HeteroFeatureBinningHost", &meta, &several)];
    let java = compiled("1.11.4", steps, &[("x", 1.0)], Semantics::Java).unwrap();
    let difference = &java.verdict().differences[0];
    assert!(
        difference.starts_with("with semantics fate it is refused"),
        "{difference}"
    );
}

/// data_transform.py of 1.6 to 1.8 reads the header in lower case, so the model knows `x` where the table has `X`.
#[test]
fn releases_that_lower_the_header_take_names_in_any_case() {
    let plan = |version, class| {
        let (_, meta, param) = table(format("dense", "dense"), &["x", "ünï"]);
        plan(
            version,
            vec![(class, meta, param)],
            &[("x", 1.0), ("ünï", 10.0)],
        )
    };
    for (version, class, expected) in [
        ("1.6.0", "DataTransform", 32.0),
        ("1.8.0", "DataTransform", 32.0),
        ("1.8.0", "DataIO", 30.0),
        ("1.9.0", "DataTransform", 30.0),
        ("1.11.4", "DataTransform", 30.0),
    ] {
        let row = r#"{"X":2,"ünï":3}"#;
        assert_eq!(
            sum(&plan(version, class), row),
            Ok(expected),
            "{version} {class}"
        );
    }
    let appended = ColumnExpandMeta {
        append_header: texts(&["New"]),
        method: "manual".to_owned(),
        fill_value: texts(&["4"]),
        need_run: true,
    };
    let steps = vec![
        step(
            "ColumnExpand",
            &appended,
            &ColumnExpandParam {
                header: texts(&["X", "New"]),
            },
        ),
        table(format("dense", "dense"), &["x", "new"]),
    ];
    let plan = compiled("1.7.2", steps, &[("new", 1.0)], Semantics::Fate).unwrap();
    assert_eq!(sum(&plan, r#"{"X":2}"#), Ok(4.0));
}
