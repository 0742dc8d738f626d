//! Contract 04 A.5.5.

use std::sync::Arc;

use fate_domain::fault::Fault;

use super::*;

const TABLE: &str = r#"{
  // the operator's comment
  "route_table": {"10000": {"createTime": 5, "default": [{"ip": "a", "port": 1}]}},
  "permission": {"default_allow": true},
  "note": "a, b\\n"
}"#;

fn editor(content: Option<&str>) -> (tempfile::TempDir, Arc<RunningTable>, RouteEditor) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("route_table.json");
    if let Some(content) = content {
        std::fs::write(&path, content).unwrap();
    }
    let own = OwnAddresses::new(["127.0.0.1:8869".parse().unwrap()]);
    let table = RunningTable::load(path, own);
    let editor = RouteEditor::new(Arc::clone(&table));
    (directory, table, editor)
}

fn code_and_text(outcome: Result<(), Fault>) -> (i32, String) {
    let fault = outcome.unwrap_err();
    (fault.code.0, fault.message)
}

fn parties(editor: &RouteEditor) -> serde_json::Value {
    let document: serde_json::Value = serde_json::from_str(&editor.query().unwrap()).unwrap();
    document["route_table"].clone()
}

#[test]
fn the_document_is_answered_compact_and_whole() {
    let (_directory, _table, editor) = editor(Some(TABLE));
    assert_eq!(
        editor.query().unwrap(),
        r#"{"route_table":{"10000":{"createTime":5,"default":[{"ip":"a","port":1}]}},"permission":{"default_allow":true},"note":"a, b\\n"}"#
    );
}

#[test]
fn without_a_table_there_is_a_code() {
    for (content, text) in [
        (None, "proxy load router table error"),
        (
            Some("{"),
            "proxy load router table error: line 1, column 2: a name is expected",
        ),
        (
            Some("[]"),
            "proxy load router table error: not a JSON object",
        ),
    ] {
        let (_directory, _table, editor) = editor(content);
        let fault = editor.query().unwrap_err();
        assert_eq!((fault.code.0, fault.message.as_str()), (132, text));
    }
    // Java makes a table up.
    assert_eq!(editor(Some("{}")).2.query().unwrap(), "{}");
}

