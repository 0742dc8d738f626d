//! modelTransfer and fetchModel (contract 01 §3.8): one node gives a model, another takes it.

use fate_domain::model_key::ModelKey;
use fate_inference::Semantics;
use fate_model::{Binding, Export, Models};
use serde_json::{Value, json};

use crate::endpoint::{Endpoint, Reply};
use crate::golden::{Golden, bind_request, cache_json, guest, host, load_request, transfer_json};
use crate::{cache_file, code_and_text, node, open};

/// What a node exports of this model, bound to these ids.
async fn exported(model: &Golden, service_ids: &[&str]) -> (Export, i64) {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let file = cache_file(&folder, "model", model);
    let loaded = models
        .load(&load_request(model, "CACHE", &file))
        .await
        .unwrap();
    for service_id in service_ids {
        models.bind(&bind_request(model, service_id)).await.unwrap();
    }
    (
        models.export(&model.key).await.unwrap(),
        loaded.loaded_at_ms,
    )
}

/// The model's JSON, changed by `edit`.
fn edited(export: &Export, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut model = serde_json::from_slice(&export.model_json).unwrap();
    edit(&mut model);
    serde_json::to_vec(&model).unwrap()
}

#[tokio::test]
async fn a_model_is_described_as_java_does() {
    let (export, loaded_at) = exported(&guest(), &["b", "a"]).await;
    let (key, other) = (guest().key, host().key);
    let stub = json!({
        "resourceName": other.resource_name(), "timestamp": loaded_at, "tableName": other.table_name,
        "namespace": other.namespace, "role": "host", "partId": "10000", "federationModelMap": {}, "serviceIds": [],
    });
    let expected = json!({
        "resourceName": key.resource_name(), "timestamp": loaded_at, "tableName": key.table_name,
        "namespace": key.namespace, "role": "guest", "partId": "9999", "federationModelMap": {"10000": stub},
        "serviceIds": ["a", "b"], "semantics": "fate",
    });
    assert_eq!(
        serde_json::from_slice::<Value>(&export.model_json).unwrap(),
        expected
    );
    assert!(
        export.model_json.starts_with(b"{\"resourceName\":\"M_"),
        "Java's order"
    );
    assert_eq!(
        String::from_utf8(export.cache).unwrap(),
        cache_json(&guest().buffers)
    );
}

#[tokio::test]
async fn a_model_goes_from_one_node_to_another_with_all_that_belongs_to_it() {
    let endpoint = Endpoint::fixed(Reply::Json(transfer_json(&guest().buffers))).await;
    let (_source_folder, mut settings) = node();
    settings.default_semantics = Semantics::Java;
    let source = open(&settings).await;
    let loaded = source
        .load(&load_request(&guest(), "FATEFLOW", &endpoint.url()))
        .await
        .unwrap();
    source
        .bind(&bind_request(&guest(), "lr-test"))
        .await
        .unwrap();

    let (folder, settings) = node();
    let target = open(&settings).await;
    // The id leads to another model here: a fetch switches it, as a bind does.
    let older = guest().renamed("older");
    let file = cache_file(&folder, "model", &older);
    target
        .load(&load_request(&older, "CACHE", &file))
        .await
        .unwrap();
    for service_id in ["lr-test", "stays"] {
        target
            .bind(&bind_request(&older, service_id))
            .await
            .unwrap();
    }
    let export = source.export(&guest().key).await.unwrap();
    target
        .import(&guest().key, &export.model_json, &export.cache)
        .await
        .unwrap();
    let check = |target: &Models| {
        let published = target.snapshot();
        let Binding::Model(fetched) = published.bound("lr-test") else {
            panic!("not bound")
        };
        assert_eq!(
            (&fetched.key, fetched.loaded_at_ms),
            (&loaded.key, loaded.loaded_at_ms)
        );
        assert_eq!(
            (fetched.role, &fetched.party_id),
            (loaded.role, &loaded.party_id)
        );
        assert_eq!(fetched.remotes, loaded.remotes);
        assert_eq!(fetched.resource_address, Some(endpoint.address()));
        assert_eq!(
            fetched.semantics,
            Semantics::Java,
            "the same scores as at the source"
        );
        assert_eq!(published.service_ids(&older.key), ["stays"]);
    };
    check(&target);
    assert_eq!(target.buffers(&guest().key).await.unwrap(), guest().buffers);
    // What it gives on is what it got.
    assert_eq!(target.export(&guest().key).await.unwrap(), export);
    // Once more is no harm.
    target
        .import(&guest().key, &export.model_json, &export.cache)
        .await
        .unwrap();
    drop(target);
    check(&open(&settings).await);
}

#[tokio::test]
async fn a_host_model_is_found_by_its_guests_model_after_a_fetch() {
    let (export, _) = exported(&host(), &[]).await;
    let (_folder, settings) = node();
    let target = open(&settings).await;
    // Java lets a host's model be bound; such a service id gives no score.
    let model_json = edited(&export, |model| model["serviceIds"] = json!(["lr-test"]));
    target
        .import(&host().key, &model_json, &export.cache)
        .await
        .unwrap();
    let published = target.snapshot();
    assert_eq!(published.partner(&guest().key).unwrap().key, host().key);
    assert_eq!(published.bindings().count(), 0);
}

