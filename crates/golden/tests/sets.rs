//! A hand-made set, every way to break it, and the sets in `models/`.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use fate_domain::party::Role;
use fate_golden::{Expected, Set, models_in, sets_below};
use fate_proto::buffer::DataTransformMeta;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const PREDICTIONS: &str = "id,label,predict_result,predict_score,predict_detail\n\
    007,1,1,0.75,\"{\"\"0\"\": 0.25, \"\"1\"\": 0.75}\"\n\
    7,0,0,,\n";
const GUEST_ROWS: &str = "客户,收入 (元),Y,y,a#b/c.d\n007,\"1,5\",1,-9.1e3,007\n7, 2,0.0,,\n";

fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn index(role: &str, party_id: &str, file: &str, content: &[u8]) -> String {
    let digest = Sha256::digest(content)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    format!(
        "{{\n \"role\": \"{role}\",\n \"party_id\": {party_id},\n \"namespace\": \"{role}#m\",\n \"name\": \"v1\",\n \"models\": [\n  \
         {{\"key\": \"a.model:B\", \"file\": \"{file}\", \"proto\": \"B\", \"size\": {}, \"sha256\": \"{digest}\"}}\n ]\n}}",
        content.len()
    )
}

/// A guest, two hosts (one with a text for an id) and an arbiter whose index cannot be read.
fn set() -> TempDir {
    let set = tempfile::tempdir().unwrap();
    let at = |name: &str| set.path().join(name);
    write(&at("predictions.csv"), PREDICTIONS);
    write(
        &at("guest_1/index.json"),
        index("guest", "1", "model/b.pb", b"guest"),
    );
    write(&at("guest_1/model/b.pb"), b"guest");
    write(&at("guest_1/features.csv"), GUEST_ROWS);
    for (directory, party_id) in [("host_2", "2"), ("host_x", "\"银行 0x/2\"")] {
        write(
            &at(&format!("{directory}/index.json")),
            index("host", party_id, "b.pb", b""),
        );
        write(&at(&format!("{directory}/b.pb")), b"");
        write(
            &at(&format!("{directory}/features.csv")),
            "id,X,x\n007,,1\n",
        );
    }
    write(&at("arbiter_3/index.json"), "no json");
    write(&at("notes/index.json"), "no json");
    set
}

#[test]
fn a_set_is_read_as_it_stands() {
    let directory = set();
    let set = Set::open(directory.path()).unwrap();
    assert_eq!(
        set.name,
        directory.path().file_name().unwrap().to_str().unwrap()
    );
    let parties: Vec<_> = set
        .parties
        .iter()
        .map(|party| (party.role, party.party_id.as_str()))
        .collect();
    assert_eq!(
        parties,
        [
            (Role::Guest, "1"),
            (Role::Host, "2"),
            (Role::Host, "银行 0x/2")
        ]
    );
    assert_eq!((set.guest().party_id.as_str(), set.hosts().len()), ("1", 2));

    let guest = set.guest();
    assert_eq!(guest.buffers["a.model:B"], "guest");
    assert_eq!(
        (guest.key.table_name.as_str(), guest.key.namespace.as_str()),
        ("v1", "guest#m")
    );
    assert_eq!(guest.table.id_column, "客户");
    assert_eq!(guest.table.label_column.as_deref(), Some("Y"));
    assert_eq!(guest.table.columns, ["收入 (元)", "y", "a#b/c.d"]);
    assert_eq!(guest.table.rows[1].cells, [(0, " 2".to_owned())]);
    assert_eq!(guest.table.rows[0].cell(2), Some("007"));
    assert_eq!(guest.table.rows[1].cell(2), None);

    let expected = Expected {
        label: "1".to_owned(),
        result: "1".to_owned(),
        score: Some(0.75),
        detail: [("0".to_owned(), 0.25), ("1".to_owned(), 0.75)].into(),
        classes: vec!["0".to_owned(), "1".to_owned()],
    };
    assert_eq!(set.predictions["007"], expected);
    assert_eq!(set.predictions["7"].score, None);
}

