//! `fate-serving features get` as a process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod process;

use std::path::Path;

use fate_testkit::Redis;
use serde_json::Value;

use crate::process::{run, stderr, stdout};

fn written(folder: &Path, lines: &[String]) -> String {
    let path = folder.join("server.properties");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_row_is_shown_with_what_each_source_says() {
    let Some(redis) = Redis::start_with_password("hunter2") else {
        return;
    };
    let filled = redis.ask(&["HSET", "user:1", "age", "1.5", "town", "K\u{f6}ln"]);
    assert_eq!(filled.as_deref(), Some(":2"));
    let folder = tempfile::tempdir().unwrap();
    let file = written(
        folder.path(),
        &[
            "feature.single.adaptor=sources".to_owned(),
            "feature.sources=user,gone".to_owned(),
            "feature.source.user.type=redis".to_owned(),
            format!(
                "feature.source.user.url=redis://:hunter2@127.0.0.1:{}",
                redis.port()
            ),
            "feature.source.user.key=user:${id}".to_owned(),
            "feature.source.user.columns=age=x0,town=x1".to_owned(),
            "feature.source.gone.type=redis".to_owned(),
            "feature.source.gone.url=redis://:hunter2@127.0.0.1:1".to_owned(),
            "feature.source.gone.required=false".to_owned(),
        ],
    );
    let output = run(&["features", "get", "--config", &file, "--id", "id=1"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text} {}", stderr(&output));
    assert!(
        text.contains("user: hit, 2 features (") && text.contains(" ms)"),
        "{text}"
    );
    assert!(
        text.contains("gone: ERROR: redis://******@127.0.0.1:1"),
        "{text}"
    );
    assert!(
        text.contains("  x0 = \"1.5\"\n  x1 = \"K\u{f6}ln\"\n"),
        "{text}"
    );
    assert!(!text.contains("hunter2") && !stderr(&output).contains("hunter2"));

    let arguments = [
        "features", "get", "--config", &file, "--output", "json", "--id",
    ];
    let output = run(&[&arguments[..], &["id=1"]].concat());
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(found["row"]["x0"], "1.5");
    assert_eq!(found["sources"][1]["outcome"], "error");

    let output = run(&[&arguments[..], &["id=2"]].concat());
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        (&found["row"], &found["retcode"]),
        (&Value::Null, &Value::from(102))
    );
    assert_eq!(found["sources"][0]["outcome"], "miss");

    let doctor = run(&["doctor", "--config", &file]);
    let text = stdout(&doctor);
    assert!(text.contains("ok   feature source user: answers"), "{text}");
    assert!(text.contains("FAIL feature source gone: "), "{text}");
    assert!(!text.contains("hunter2"));

    assert_eq!(
        run(&[&arguments[..], &["id"]].concat()).status.code(),
        Some(2)
    );
    let file = written(folder.path(), &["feature.single.adaptor=mock".to_owned()]);
    let output = run(&["features", "get", "--config", &file, "--id", "id=1"]);
    assert!(
        stdout(&output).contains("mock: hit, 11 features"),
        "{}",
        stdout(&output)
    );
}