#[tokio::test]
async fn what_java_nodes_leave_out_or_add_does_not_matter() {
    let (export, _) = exported(&guest(), &[]).await;
    type Edit = fn(&mut Value);
    let edits: [Edit; 6] = [
        |_| {},
        |model| model["resourceName"] = json!(-1),
        |model| model["resourceName"] = Value::Null,
        |model| {
            model["serviceIds"] = Value::Null;
            model["federationModelMap"]["10000"]["federationModelMap"] = Value::Null;
        },
        |model| {
            let model = model.as_object_mut().unwrap();
            for member in ["serviceIds", "resourceName"] {
                model.remove(member);
            }
        },
        |model| {
            model["allowQps"] = json!(2.5);
            model["resourceAdress"] = Value::Null;
            model["rolePartyMapList"] = json!([{"role": "guest", "partId": "9999"}]);
        },
    ];
    for (n, edit) in edits.iter().enumerate() {
        let (_folder, mut settings) = node();
        settings.default_semantics = Semantics::Java;
        let target = open(&settings).await;
        let model_json = edited(&export, |model| {
            model.as_object_mut().unwrap().remove("semantics");
            edit(model);
        });
        let imported = target
            .import(&guest().key, &model_json, &export.cache)
            .await;
        imported.unwrap_or_else(|fault| panic!("{n}: {fault}"));
        let published = target.snapshot();
        let model = published.model(&guest().key).unwrap();
        assert_eq!(
            model.semantics,
            Semantics::Java,
            "{n}: the target's default"
        );
        assert_eq!(model.remotes[0].key, host().key);
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_is_104() {
    let (_folder, settings) = node();
    let models = open(&settings).await;
    for key in [guest().key, ModelKey::new("", "../x")] {
        let answer = code_and_text(models.export(&key).await.map(|_| ()));
        assert_eq!(answer, (104, "model is not exist".to_owned()));
    }
}

#[tokio::test]
async fn a_model_whose_stored_copy_is_lost_is_104() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let file = cache_file(&folder, "model", &guest());
    models
        .load(&load_request(&guest(), "CACHE", &file))
        .await
        .unwrap();
    std::fs::remove_dir_all(settings.cache_path.join(".fate/serving/models")).unwrap();
    let (code, text) = code_and_text(models.export(&guest().key).await.map(|_| ()));
    assert_eq!(code, 104, "{text}");
    assert!(text.starts_with("model cache data is null: "), "{text}");
}

#[tokio::test]
async fn what_cannot_be_taken_changes_nothing() {
    let (export, _) = exported(&guest(), &["lr-test"]).await;
    let (folder, mut settings) = node();
    settings.max_model_bytes = 1 << 20;
    let target = open(&settings).await;
    let marked = guest().marked("of before");
    let file = cache_file(&folder, "model", &marked);
    target
        .load(&load_request(&marked, "CACHE", &file))
        .await
        .unwrap();
    let generation = target.snapshot().generation();
    let broken = cache_json(&guest().broken().buffers).into_bytes();
    let huge = cache_json(&[("a.b:C".to_owned(), vec![0; 2 << 20].into())].into()).into_bytes();
    let bad_id = edited(&export, |model| {
        model["serviceIds"] = json!(["good", "a/b"])
    });
    let other = edited(&export, |model| model["tableName"] = json!("other"));
    let outside = edited(&export, |model| model["namespace"] = json!("../x"));
    let bad_stub = edited(&export, |model| {
        model["federationModelMap"]["10000"]["tableName"] = json!("a/b");
    });
    let nested = "{\"federationModelMap\":{\"1\":"
        .repeat(100_000)
        .into_bytes();
    let good = export.model_json.clone();
    let cases: [(&[u8], &[u8], i32, &str); 12] = [
        (b"", &export.cache, 110, "the source's model data"),
        (b"null", &export.cache, 110, "the source's model data"),
        (b"{}", &export.cache, 110, "the source's model data"),
        (&nested, &export.cache, 110, "the source's model data"),
        (&other, &export.cache, 110, "the source sent other_"),
        (&outside, &export.cache, 110, "../x"),
        (&bad_stub, &export.cache, 110, "a/b"),
        (&bad_id, &export.cache, 110, "special characters"),
        (&good, b"", 123, "the source's cache data"),
        (&good, b"{\"a.b:C\":\"!\"}", 123, "a.b:C: bad Base64"),
        (&good, &huge, 123, "the limit is"),
        (&good, &broken, 123, "cannot be served"),
    ];
    for (model_json, cache, code, expected) in cases {
        let answer = code_and_text(target.import(&guest().key, model_json, cache).await);
        assert!(
            answer.0 == code && answer.1.contains(expected),
            "{expected:?}: {answer:?}"
        );
        assert_eq!(
            target.snapshot().generation(),
            generation,
            "nothing changed"
        );
    }
    assert_eq!(target.buffers(&guest().key).await.unwrap(), marked.buffers);
    drop(target);
    let target = open(&settings).await;
    assert_eq!(target.buffers(&guest().key).await.unwrap(), marked.buffers);
    assert_eq!(target.snapshot().bindings().count(), 0);
}
