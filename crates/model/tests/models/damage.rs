//! Damaged stores: the start names what is bad, sets it aside and serves the rest. It never panics and never hangs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fate_model::{Binding, Error, Models, RestoreReport, Settings};
use tempfile::TempDir;

use crate::golden::{Golden, bind_request, golden, guest, host, load_request};
use crate::{cache_file, node, open};

/// The files of a store, by their path in it.
type Files = BTreeMap<String, Vec<u8>>;

const SERVICE_IDS: [(&str, usize); 2] = [("lr-test", 0), ("sbt-test", 2)];

fn models_of_the_store() -> [Golden; 3] {
    [guest(), host(), golden("sbt_regression", "guest_9999")]
}

/// A store of three models, of which two are bound, and the store before its last change.
async fn whole_and_older() -> (Files, Files) {
    let (folder, settings) = node();
    let models = open(&settings).await;
    for (n, model) in models_of_the_store().iter().enumerate() {
        let file = cache_file(&folder, &n.to_string(), model);
        models
            .load(&load_request(model, "CACHE", &file))
            .await
            .unwrap();
    }
    let mut older = Files::new();
    for (service_id, model) in SERVICE_IDS {
        older = files_of(&settings);
        models
            .bind(&bind_request(&models_of_the_store()[model], service_id))
            .await
            .unwrap();
    }
    let files = files_of(&settings);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        (names.len(), &names[..3]),
        (6, &["lock", "manifest", "manifest.copy"][..]),
        "{names:?}"
    );
    (files, older)
}

async fn whole() -> Files {
    whole_and_older().await.0
}

fn store(settings: &Settings) -> PathBuf {
    settings.cache_path.join(".fate/serving")
}