#[test]
fn a_row_becomes_a_request() {
    let directory = set();
    let set = Set::open(directory.path()).unwrap();
    let table = &set.guest().table;
    let row = |id: &str, numbers: bool| table.by_id()[id].json(&table.columns, numbers);
    assert_eq!(
        row("007", false),
        r#"{"收入 (元)":"1,5","y":"-9.1e3","a#b/c.d":"007"}"#
    );
    assert_eq!(
        row("007", true),
        r#"{"收入 (元)":"1,5","y":-9.1e3,"a#b/c.d":"007"}"#
    );
    assert_eq!(row("7", true), r#"{"收入 (元)":" 2"}"#);
}

#[test]
fn only_one_json_number_becomes_a_number() {
    for (cell, number) in [
        ("0", true),
        ("-0.5", true),
        ("1E+3", true),
        ("9007199254740993", true),
        ("+1", false),
        ("1 ", false),
        ("1.", false),
        (".5", false),
        ("01", false),
        ("1e999", false),
        ("NaN", false),
        ("1,2", false),
        ("-", false),
        ("\"1\"", false),
        ("１", false),
    ] {
        let row = fate_golden::Row {
            id: String::new(),
            cells: vec![(0, cell.to_owned())],
        };
        let text = serde_json::Value::from(cell);
        let expected = if number {
            format!("{{\"x\":{cell}}}")
        } else {
            format!("{{\"x\":{text}}}")
        };
        assert_eq!(row.json(&["x".to_owned()], true), expected);
    }
}

#[test]
fn the_label_is_the_manifests_or_the_only_column_like_the_predictions() {
    let label = |manifest: Option<&str>, rows: &str| {
        let directory = set();
        write(&directory.path().join("guest_1/features.csv"), rows);
        if let Some(manifest) = manifest {
            write(&directory.path().join("manifest.json"), manifest);
        }
        Set::open(directory.path())
            .unwrap()
            .guest()
            .table
            .label_column
            .clone()
    };
    let twins = "id,a,b\n007,1,1\n7,0,0\n";
    assert_eq!(label(None, twins), None);
    assert_eq!(
        label(Some(r#"{"label_name": "b"}"#), twins).as_deref(),
        Some("b")
    );
    assert_eq!(label(Some(r#"{"label_name": "c"}"#), twins), None);
    assert_eq!(
        label(None, "id,a,b\n007,1,2\n7,0,0\n").as_deref(),
        Some("a")
    );
    assert_eq!(
        label(None, "id,a,b\n007,1,2\n").as_deref(),
        None,
        "a predicted row is missing"
    );

    let directory = set();
    write(
        &directory.path().join("predictions.csv"),
        "id,label,predict_score\n007,1,0.5\n",
    );
    assert_eq!(
        Set::open(directory.path())
            .unwrap()
            .guest()
            .table
            .label_column,
        None,
        "all labels are the same"
    );
}

#[test]
fn every_error_names_file_and_line() {
    let leaving = index("guest", "1", "../host_2/b.pb", b"");
    let absolute = index("guest", "1", "/etc/passwd", b"");
    let changed = index("guest", "1", "model/b.pb", b"gaest");
    let shorter = index("guest", "1", "model/b.pb", b"gues");
    let missing = index("guest", "1", "model/c.pb", b"guest");
    let unknown = index("gast", "1", "model/b.pb", b"guest");
    let other = index("host", "1", "model/b.pb", b"guest");
    let cases: &[(&str, &str, &str)] = &[
        (
            "guest_1/index.json",
            "{\n \"role\": 1\n}",
            "guest_1/index.json, line 2: invalid type",
        ),
        (
            "guest_1/index.json",
            "{}",
            "guest_1/index.json, line 1: missing field `role`",
        ),
        (
            "guest_1/index.json",
            &leaving,
            "guest_1/index.json, line 7: the file \"../host_2/b.pb\" is not inside",
        ),
        (
            "guest_1/index.json",
            &absolute,
            "guest_1/index.json, line 7: the file \"/etc/passwd\" is not inside",
        ),
        (
            "guest_1/index.json",
            &missing,
            "guest_1/index.json, line 7: the file \"model/c.pb\": No such file",
        ),
        (
            "guest_1/index.json",
            &unknown,
            "guest_1/index.json, line 2: `gast` is not a role",
        ),
        (
            "guest_1/index.json",
            &other,
            "guest_1/index.json: the index says host",
        ),
        (
            "guest_1/index.json",
            &changed,
            "guest_1/model/b.pb: SHA-256",
        ),
        (
            "guest_1/index.json",
            &shorter,
            "guest_1/model/b.pb: 5 bytes where the index says 4",
        ),
        (
            "guest_1/features.csv",
            "",
            "guest_1/features.csv, line 1: there is no header",
        ),
        (
            "guest_1/features.csv",
            "id,a,A,a\n",
            "guest_1/features.csv, line 1: two columns are named \"a\"",
        ),
        (
            "guest_1/features.csv",
            "id,a\n1,\"2\n3\"\n2\n",
            "guest_1/features.csv, line 4: 1 fields where the header has 2",
        ),
        (
            "guest_1/features.csv",
            "id,a\n1,2\n1,3\n",
            "guest_1/features.csv, line 3: the id \"1\" is there twice",
        ),
        (
            "predictions.csv",
            "id,label\n",
            "predictions.csv, line 1: there is no column predict_score or predict_detail",
        ),
        (
            "predictions.csv",
            "id,predict_score\n",
            "predictions.csv: there are no predictions",
        ),
        (
            "predictions.csv",
            "id,predict_score\n1,a\n",
            "predictions.csv, line 2: predict_score \"a\" is not a number",
        ),
        (
            "predictions.csv",
            "id,predict_score\n1,1\n1,1\n",
            "predictions.csv, line 3: the id \"1\" is there twice",
        ),
        (
            "predictions.csv",
            "id,predict_score,predict_detail\n1,1,{}\n2,1,[]\n",
            "predictions.csv, line 3: predict_detail is not",
        ),
        ("manifest.json", "{", "manifest.json, line 1: EOF"),
    ];
    for (file, text, expected) in cases {
        let directory = set();
        write(&directory.path().join(file), text);
        let error = Set::open(directory.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(
            error.contains(directory.path().to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn a_key_listed_twice_and_broken_text_are_errors() {
    let directory = set();
    let one = index("guest", "1", "model/b.pb", b"guest");
    let entry = one.lines().nth(6).unwrap();
    write(
        &directory.path().join("guest_1/index.json"),
        one.replace(entry, &format!("{entry},\n{entry}")),
    );
    let error = Set::open(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("guest_1/index.json, line 7: \"a.model:B\" is listed twice"),
        "{error}"
    );

    let directory = set();
    write(
        &directory.path().join("guest_1/features.csv"),
        b"id,a\n1,2\n2,\xff\n",
    );
    let error = Set::open(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("guest_1/features.csv, line 3: not UTF-8"),
        "{error}"
    );
}

#[test]
fn missing_files_and_parties_are_errors() {
    for (gone, expected) in [
        ("predictions.csv", "predictions.csv: No such file"),
        ("guest_1/features.csv", "guest_1/features.csv: No such file"),
        ("host_2/index.json", "host_2/index.json: No such file"),
    ] {
        let directory = set();
        fs::remove_file(directory.path().join(gone)).unwrap();
        let error = Set::open(directory.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read ") && error.contains(expected),
            "{error}"
        );
    }
    // The host of a homogeneous model has no part in a score.
    let directory = set();
    fs::remove_file(directory.path().join("host_2/features.csv")).unwrap();
    assert_eq!(
        Set::open(directory.path()).unwrap().hosts()[0].table.rows,
        []
    );
    let directory = set();
    fs::remove_dir_all(directory.path().join("guest_1")).unwrap();
    let error = models_in(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("a set has one directory guest_<party id>, here are 0"),
        "{error}"
    );
    let directory = set();
    let second = directory.path().join("guest_2");
    write(&second.join("index.json"), index("guest", "2", "b.pb", b""));
    write(&second.join("b.pb"), b"");
    let error = models_in(directory.path()).unwrap_err().to_string();
    assert!(error.contains("here are 2"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_does_not_lead_out_of_the_directory() {
    let directory = set();
    let outside = directory.path().join("outside.pb");
    write(&outside, b"guest");
    fs::remove_file(directory.path().join("guest_1/model/b.pb")).unwrap();
    std::os::unix::fs::symlink(&outside, directory.path().join("guest_1/model/b.pb")).unwrap();
    let error = Set::open(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("line 7: the file \"model/b.pb\" is not inside"),
        "{error}"
    );
}

#[test]
fn a_path_is_a_set_or_holds_sets() {
    let directory = set();
    assert_eq!(sets_below(directory.path()).unwrap(), [directory.path()]);

    let several = tempfile::tempdir().unwrap();
    assert!(
        sets_below(several.path())
            .unwrap_err()
            .to_string()
            .contains("neither a set")
    );
    for name in ["b", "a", "empty"] {
        fs::create_dir(several.path().join(name)).unwrap();
    }
    for name in ["b", "a"] {
        write(&several.path().join(name).join("guest_1/index.json"), "");
    }
    assert_eq!(
        sets_below(several.path()).unwrap(),
        [several.path().join("a"), several.path().join("b")]
    );
    assert!(sets_below(several.path().join("nowhere")).is_err());
}

/// Tag and sparse rows of a guest, by the settings of its data component: the JSON of each row that was predicted.
fn named_rows(meta: &DataTransformMeta, features: &str) -> Result<Vec<String>, String> {
    let directory = set();
    let party = directory.path().join("guest_1");
    let buffer = meta.encode_to_vec();
    let text = index("guest", "1", "meta.pb", &buffer)
        .replace("a.model:B", "data_transform_0.model:DataTransformMeta");
    write(&party.join("index.json"), text);
    write(&party.join("meta.pb"), buffer);
    write(&party.join("features.csv"), features);
    let set = Set::open(directory.path()).map_err(|error| error.to_string())?;
    let table = &set.guest().table;
    let rows = table.by_id();
    Ok(["007", "7"]
        .map(|id| rows[id].json(&table.columns, true))
        .to_vec())
}

fn tags(delimiter: &str, with_value: bool) -> DataTransformMeta {
    DataTransformMeta {
        input_format: "tag".to_owned(),
        delimitor: delimiter.to_owned(),
        tag_with_value: with_value,
        tag_value_delimitor: ":".to_owned(),
        ..DataTransformMeta::default()
    }
}

#[test]
fn tag_and_sparse_rows_become_names_with_values() {
    let expected = [r##"{"#x.1":-2,"年 龄":1.50}"##, r#"{"X":"NA","x":7}"#];
    let semicolons = tags(";", true);
    for (name, meta, text) in [
        (
            "with a header",
            tags(",", true),
            "id,features\n007,年 龄:1.50,#x.1:-2\n7,x:7,X:NA\n",
        ),
        (
            "without one",
            tags(",", true),
            "007,年 龄:1.50,#x.1:-2\n7,x:7,X:NA\n",
        ),
        (
            "in one quoted cell",
            tags(",", true),
            "007,\"年 龄:1.50,#x.1:-2\"\n7,\"x:7,X:NA\"\n",
        ),
        (
            "another delimiter",
            semicolons.clone(),
            "007,年 龄:1.50;#x.1:-2\n7,x:7;X:NA;\n",
        ),
        (
            "with a label",
            semicolons.clone(),
            "007,1,年 龄:1.50;#x.1:-2\n7,0,x:7;X:NA\n",
        ),
        (
            "a label inside",
            semicolons.clone(),
            "007,1;年 龄:1.50;#x.1:-2\n7,0;x:7;X:NA\n",
        ),
        (
            "a value twice, one empty",
            tags(",", true),
            "007,#x.1:9,年 龄:1.50,#x.1:-2,e:\n7,x:7,X:NA\n",
        ),
    ] {
        assert_eq!(
            named_rows(&meta, text).as_deref(),
            Ok(&expected.map(str::to_owned)[..]),
            "{name}"
        );
    }
    let sparse = DataTransformMeta {
        input_format: "sparse".to_owned(),
        delimitor: " ".to_owned(),
        with_label: true,
        ..DataTransformMeta::default()
    };
    assert_eq!(
        named_rows(&sparse, "007,1 0:0.5 12:3\n7,-1 \n").unwrap(),
        [r#"{"0":0.5,"12":3}"#, "{}"]
    );
    let labelled = DataTransformMeta {
        with_label: true,
        with_match_id: true,
        ..tags(",", false)
    };
    assert_eq!(
        named_rows(&labelled, "007,m,1,a:b,c\n7,m,0,c\n").unwrap(),
        [r#"{"a:b":1,"c":1}"#, r#"{"c":1}"#]
    );
    let error = named_rows(&tags(",", true), "007,a:1,b\n7,a:1\n").unwrap_err();
    assert!(
        error.contains(r#"features.csv, line 1: "b" is not name:value"#),
        "{error}"
    );
    let error = named_rows(&tags(",", true), "007,a:1\n007,a:1\n7,a:2\n").unwrap_err();
    assert!(
        error.contains(r#"line 2: the id "007" is there twice"#),
        "{error}"
    );
}

#[test]
fn other_spellings_are_read() {
    let directory = set();
    let at = |name: &str| directory.path().join(name);
    // A byte order mark, no checksums, Python's dictionaries, a Scorecard.
    write(&at("guest_1/features.csv"), format!("\u{feff}{GUEST_ROWS}"));
    let text = fs::read_to_string(at("guest_1/index.json")).unwrap();
    let (head, _) = text.split_once(", \"size\"").unwrap();
    write(&at("guest_1/index.json"), format!("{head}}}]}}"));
    write(
        &at("predictions.csv"),
        "id,label,predict_result,predict_score,credit_score,predict_detail\n\
         007,1,1,0.75,612.5,\"{'10': 0.25, -1: 0.5, 'x:y': inf}\"\n",
    );
    let set = Set::open(directory.path()).unwrap();
    assert_eq!(set.guest().table.id_column, "客户");
    let expected = &set.predictions["007"];
    assert_eq!(expected.score, Some(612.5));
    assert_eq!(expected.classes, ["10", "-1", "x:y"]);
    assert_eq!(expected.detail["x:y"], f64::INFINITY);

    let semicolons = DataTransformMeta {
        delimitor: ";".to_owned(),
        with_label: true,
        label_name: "Y".to_owned(),
        ..DataTransformMeta::default()
    };
    let rows = named_rows(&semicolons, "id;Y;收入\n007;1;2\n7;1;3,5\n").unwrap();
    assert_eq!(rows, [r#"{"收入":2}"#, r#"{"收入":"3,5"}"#]);
}

#[test]
fn all_golden_sets_open() {
    let models = std::env::var_os("FATE_GOLDEN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"),
        PathBuf::from,
    );
    let sets = sets_below(models).unwrap();
    assert!(sets.len() >= 20, "{sets:?}");
    for path in sets {
        let set = Set::open(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(!set.hosts().is_empty(), "{}", set.name);
        assert!(set.guest().table.label_column.is_some(), "{}", set.name);
        for party in &set.parties {
            let rows = party.table.by_id();
            let unknown = set
                .predictions
                .keys()
                .find(|id| !rows.contains_key(id.as_str()));
            assert_eq!(unknown, None, "{} {}", set.name, party.party_id);
        }
    }
}