#[test]
fn a_saved_table_is_in_force_at_once_and_the_old_one_kept() {
    let (directory, table, editor) = editor(Some(TABLE));
    let saved = r#"{ "route_table" : {"default":{"default":[{"ip":"b","port":2}]}}, "permission":{}, "text":"x, y\\n=" }"#;
    editor.save(saved).unwrap();
    assert_eq!(
        table.current().unwrap().routes(side("1", "r")).unwrap()[0].shown,
        "b:2"
    );
    let file = std::fs::read_to_string(table.path()).unwrap();
    assert!(
        file.starts_with("{\n   \"route_table\":{\n      \"default\":{\n"),
        "{file}"
    );
    assert!(file.contains(r#""text":"x, y\\n=""#), "{file}");
    let kept = std::fs::read_to_string(directory.path().join("route_table.json.bak")).unwrap();
    assert_eq!(kept, TABLE);
    // A first table as well.
    let (_directory, table, editor) = self::editor(None);
    editor.save(saved).unwrap();
    assert!(table.current().is_some());
}

#[test]
fn what_the_loader_would_refuse_is_not_saved() {
    let (_directory, table, editor) = editor(Some(TABLE));
    for (document, text) in [
        (
            "{",
            "validate route_table.json format error:line 1, column 2: a name is expected",
        ),
        (
            "",
            "validate route_table.json format error:line 1, column 1: a value is expected, but the text ends",
        ),
        (
            "{}",
            "validate route_table.json format error:line 1, column 1: `route_table` is missing",
        ),
    ] {
        assert_eq!(
            code_and_text(editor.save(document)),
            (133, text.to_owned()),
            "{document}"
        );
    }
    for endpoint in [
        r#"{"ip":"127.0.0.1","port":8869}"#,
        r#"{"ip":"b"}"#,
        r#"{"ip":"b","port":1,"useSSL":true,"certChainFile":"c"}"#,
    ] {
        let (code, text) = code_and_text(editor.save(&with_endpoint(endpoint)));
        assert_eq!(code, 133);
        assert!(
            text.contains("route_table.default.default[0]: calls will not be sent there"),
            "{text}"
        );
    }
    assert_eq!(std::fs::read_to_string(table.path()).unwrap(), TABLE);
}

#[test]
fn a_fault_that_was_there_may_stay() {
    let shipped_by_java = with_endpoint(r#"{"ip":"127.0.0.1","port":8869,"useSSL":false}"#);
    let (_directory, table, editor) = editor(Some(&shipped_by_java));
    editor
        .add(r#"{"partyId":"10000","serverType":"default","ip":"a","port":1}"#)
        .unwrap();
    assert_eq!(table.current().unwrap().all_routes().count(), 2);
}

#[test]
fn single_addresses_are_added_changed_and_taken_out() {
    let (_directory, table, editor) = editor(Some(TABLE));
    editor
        .add(
            r#"[{"partyId":10000,"serverType":"serving","host":"b","port":2,"useSSL":false},
                 {"partyId":"10001","role":"default","url":"http://c/unary"}]"#,
        )
        .unwrap();
    let now = parties(&editor);
    assert_eq!(now["10000"]["createTime"], 5);
    assert!(now["10000"]["updateTime"].as_i64().unwrap() > 1_700_000_000_000);
    assert_eq!(
        now["10000"]["serving"],
        serde_json::json!([{"ip":"b","port":2,"useSSL":false}])
    );
    assert_eq!(
        now["10001"]["default"],
        serde_json::json!([{"url":"http://c/unary"}])
    );

    editor
        .update(r#"{"partyId":"10000","serverType":"default","ip":"a","port":"1","useSSL":true}"#)
        .unwrap();
    assert_eq!(
        parties(&editor)["10000"]["default"],
        serde_json::json!([{"ip":"a","port":"1","useSSL":true}])
    );
    assert!(matches!(
        &table.current().unwrap().routes(side("10000", "x")).unwrap()[0].target,
        Target::Grpc { tls: Some(_), .. }
    ));

    editor
        .delete(r#"{"partyId":"10000","serverType":"serving","ip":"b","port":2}"#)
        .unwrap();
    assert_eq!(parties(&editor)["10000"]["serving"], serde_json::json!([]));
    editor.delete(r#"{"partyId":"10001"}"#).unwrap();
    assert!(!table.current().unwrap().lists_party("10001"));
    // The rest of the document is untouched.
    assert!(
        editor
            .query()
            .unwrap()
            .ends_with(r#""permission":{"default_allow":true},"note":"a, b\\n"}"#)
    );
}

#[test]
fn what_is_not_there_or_there_already_is_said() {
    let (_directory, _table, editor) = editor(Some(TABLE));
    let known = r#"{"partyId":"10000","serverType":"default","ip":"a","port":1}"#;
    let unknown = known.replace("\"port\":1", "\"port\":2");
    let other_party = known.replace("10000", "7");
    let other_role = known.replace("default", "serving");
    let address = "partyId : 10000, serverType : default, Network Access :";
    for (outcome, text) in [
        (
            editor.add(known),
            format!("{address} a:1 is already exists"),
        ),
        (
            editor.update(&unknown),
            format!("{address} a:2 is not exists"),
        ),
        (
            editor.delete(&unknown),
            format!("{address} a:2 is not exists"),
        ),
        (
            editor.update(&other_party),
            "there is no configuration with partyId = 7".to_owned(),
        ),
        (
            editor.delete(&other_party),
            "there is no configuration with partyId = 7".to_owned(),
        ),
        (
            editor.update(&other_role),
            "there is no configuration with partyId = 10000 and serverType = serving".to_owned(),
        ),
        (
            editor.add(r#"{"partyId":"1"}"#),
            "serverType is missing".to_owned(),
        ),
        (
            editor.add(r#"{"serverType":"a"}"#),
            "routerInfo: line 1, column 1: `partyId` is missing".to_owned(),
        ),
    ] {
        assert_eq!(code_and_text(outcome), (133, text));
    }
    for request in [
        "",
        "[1]",
        r#"{"partyId":"1","serverType":"a","prot":1}"#,
        r#"{"partyId":"1","serverType":"createTime"}"#,
    ] {
        assert_eq!(code_and_text(editor.add(request)).0, 133, "{request}");
    }
}

#[test]
fn update_config_writes_the_route_table_and_nothing_else() {
    let (directory, table, editor) = editor(Some(TABLE));
    let path = table.path().display().to_string();
    let saved = r#"{"route_table":{},"permission":{}}"#;
    assert_eq!(
        code_and_text(editor.update_config(" ", saved)),
        (110, "file path is blank".to_owned())
    );
    assert_eq!(
        code_and_text(editor.update_config(&path, "\n")),
        (110, "data is blank".to_owned())
    );
    let other = directory.path().join("other.json");
    for path in [
        other.display().to_string(),
        "/etc/passwd".to_owned(),
        format!("{path}.bak"),
    ] {
        let (code, text) = code_and_text(editor.update_config(&path, saved));
        assert_eq!(
            (code, text.as_str()),
            (110, "only the route table may be written")
        );
    }
    assert!(!other.exists());
    assert_eq!(code_and_text(editor.update_config(&path, "{}")).0, 133);
    let detour = directory
        .path()
        .join("./route_table.json")
        .display()
        .to_string();
    editor.update_config(&detour, saved).unwrap();
    assert_eq!(editor.query().unwrap(), saved);
}