fn files_of(settings: &Settings) -> Files {
    let mut files = Files::new();
    for (folder, prefix) in [
        (store(settings), ""),
        (store(settings).join("models"), "models/"),
    ] {
        for entry in fs::read_dir(folder)
            .unwrap()
            .map(Result::unwrap)
            .filter(|entry| entry.path().is_file())
        {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// A new node's folder with these files as its store.
fn lay(files: &Files) -> (TempDir, Settings) {
    let (folder, settings) = node();
    fs::create_dir_all(store(&settings).join("models")).unwrap();
    for (name, bytes) in files {
        fs::write(store(&settings).join(name), bytes).unwrap();
    }
    (folder, settings)
}

/// The record of one of [`models_of_the_store`]: its header names the namespace.
fn record_of(files: &Files, model: usize) -> String {
    let namespace = &models_of_the_store()[model].key.namespace;
    let own = format!(
        "\"tableName\":\"{}\",\"namespace\":\"{namespace}\",\"role\"",
        models_of_the_store()[model].key.table_name
    );
    let has = |bytes: &[u8]| {
        bytes
            .windows(own.len())
            .any(|window| window == own.as_bytes())
    };
    let found = files
        .iter()
        .find(|(name, bytes)| name.starts_with("models/") && has(bytes));
    found.unwrap().0.clone()
}

async fn try_open(settings: &Settings) -> Result<(Models, RestoreReport), Error> {
    let opening = Models::open(settings.clone());
    tokio::time::timeout(Duration::from_secs(30), opening)
        .await
        .expect("opening hangs")
}

/// Opens the store and checks that exactly these of [`models_of_the_store`] are served, whole and with their bindings.
async fn assert_serves(
    settings: &Settings,
    served: &[usize],
    context: &str,
) -> (Models, RestoreReport) {
    let (models, report) = try_open(settings)
        .await
        .unwrap_or_else(|cause| panic!("{context}: {cause}"));
    for (n, model) in models_of_the_store().iter().enumerate() {
        let is_there = models.snapshot().model(&model.key).is_some();
        assert_eq!(is_there, served.contains(&n), "{context}: {report:?}");
        if is_there {
            assert_eq!(
                models.buffers(&model.key).await.unwrap(),
                model.buffers,
                "{context}"
            );
        }
    }
    for (service_id, model) in SERVICE_IDS {
        let is_bound = matches!(models.snapshot().bound(service_id), Binding::Model(_));
        assert_eq!(is_bound, served.contains(&model), "{context}: {report:?}");
    }
    assert_eq!(report.models, served.len(), "{context}");
    (models, report)
}

/// The one failure of the report names `name`; returns where the bad file is now.
fn only_failure(report: &RestoreReport, name: &str, context: &str) -> Option<PathBuf> {
    let [failure] = &report.failures[..] else {
        panic!("{context}: {:?}", report.failures)
    };
    let text = failure.to_string();
    assert!(
        text.contains(Path::new(name).file_name().unwrap().to_str().unwrap()),
        "{context}: {text}"
    );
    failure.set_aside.clone()
}

/// Truncations of every class of length, random bit flips, and other contents that are not what was written.
fn damages_of(bytes: &[u8], seed: u64) -> Vec<(String, Vec<u8>)> {
    let len = bytes.len();
    let lengths = [
        0,
        1,
        7,
        8,
        9,
        11,
        12,
        13,
        20,
        21,
        22,
        43,
        44,
        84,
        85,
        86,
        87,
        200,
        len / 2,
        len - 33,
        len - 32,
        len - 31,
        len - 1,
    ];
    let mut damages: Vec<(String, Vec<u8>)> = lengths
        .iter()
        .map(|length| (format!("cut off at {length}"), bytes[..*length].to_vec()))
        .collect();
    let mut random = seed;
    for _ in 0..40 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let bit = (random >> 33) as usize % (len * 8);
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        damages.push((format!("bit {bit} flipped"), flipped));
    }
    // The places that say how long something is, and the checksums.
    for at in [8, 9, 10, 11, 21, len - 1, len - 32] {
        let mut changed = bytes.to_vec();
        changed[at] = !changed[at];
        damages.push((format!("byte {at} inverted"), changed));
    }
    damages.push(("one byte more".to_owned(), [bytes, b"\n"].concat()));
    damages.push(("twice".to_owned(), [bytes, bytes].concat()));
    damages.push(("zeros".to_owned(), vec![0; len]));
    damages.push(("rubbish".to_owned(), b"\xac\xed\x00\x05 { [".to_vec()));
    damages
}

#[tokio::test]
async fn one_damaged_manifest_loses_nothing() {
    let files = whole().await;
    for (seed, name) in ["manifest", "manifest.copy"].into_iter().enumerate() {
        for (what, bytes) in damages_of(&files[name], seed as u64) {
            let context = format!("{name}: {what}");
            let mut files = files.clone();
            files.insert(name.to_owned(), bytes.clone());
            let (_folder, settings) = lay(&files);
            let (models, report) = assert_serves(&settings, &[0, 1, 2], &context).await;
            let aside = only_failure(&report, name, &context).expect("set aside");
            assert_eq!(fs::read(aside).unwrap(), bytes, "{context}");
            drop(models);
            let (_, report) = assert_serves(&settings, &[0, 1, 2], &context).await;
            assert_eq!(report.failures, [], "{context}: mended at the first start");
        }
    }
}

#[tokio::test]
async fn a_damaged_record_costs_one_model() {
    let files = whole().await;
    for (model, others) in [(0, [1, 2]), (1, [0, 2]), (2, [0, 1])] {
        let name = record_of(&files, model);
        for (what, bytes) in damages_of(&files[&name], model as u64) {
            let context = format!("{name}: {what}");
            let mut files = files.clone();
            files.insert(name.clone(), bytes.clone());
            let (_folder, settings) = lay(&files);
            let (_, report) = assert_serves(&settings, &others, &context).await;
            let aside = only_failure(&report, &name, &context).expect("set aside");
            assert_eq!(fs::read(aside).unwrap(), bytes, "{context}");
            assert!(
                report.failures[0]
                    .subject
                    .contains(&models_of_the_store()[model].key.store_name()),
                "{context}"
            );
        }
    }
}

#[tokio::test]
async fn a_missing_record_is_named_until_its_model_is_loaded_again_or_unloaded() {
    let files = whole().await;
    let name = record_of(&files, 0);
    for reload in [true, false] {
        let mut files = files.clone();
        files.remove(&name);
        let (folder, settings) = lay(&files);
        for _ in 0..2 {
            let (_, report) = assert_serves(&settings, &[1, 2], "missing").await;
            assert_eq!(only_failure(&report, &name, "missing"), None);
        }
        let (models, _) = assert_serves(&settings, &[1, 2], "missing").await;
        if reload {
            let file = cache_file(&folder, "again", &guest());
            models
                .load(&load_request(&guest(), "CACHE", &file))
                .await
                .unwrap();
            assert!(
                matches!(models.snapshot().bound("lr-test"), Binding::Model(_)),
                "the binding was kept"
            );
        } else {
            models.unload(&guest().key).await.unwrap();
        }
        drop(models);
        let served: &[usize] = if reload { &[0, 1, 2] } else { &[1, 2] };
        let (_, report) = assert_serves(&settings, served, "afterwards").await;
        assert_eq!(report.failures, []);
    }
}

#[tokio::test]
async fn records_under_each_others_names_are_not_served() {
    let mut files = whole().await;
    let (guests, hosts) = (record_of(&files, 0), record_of(&files, 1));
    let (of_guest, of_host) = (files[&guests].clone(), files[&hosts].clone());
    files.extend([(guests, of_host), (hosts, of_guest)]);
    let (_folder, settings) = lay(&files);
    let (_, report) = assert_serves(&settings, &[2], "swapped").await;
    assert_eq!(report.failures.len(), 2);
    assert!(
        report
            .failures
            .iter()
            .all(|failure| failure.reason.contains("holds another model")),
        "{report:?}"
    );
}

#[tokio::test]
async fn without_any_manifest_the_records_tell_the_models() {
    let whole = whole().await;
    let bad = [
        b"".to_vec(),
        b"rubbish".to_vec(),
        whole["manifest"][..100].to_vec(),
    ];
    for (bytes, with_copy) in bad.iter().flat_map(|bytes| [(bytes, true), (bytes, false)]) {
        let mut files = whole.clone();
        files.insert("manifest".to_owned(), bytes.clone());
        files.remove("manifest.copy");
        if with_copy {
            files.insert("manifest.copy".to_owned(), bytes.clone());
        }
        let record = record_of(&files, 1);
        files.insert(record.clone(), b"rubbish".to_vec());
        let (_folder, settings) = lay(&files);
        let (models, report) = try_open(&settings).await.unwrap();
        assert_eq!((report.models, report.bindings), (2, 0));
        assert_eq!(
            report.failures.len(),
            if with_copy { 3 } else { 2 },
            "{report:?}"
        );
        assert!(
            report
                .failures
                .iter()
                .all(|failure| failure.set_aside.is_some()),
            "{report:?}"
        );
        for (service_id, model) in SERVICE_IDS {
            models
                .bind(&bind_request(&models_of_the_store()[model], service_id))
                .await
                .unwrap();
        }
        drop(models);
        let (_, report) = assert_serves(&settings, &[0, 2], "afterwards").await;
        assert_eq!(report.failures, []);
    }
}

#[tokio::test]
async fn a_copy_that_is_missing_or_behind_is_renewed_at_once() {
    let (files, older) = whole_and_older().await;
    for name in ["manifest", "manifest.copy"] {
        for behind in [true, false] {
            let context = format!("{name}, behind: {behind}");
            let mut files = files.clone();
            match behind {
                true => files.insert(name.to_owned(), older["manifest"].clone()),
                false => files.remove(name),
            };
            let (_folder, settings) = lay(&files);
            let (_, report) = assert_serves(&settings, &[0, 1, 2], &context).await;
            assert_eq!(report.failures, [], "{context}");
            // Now the other one rots.
            let other = if name == "manifest" {
                "manifest.copy"
            } else {
                "manifest"
            };
            fs::write(store(&settings).join(other), "rubbish").unwrap();
            let (_, report) = assert_serves(&settings, &[0, 1, 2], &context).await;
            only_failure(&report, other, &context).expect("set aside");
        }
    }
}

#[tokio::test]
async fn a_directory_in_place_of_a_file() {
    let files = whole().await;
    let record = record_of(&files, 2);
    for (name, served) in [
        ("manifest", &[0, 1, 2][..]),
        ("manifest.copy", &[0, 1, 2]),
        (&record, &[0, 1]),
    ] {
        let (_folder, settings) = lay(&files);
        replace_by_directory(&store(&settings).join(name));
        let (_, report) = assert_serves(&settings, served, name).await;
        let aside = only_failure(&report, name, name).expect("set aside");
        assert!(aside.join("content").is_file(), "{name}");
    }
    let (_folder, settings) = lay(&files);
    replace_by_directory(&store(&settings).join("manifest"));
    replace_by_directory(&store(&settings).join("manifest.copy"));
    let (_, report) = try_open(&settings).await.unwrap();
    assert_eq!(
        (report.models, report.bindings, report.failures.len()),
        (3, 0, 2)
    );
}

/// Where the store cannot keep what it would acknowledge, the node does not start, and says where.
#[tokio::test]
async fn what_cannot_be_worked_around_is_named() {
    let files = whole().await;
    let (_folder, settings) = lay(&files);
    replace_by_directory(&store(&settings).join("lock"));
    let text = try_open(&settings).await.unwrap_err().to_string();
    assert!(text.contains("serving/lock"), "{text}");
    let (_folder, settings) = lay(&files);
    fs::remove_dir_all(store(&settings).join("models")).unwrap();
    fs::write(store(&settings).join("models"), "").unwrap();
    let text = try_open(&settings).await.unwrap_err().to_string();
    assert!(text.contains("serving/models"), "{text}");
}

fn replace_by_directory(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
    fs::write(path.join("content"), "content").unwrap();
}

#[tokio::test]
async fn left_overs_are_removed_and_foreign_files_are_left_alone() {
    let mut files = whole().await;
    let record = record_of(&files, 0);
    let stem = record.rsplit_once('-').unwrap().0;
    let left_overs = [
        "manifest.tmp".to_owned(),
        "manifest.copy.tmp".to_owned(),
        format!("{stem}-00000000000000aa.model.tmp"),
        format!("{stem}-00000000000000ab.model"),
        format!("{stem}-ffffffffffffffff.model"),
    ];
    let foreign = [
        "README".to_owned(),
        "models/notes.model".to_owned(),
        "models/x-1.model.tmp".to_owned(),
        format!("{record}.bad-1"),
        format!("{record}~"),
    ];
    let content = files[&record].clone();
    files.extend(
        left_overs
            .iter()
            .chain(&foreign)
            .map(|name| (name.clone(), content.clone())),
    );
    files.insert("lock".to_owned(), b"4711\n\xff".to_vec());
    let (folder, settings) = lay(&files);
    fs::create_dir(store(&settings).join("models/folder")).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let name = std::ffi::OsStr::from_bytes(b"\xff-0000000000000001.model");
        fs::create_dir(store(&settings).join("models").join(name)).unwrap();
    }
    let (models, report) = assert_serves(&settings, &[0, 1, 2], "left-overs").await;
    assert_eq!(report.failures, []);
    let now = files_of(&settings);
    for name in &left_overs {
        assert!(!now.contains_key(name), "{name} is still there");
    }
    for name in &foreign {
        assert_eq!(now.get(name), Some(&content), "{name}");
    }
    // The highest number in a left-over's name does not exhaust the numbers.
    let file = cache_file(&folder, "again", &guest());
    models
        .load(&load_request(&guest(), "CACHE", &file))
        .await
        .unwrap();
    drop(models);
    let (_, report) = assert_serves(&settings, &[0, 1, 2], "afterwards").await;
    assert_eq!(report.failures, []);
}
