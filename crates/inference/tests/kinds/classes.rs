//! The names of FATE's releases against the components' table, and the README's table against both.

use std::{collections::BTreeSet, path::Path};

use fate_inference::catalog::{self, KINDS, Status};
use fate_proto::buffer::{
    LabelTransformMeta, LabelTransformParam, LrModelMeta, LrModelParam, OneVsRestResult,
    SingleModel,
};
use serde_json::json;

use crate::party::{Component, FATE, assert_answer, compile_all, sigmoid, version};

/// Components that FATE 1.x has and that no pipeline has on its way to a score: they move, protect or look at tables.
const NEVER_ON_THE_WAY: [&str; 6] = [
    "FeldmanVerifiableSum",
    "HomoNNExperiment",
    "Rsa",
    "SPDZTest",
    "SecureAddExample",
    "SecureInformationRetrieval",
];

/// Class names that are served or passed over, and that none of the releases wrote: FATE-Serving 2.1.7 has them, or they
/// are the components' own names.
const UNWRITTEN: [&str; 4] = [
    "FeatureSelection",
    "FederatedSample",
    "HeteroFeatureBinning",
    "HeteroFeatureSelection",
];

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn every_component_of_every_release_has_its_place() {
    let told: BTreeSet<&str> = KINDS
        .iter()
        .flat_map(|kind| kind.components)
        .copied()
        .collect();
    let mut lines = 0;
    for names in catalog::names() {
        lines += 1;
        let is_told = told.contains(names.component);
        let is_aside = NEVER_ON_THE_WAY.contains(&names.component);
        assert!(is_told != is_aside, "{names:?}");
        for class in names.classes() {
            let status = catalog::status_of_class(class);
            assert_eq!(status.is_some(), is_told, "{class} of {names:?}");
        }
    }
    assert!(lines > 50, "{lines} lines");
}

#[test]
fn every_class_of_the_table_is_a_releases_or_named_here() {
    let written: BTreeSet<&str> = catalog::names().flat_map(|names| names.classes()).collect();
    for class in catalog::classes() {
        assert!(
            written.contains(class) != UNWRITTEN.contains(&class),
            "{class}"
        );
    }
}

#[test]
fn a_kind_is_one_thing_in_all_releases() {
    for kind in KINDS {
        let classes: Vec<&str> = kind.names().flat_map(|names| names.classes()).collect();
        assert!(!classes.is_empty(), "{}", kind.name);
        let alike = |class: &&str| {
            let status = catalog::status_of_class(class).unwrap();
            std::mem::discriminant(&status)
        };
        let kinds: Vec<_> = classes.iter().map(alike).collect();
        assert!(
            kinds.windows(2).all(|two| two[0] == two[1]),
            "{}: {classes:?}",
            kind.name
        );
    }
}

/// What a kind is shown by exists; a golden set has one of its classes, and every golden set shows something.
#[test]
fn what_is_served_is_shown() {
    let models = repository().join("models");
    let mut shown = BTreeSet::new();
    for kind in KINDS {
        let is_refused_by_class = kind.shown_by.is_empty();
        assert_eq!(
            is_refused_by_class,
            matches!(kind.status(), Status::Refused(_)) && !kind.name.starts_with("SSHE"),
            "{}",
            kind.name
        );
        for proof in kind.shown_by {
            if proof.ends_with(".rs") {
                let file = Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("tests")
                    .join(proof);
                let text = std::fs::read_to_string(&file).unwrap();
                let classes = kind.names().flat_map(|names| names.classes());
                let is_named = classes
                    .map(str::to_owned)
                    .any(|class| text.contains(&class));
                assert!(is_named, "{} in {proof}", kind.name);
                continue;
            }
            shown.insert((*proof).to_owned());
            let dsl =
                std::fs::read_to_string(models.join(proof).join("guest_9999/inference_dsl.json"));
            let dsl = dsl.unwrap_or_else(|error| panic!("{proof}: {error}"));
            let mut classes = kind.names().filter_map(|names| names.guest);
            assert!(
                classes.any(|class| dsl.contains(&format!("\"{class}\""))),
                "{} in {proof}",
                kind.name
            );
        }
    }
    for set in std::fs::read_dir(models).unwrap() {
        let set = set.unwrap();
        if set.path().join("predictions.csv").exists() {
            let name = set.file_name().into_string().unwrap();
            assert!(shown.contains(&name), "no kind is shown by {name}");
        }
    }
}

const BEGIN: &str = "<!-- kinds: begin -->\n";
const END: &str = "<!-- kinds: end -->";

/// `UPDATE=1 cargo test -p fate-inference --test kinds` writes the table.
#[test]
fn the_readme_has_the_table() {
    let path = repository().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    let rendered = catalog::markdown();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{rendered}{END}{after}")).unwrap();
        return;
    }
    assert!(
        table == rendered,
        "README.md has another table: run UPDATE=1 cargo test -p fate-inference --test kinds"
    );
}

/// `LabelTransformer` behind a model: the predicted label is the original one.
#[test]
fn labels_are_those_of_the_table() {
    let single = |weight: f64| SingleModel {
        weight: [("x".to_owned(), weight)].into(),
        header: vec!["x".to_owned()],
        ..Default::default()
    };
    let param = LrModelParam {
        header: vec!["x".to_owned()],
        need_one_vs_rest: true,
        one_vs_rest_result: Some(OneVsRestResult {
            completed_models: vec![single(-1.0), single(1.0), single(0.5)],
            one_vs_rest_classes: ["0", "1", "2"].map(str::to_owned).to_vec(),
        }),
        ..Default::default()
    };
    let meta = LrModelMeta {
        need_one_vs_rest: true,
        ..Default::default()
    };
    let labels = LabelTransformParam {
        label_encoder: [("bad", "0"), ("good", "1"), ("ugly", "2")]
            .map(|(original, encoded)| (original.to_owned(), encoded.to_owned()))
            .into(),
        ..Default::default()
    };
    let on = LabelTransformMeta { need_run: true };
    let parties = [
        vec![
            Component::new("hetero_lr_0", "HeteroLRGuest", &meta, &param),
            Component::new("label_transform_0", "LabelTransformer", &on, &labels),
        ],
        vec![Component::new("hetero_lr_0", "HeteroLRHost", &meta, &param)],
    ];
    let plans = compile_all(&version("1.11.4"), &parties, FATE).unwrap();
    let expected = [-2.0, 2.0, 1.0].map(sigmoid);
    let answer = plans.answer(&[json!({"x": 1}), json!({"x": 1})]);
    assert_answer(&answer, &expected, Some("good"));
}
