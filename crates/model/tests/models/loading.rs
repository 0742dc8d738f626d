//! What a load request must hold, which files it may name, and what a failed load leaves (contract 01 §3.3, §3.7).

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use fate_domain::party::Role;
use fate_model::Settings;
use fate_proto::model::PublishRequest;
use tokio::sync::Semaphore;
use zip::CompressionMethod;

use crate::archives::{Flow, assert_refused, entries, import_file, load, zip};
use crate::endpoint::{Endpoint, Reply};
use crate::golden::{Golden, bind_request, guest, host, load_request, transfer_json};
use crate::transfer::poll_once;
use crate::{cache_file, code_and_text, node, open};

#[tokio::test]
async fn a_cache_file_is_read() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    for model in [guest(), host()] {
        let path = cache_file(&folder, "model_a#b_cache", &model);
        models
            .load(&load_request(&model, "CACHE", &path))
            .await
            .unwrap();
        assert_eq!(models.buffers(&model.key).await.unwrap(), model.buffers);
    }
    for (content, expected) in [
        (&b""[..], "not a JSON object of Base64 texts"),
        (b"{}", "there are no buffers"),
        (b"[]", "not a JSON object of Base64 texts"),
        (b"{\"a.b:CMeta\":\"!\"}", "a.b:CMeta: bad Base64"),
        (b"{\"a.b:CMeta\":null}", "a.b:CMeta"),
        (
            b"{\"a.b:CMeta\":\"AA==\"",
            "not a JSON object of Base64 texts",
        ),
        (b"\xff", "not a JSON object of Base64 texts"),
    ] {
        let path = import_file(&folder, "bad", content);
        assert_refused(&models, "CACHE", &path, &["cache file ", "bad", expected]).await;
    }
}

#[tokio::test]
async fn a_file_larger_than_a_model_may_be_is_refused() {
    let (folder, mut settings) = node();
    settings.max_model_bytes = 3000;
    let models = open(&settings).await;
    let path = cache_file(&folder, "cache", &guest());
    assert_refused(&models, "CACHE", &path, &["the limit is 3000"]).await;
    let path = import_file(&folder, "huge", &vec![b' '; 2 << 20]);
    assert_refused(&models, "CACHE", &path, &["huge is larger than"]).await;
    let entries = entries(Flow::V1_11, &guest().buffers);
    let path = import_file(&folder, "zip", &zip(&entries, CompressionMethod::Deflated));
    assert_refused(&models, "FILE", &path, &["exceed the limit of"]).await;
}

#[tokio::test]
async fn only_files_below_the_import_path_are_read() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let inside = folder.path().join("import");
    let good = cache_file(&folder, "good", &guest());
    fs::copy(&good, folder.path().join("outside")).unwrap();
    fs::create_dir(folder.path().join("import-2")).unwrap();
    fs::copy(&good, folder.path().join("import-2/good")).unwrap();
    let at = |path: &Path| path.to_str().unwrap().to_owned();
    let outside = [
        at(&folder.path().join("outside")),
        at(&folder.path().join("missing")),
        at(&folder.path().join("import-2/good")),
        "/etc/passwd".to_owned(),
        "/dev/zero".to_owned(),
        "relative".to_owned(),
    ];
    let mut cases: Vec<(String, &str)> = outside
        .map(|path| (path, "is outside model.import.path"))
        .to_vec();
    cases.push((at(&inside.join("../outside")), "must not contain '..'"));
    cases.push((at(&inside), "is not a regular file"));
    cases.push((at(&inside.join("good/x")), "good/x"));
    cases.push((at(&inside.join("a\0b")), "a\0b"));
    cases.push((at(&inside.join("x".repeat(300))), "xxx"));
    cases.push((String::new(), "the request has no filePath"));
    cases.push((" ".to_owned(), "the request has no filePath"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("outside"), inside.join("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", inside.join("zero")).unwrap();
        cases.push((at(&inside.join("link")), "is outside model.import.path"));
        cases.push((at(&inside.join("zero")), "is outside model.import.path"));
    }
    for load_type in ["CACHE", "FILE"] {
        for (path, expected) in &cases {
            let (code, text) = load(&models, &guest(), load_type, path).await;
            assert!(text.contains(expected), "{path:?}: {code} {text}");
            assert_eq!(code, 123, "{path:?}: {text}");
        }
    }
    let missing = at(&inside.join("missing"));
    let (code, text) = load(&models, &guest(), "CACHE", &missing).await;
    assert_eq!(
        (code, text),
        (104, format!("model cache file {missing} is not exist"))
    );
    let (code, text) = load(&models, &guest(), "FILE", &missing).await;
    assert_eq!(
        (code, text),
        (104, format!("model file{missing} is not exist"))
    );
    assert_eq!(models.snapshot().models().count(), 0);
    models
        .load(&load_request(&guest(), "CACHE", &good))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_load_that_fails_leaves_the_model_of_before_and_its_stored_copy() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let good = cache_file(&folder, "good", &guest());
    let first = models
        .load(&load_request(&guest(), "CACHE", &good))
        .await
        .unwrap();
    models
        .bind(&bind_request(&guest(), "lr-test"))
        .await
        .unwrap();
    let stored = store_files(&settings);
    let broken = guest().broken();
    let broken_zip = zip(
        &entries(Flow::V1_11, &broken.buffers),
        CompressionMethod::Deflated,
    );
    let bad = [
        ("CACHE", cache_file(&folder, "broken", &broken)),
        ("FILE", import_file(&folder, "broken.zip", &broken_zip)),
        // The host's part of the model under the guest's name.
        ("CACHE", cache_file(&folder, "host", &host())),
        ("CACHE", import_file(&folder, "rubbish", b"rubbish")),
    ];
    for (load_type, path) in bad {
        let (code, text) = load(&models, &guest(), load_type, &path).await;
        assert_eq!(code, 123, "{path}: {text}");
        let published = models.snapshot();
        assert!(
            Arc::ptr_eq(published.model(&guest().key).unwrap(), &first),
            "{path}"
        );
        assert_eq!(store_files(&settings), stored, "{path}");
    }
    drop((models, first));
    let models = open(&settings).await;
    assert_eq!(models.buffers(&guest().key).await.unwrap(), guest().buffers);
    assert_eq!(models.snapshot().service_ids(&guest().key), ["lr-test"]);
}

