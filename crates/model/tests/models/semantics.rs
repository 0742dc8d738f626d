//! Another semantics for a loaded model: at once, durably, or not at all.

use std::fs;

use fate_inference::Semantics;
use fate_model::{ChangeError, Error, set_stored_semantics};

use crate::golden::{bind_request, golden, guest, load_request};
use crate::{cache_file, code_and_text, node, open};

#[tokio::test]
async fn a_change_holds_at_once_and_after_a_restart() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let file = cache_file(&folder, "model", &guest());
    let before = models
        .load(&load_request(&guest(), "CACHE", &file))
        .await
        .unwrap();
    models
        .bind(&bind_request(&guest(), "lr-test"))
        .await
        .unwrap();
    let generation = models.snapshot().generation();

    let change = models
        .set_semantics(&guest().key, Semantics::Java)
        .await
        .unwrap();
    assert_eq!(change.before, Semantics::Fate);
    assert_eq!(change.model.loaded_at_ms, before.loaded_at_ms);
    assert_eq!(change.model.remotes, before.remotes);
    let published = models.snapshot();
    let model = published.model(&guest().key).unwrap();
    assert_eq!(model.semantics, Semantics::Java);
    assert_eq!(model.plan.verdict().semantics, Semantics::Java);
    assert_eq!(published.service_ids(&guest().key), ["lr-test"]);
    assert_eq!(published.generation(), generation + 1);
    drop((published, models));

    let models = open(&settings).await;
    let published = models.snapshot();
    assert_eq!(
        published.model(&guest().key).unwrap().semantics,
        Semantics::Java
    );
    assert_eq!(published.service_ids(&guest().key), ["lr-test"]);
}

#[tokio::test]
async fn a_model_that_is_not_there_or_cannot_be_served_so_is_left_alone() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let missing = models.set_semantics(&guest().key, Semantics::Java).await;
    let (code, text) = code_and_text(missing);
    assert_eq!(code, 104);
    assert!(
        text.starts_with("model ") && text.ends_with(" is not exist "),
        "{text}"
    );

    // FATE-Serving 2.1.7 has no linear regression.
    let linear = golden("linr", "guest_9999");
    let file = cache_file(&folder, "model", &linear);
    let request = load_request(&linear, "CACHE", &file);
    models.load(&request).await.unwrap();
    let records = || fs::read_dir(folder.path().join(".fate/serving/models")).unwrap();
    let names = || {
        let mut names: Vec<_> = records().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let refused = models.set_semantics(&linear.key, Semantics::Java).await;
    let (code, text) = code_and_text(refused);
    assert_eq!(code, 123, "{text}");
    assert!(text.contains("hetero_linr_0"), "{text}");
    let published = models.snapshot();
    assert_eq!(
        published.model(&linear.key).unwrap().semantics,
        Semantics::Fate
    );
    assert_eq!(names(), before);
}

#[tokio::test]
async fn a_store_is_changed_only_while_no_server_holds_it() {
    let (folder, settings) = node();
    let change = |semantics| set_stored_semantics(folder.path(), &guest().key, semantics);
    assert!(matches!(
        change(Semantics::Java),
        Err(ChangeError::Store(Error::NoStore { is_java: false, .. }))
    ));
    assert!(
        !folder.path().join(".fate").exists(),
        "a store is not made by the way"
    );

    let models = open(&settings).await;
    let file = cache_file(&folder, "model", &guest());
    models
        .load(&load_request(&guest(), "CACHE", &file))
        .await
        .unwrap();
    assert!(matches!(
        change(Semantics::Java),
        Err(ChangeError::Store(Error::InUse { .. }))
    ));
    drop(models);

    for (semantics, before) in [
        (Semantics::Java, Semantics::Fate),
        (Semantics::Java, Semantics::Java),
        (Semantics::Fate, Semantics::Java),
        (Semantics::Java, Semantics::Fate),
    ] {
        let change = change(semantics).unwrap();
        assert_eq!((change.before, change.model.semantics), (before, semantics));
    }
    let models = open(&settings).await;
    let published = models.snapshot();
    let model = published.model(&guest().key).unwrap();
    assert_eq!(model.semantics, Semantics::Java);
    let records = fs::read_dir(folder.path().join(".fate/serving/models")).unwrap();
    assert_eq!(records.count(), 1, "replaced records are removed");
}
