//! What a start finds of the life before (contract 01 §3.10), and when it must not start.

use std::fs;

use fate_inference::Semantics;
use fate_model::{Error, Models};

use crate::golden::{bind_request, golden, guest, host, load_request};
use crate::{cache_file, node, open};

#[tokio::test]
async fn a_new_node_has_nothing() {
    let (_folder, settings) = node();
    let (models, report) = Models::open(settings).await.unwrap();
    assert_eq!((report.models, report.bindings), (0, 0));
    assert_eq!(
        (report.failures, report.take_over, report.notes),
        (vec![], None, vec![])
    );
    assert_eq!(models.snapshot().models().count(), 0);
}

#[tokio::test]
async fn everything_about_a_model_is_restored() {
    let (folder, mut settings) = node();
    let models = open(&settings).await;
    let two_hosts = golden("sbt_two_hosts", "guest_9999");
    let mut before = Vec::new();
    for model in [&guest(), &host(), &two_hosts] {
        let file = cache_file(&folder, "model", model);
        let mut request = load_request(model, "CACHE", &file);
        if model.key == two_hosts.key {
            add_host(&mut request, "10001");
        }
        before.push(models.load(&request).await.unwrap());
    }
    models
        .bind(&bind_request(&guest(), "lr-test"))
        .await
        .unwrap();
    models.bind(&bind_request(&two_hosts, "two")).await.unwrap();
    drop(models);

    // A changed default is for new models only.
    settings.default_semantics = Semantics::Java;
    let (models, report) = Models::open(settings.clone()).await.unwrap();
    assert_eq!(
        (report.models, report.bindings, report.failures.len()),
        (3, 2, 0)
    );
    let published = models.snapshot();
    for old in &before {
        let new = published.model(&old.key).unwrap();
        assert_eq!(new.remotes, old.remotes);
        assert_eq!(
            (new.role, &new.party_id, new.loaded_at_ms, new.semantics),
            (old.role, &old.party_id, old.loaded_at_ms, Semantics::Fate)
        );
    }
    assert_eq!(before[2].remotes.len(), 2);
    assert_eq!(published.service_ids(&guest().key), ["lr-test"]);
    assert_eq!(published.service_ids(&two_hosts.key), ["two"]);
    let file = cache_file(&folder, "model", &guest());
    let again = models
        .load(&load_request(&guest(), "CACHE", &file))
        .await
        .unwrap();
    assert_eq!(again.semantics, Semantics::Java);
}

fn add_host(request: &mut fate_proto::model::PublishRequest, party_id: &str) {
    let parties = request.role.get_mut("host").unwrap();
    parties.party_id.push(party_id.to_owned());
    let infos = &mut request.model.get_mut("host").unwrap().role_model_info;
    let mut info = infos["10000"].clone();
    info.namespace = info
        .namespace
        .replacen("host#10000", &format!("host#{party_id}"), 1);
    infos.insert(party_id.to_owned(), info);
}

/// Two nodes in one folder would overwrite each other's models.
#[tokio::test]
async fn a_store_belongs_to_one_process() {
    let (_folder, settings) = node();
    let models = open(&settings).await;
    let second = Models::open(settings.clone()).await.unwrap_err();
    assert!(matches!(second, Error::InUse { .. }), "{second}");
    assert!(second.to_string().contains("model.cache.path"), "{second}");
    let clone = models.clone();
    drop(models);
    let still = Models::open(settings.clone()).await.unwrap_err();
    assert!(matches!(still, Error::InUse { .. }), "{still}");
    drop(clone);
    open(&settings).await;
}

#[tokio::test]
async fn settings_that_make_no_sense_are_named() {
    let bad = [
        "",
        "ftp://x/y",
        "http://",
        "http://h/../x",
        "http://u@h/",
        "http://h:99999/",
        "no url",
    ];
    for entry in bad {
        let (folder, mut settings) = node();
        settings.transfer_allow = vec!["http://good/".to_owned(), entry.to_owned()];
        let error = Models::open(settings).await.unwrap_err();
        let text = error.to_string();
        let start = format!("model.transfer.allow={entry}: ");
        assert!(
            text.starts_with(&start) && text.len() > start.len(),
            "{text}"
        );
        assert!(!folder.path().join(".fate").exists(), "nothing was made");
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let (folder, mut settings) = node();
    fs::write(folder.path().join("file"), "").unwrap();
    settings.cache_path = folder.path().join("file");
    let error = Models::open(settings.clone()).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains("file/.fate/serving"), "{error}");
    settings.cache_path = folder.path().join("not/yet/there");
    open(&settings).await;
}

/// A commit that fails is no change, and leaves nothing that fills the disk.
#[cfg(unix)]
#[tokio::test]
async fn a_change_that_cannot_be_written_is_no_change() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let file = cache_file(&folder, "model", &guest());
    let first = models
        .load(&load_request(&guest(), "CACHE", &file))
        .await
        .unwrap();
    let store = settings.cache_path.join(".fate/serving");
    // A directory in the way of the temporary file: the manifest cannot be written, not even by root.
    fs::create_dir(store.join("manifest.tmp")).unwrap();
    let other = cache_file(&folder, "other", &guest().marked("other"));
    let fault = models
        .load(&load_request(&guest(), "CACHE", &other))
        .await
        .unwrap_err();
    assert_eq!(fault.code.0, 110);
    assert!(fault.message.contains("serving/manifest"), "{fault}");
    for fault in [
        models
            .bind(&bind_request(&guest(), "lr-test"))
            .await
            .unwrap_err(),
        models.unload(&guest().key).await.unwrap_err(),
    ] {
        assert_eq!(fault.code.0, 110);
    }
    let published = models.snapshot();
    assert!(std::sync::Arc::ptr_eq(
        published.model(&guest().key).unwrap(),
        &first
    ));
    assert_eq!(published.bindings().count(), 0);
    drop(published);
    assert_eq!(models.buffers(&guest().key).await.unwrap(), guest().buffers);
    assert_eq!(fs::read_dir(store.join("models")).unwrap().count(), 1);
    // The disk is mended: the node goes on.
    fs::remove_dir(store.join("manifest.tmp")).unwrap();
    models
        .load(&load_request(&guest(), "CACHE", &other))
        .await
        .unwrap();
    models
        .bind(&bind_request(&guest(), "lr-test"))
        .await
        .unwrap();
    drop((models, first));
    let models = open(&settings).await;
    assert_eq!(
        models.buffers(&guest().key).await.unwrap(),
        guest().marked("other").buffers
    );
    assert_eq!(models.snapshot().service_ids(&guest().key), ["lr-test"]);
}
