//! Contract 04 A.5.4.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::*;

fn write(path: &std::path::Path, port: u16) {
    std::fs::write(
        path,
        with_endpoint(&format!(r#"{{"ip":"a","port":{port}}}"#)),
    )
    .unwrap();
}

fn shown(table: &RunningTable) -> Option<String> {
    let current = table.current()?;
    Some(current.routes(side("1", "r")).unwrap()[0].shown.clone())
}

fn running() -> (tempfile::TempDir, std::sync::Arc<RunningTable>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("route_table.json");
    write(&path, 1);
    let table = RunningTable::load(path, OwnAddresses::default());
    (directory, table)
}

#[test]
fn a_bad_file_never_takes_the_table_down() {
    let (_directory, table) = running();
    assert_eq!(shown(&table).unwrap(), "a:1");
    for bad in [
        "",
        "{",
        "[]",
        "{\"route_table\":{}}",
        "{\"route_table\":{\"1\":{\"a\":[1]}},\"permission\":{}}",
    ] {
        std::fs::write(table.path(), bad).unwrap();
        assert!(
            matches!(table.reload(), Err(LoadError::Format { .. })),
            "{bad}"
        );
        assert_eq!(shown(&table).unwrap(), "a:1", "{bad}");
    }
    std::fs::remove_file(table.path()).unwrap();
    assert!(matches!(table.reload(), Err(LoadError::Missing(_))));
    assert_eq!(shown(&table).unwrap(), "a:1");
    write(table.path(), 2);
    assert!(table.reload().unwrap() && !table.reload().unwrap());
    assert_eq!(shown(&table).unwrap(), "a:2");
}

#[test]
fn routes_and_permission_change_together() {
    let (_directory, table) = running();
    let allows = || {
        table
            .current()
            .unwrap()
            .allows(side("1", "a"), side("2", "b"))
    };
    assert!(!allows());
    // Java takes the routes of such a file and leaves the permission.
    std::fs::write(
        table.path(),
        r#"{"route_table":{"default":{"default":[{"ip":"b","port":9}]}},"permission":3}"#,
    )
    .unwrap();
    assert!(table.reload().is_err());
    assert_eq!((shown(&table).unwrap().as_str(), allows()), ("a:1", false));
    std::fs::write(
        table.path(),
        r#"{"route_table":{"default":{"default":[{"ip":"b","port":9}]}},"permission":{"default_allow":true}}"#,
    )
    .unwrap();
    assert!(table.reload().unwrap());
    assert_eq!((shown(&table).unwrap().as_str(), allows()), ("b:9", true));
}

#[test]
fn a_missing_file_is_told_from_a_bad_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("route_table.json");
    let table = RunningTable::load(&path, OwnAddresses::default());
    assert!(table.current().is_none() && table.has_no_file());
    std::fs::write(&path, "{").unwrap();
    let table = RunningTable::load(&path, OwnAddresses::default());
    assert!(table.current().is_none() && !table.has_no_file());
    assert!(
        table.fault().unwrap().contains("line 1, column 2"),
        "{:?}",
        table.fault()
    );
}

#[tokio::test]
async fn a_change_is_in_force_within_seconds_and_announced() {
    let (_directory, table) = running();
    let stop = CancellationToken::new();
    let following = tokio::spawn(std::sync::Arc::clone(&table).follow(stop.clone()));
    let mut changes = table.changes();
    for port in [2, 3] {
        let started = Instant::now();
        write(table.path(), port);
        let change = tokio::time::timeout(Duration::from_secs(20), changes.changed()).await;
        change.expect("no change was seen").unwrap();
        assert_eq!(shown(&table).unwrap(), format!("a:{port}"));
        assert!(
            started.elapsed() < Duration::from_secs(9),
            "{:?}",
            started.elapsed()
        );
    }
    stop.cancel();
    following.await.unwrap();
}