/// Every file of the store with its content.
fn store_files(settings: &Settings) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let store = settings.cache_path.join(".fate/serving");
    let mut files = Vec::new();
    for folder in [store.clone(), store.join("models")] {
        let paths = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files.extend(paths.filter(|path| path.is_file()).map(|path| {
            let content = fs::read(&path).unwrap();
            (path, content)
        }));
    }
    files.sort();
    files
}

#[tokio::test]
async fn a_request_without_the_needed_entries_is_110() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let path = cache_file(&folder, "model", &guest());
    type Edit = fn(&mut PublishRequest);
    let cases: [(Edit, &str); 9] = [
        (|request| request.local = None, "model info is invalid"),
        (|request| request.model.clear(), "model info is invalid"),
        (
            |request| drop(request.model.remove("guest")),
            "model info is invalid",
        ),
        (
            |request| request.local.as_mut().unwrap().party_id = "1".to_owned(),
            "model info is invalid",
        ),
        (
            |request| drop(request.model.remove("host")),
            "no model of host 10000",
        ),
        (|request| request.role.clear(), "role.host is missing"),
        (|request| rename(request, "a/../b"), "a/../b"),
        (|request| rename(request, ""), "table name is blank"),
        (
            |request| request.load_type = "PB".to_owned(),
            "No enum constant com.webank.ai.fate.serving.model.ModelLoader.LoadModelType.PB",
        ),
    ];
    for (edit, expected) in cases {
        let mut request = load_request(&guest(), "CACHE", &path);
        edit(&mut request);
        let (code, text) = code_and_text(models.load(&request).await);
        assert_eq!(code, 110, "{text}");
        assert!(text.contains(expected), "{expected:?} is not in {text:?}");
    }
    let (code, text) = code_and_text(models.load(&PublishRequest::default()).await);
    assert_eq!(code, 110, "{text}");
    assert_eq!(models.snapshot().models().count(), 0);
}

fn rename(request: &mut PublishRequest, table_name: &str) {
    let infos = request.model.get_mut("guest").unwrap();
    let info = infos.role_model_info.get_mut("9999").unwrap();
    info.table_name = table_name.to_owned();
}

/// Anything but `guest` is a host (contract 01 §3.1).
#[tokio::test]
async fn an_arbiter_is_a_host() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let path = cache_file(&folder, "model", &host());
    let mut request = load_request(&host(), "CACHE", &path);
    request.local.as_mut().unwrap().role = "arbiter".to_owned();
    let loaded = models.load(&request).await.unwrap();
    assert_eq!(
        (loaded.role, loaded.remotes[0].role),
        (Role::Host, Role::Guest)
    );
}

#[tokio::test]
async fn too_many_loads_at_once_are_124() {
    let gate = Arc::new(Semaphore::new(0));
    let reply = Reply::Gated(Arc::clone(&gate), transfer_json(&guest().buffers));
    let endpoint = Endpoint::fixed(reply).await;
    let (_folder, settings) = node();
    let models = open(&settings).await;
    let versions: Vec<Golden> = (0..64).map(|n| guest().renamed(&n.to_string())).collect();
    let mut loads = Vec::new();
    for version in &versions {
        let models = models.clone();
        let request = load_request(version, "", &endpoint.url());
        let mut load = Box::pin(async move { models.load(&request).await });
        assert!(poll_once(load.as_mut()).await.is_pending());
        loads.push(load);
    }
    let (code, text) = load(&models, &guest(), "", &endpoint.url()).await;
    assert_eq!(code, 124, "{text}");
    // A repetition of one of them still joins it.
    let request = load_request(&versions[7], "", &endpoint.url());
    let mut repetition = pin!(models.load(&request));
    assert!(poll_once(repetition.as_mut()).await.is_pending());
    gate.add_permits(64);
    for load in loads {
        load.await.unwrap();
    }
    repetition.await.unwrap();
    assert_eq!(endpoint.seen().len(), 64);
    assert_eq!(models.snapshot().models().count(), 64);
}
