//! publishBind, publishOnline, unbind, unload, and what a re-load does to bindings (contract 01 §3.3 to §3.6).

use std::sync::Arc;

use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_model::{Binding, LoadedModel, Models, Settings};
use fate_proto::model::{Party, PublishRequest};
use tempfile::TempDir;

use crate::golden::{Golden, bind_request, guest, host, load_request};
use crate::{cache_file, code_and_text, node, open};

const SPECIAL: &str = r#"Service id contains special characters, ["?",":","/","&"]"#;
const NOT_LOADED: &str = "not found model info, please check if the model is already loaded.";
const NOT_ITS_ID: &str = "unbind request info is error";

/// A node with these models loaded.
async fn node_with(loaded: &[&Golden]) -> (TempDir, Settings, Models) {
    let (folder, settings) = node();
    let models = open(&settings).await;
    for model in loaded {
        load(&models, &folder, model).await;
    }
    (folder, settings, models)
}

async fn load(models: &Models, folder: &TempDir, model: &Golden) -> Arc<LoadedModel> {
    let file = cache_file(folder, "model", model);
    let request = load_request(model, "CACHE", &file);
    models.load(&request).await.unwrap()
}

/// The key of the model that the service id leads to.
fn bound(models: &Models, service_id: &str) -> Option<ModelKey> {
    match models.snapshot().bound(service_id) {
        Binding::Model(model) => Some(model.key.clone()),
        Binding::NotBound => None,
        Binding::ModelGone(key) => panic!("{service_id} leads to {key}, which is not published"),
    }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

/// The bindings of `models`, which are then dropped, at the next start of the node.
async fn after_restart(models: Models, settings: &Settings) -> Models {
    drop(models);
    open(settings).await
}

#[tokio::test]
async fn service_ids_that_cannot_be_bound_are_110() {
    let (_folder, _settings, models) = node_with(&[&guest()]).await;
    let generation = models.snapshot().generation();
    let long = "x".repeat(1025);
    for (service_id, expected) in [
        ("", "param service id is blank"),
        ("  \t", "param service id is blank"),
        ("a?b", SPECIAL),
        ("a:b", SPECIAL),
        ("a/b", SPECIAL),
        ("&", SPECIAL),
        ("a\nb", "service id contains control characters"),
        ("a\0", "service id contains control characters"),
        (".", r#"service id must not be "." or "..""#),
        ("..", r#"service id must not be "." or "..""#),
        (&long, "service id is longer than 1024 bytes"),
    ] {
        let answer = code_and_text(models.bind(&bind_request(&guest(), service_id)).await);
        assert_eq!(answer, (110, expected.to_owned()), "{service_id:?}");
    }
    assert_eq!(models.snapshot().bindings().count(), 0);
    assert_eq!(
        models.snapshot().generation(),
        generation,
        "nothing changed"
    );
}

#[tokio::test]
async fn any_other_text_is_a_service_id() {
    let (_folder, settings, models) = node_with(&[&guest()]).await;
    let service_ids = [
        "a b",
        "a.b#c%2F~",
        "信用-1",
        "\"<'>\\",
        "...",
        &"x".repeat(1024),
    ];
    for service_id in service_ids {
        models
            .bind(&bind_request(&guest(), service_id))
            .await
            .unwrap();
    }
    let models = after_restart(models, &settings).await;
    for service_id in service_ids {
        assert_eq!(
            bound(&models, service_id),
            Some(guest().key),
            "{service_id:?}"
        );
    }
    assert_eq!(bound(&models, "a"), None);
    let mut sorted = ids(&service_ids);
    sorted.sort();
    assert_eq!(models.snapshot().service_ids(&guest().key), sorted);
}

#[tokio::test]
async fn only_loaded_models_of_a_guest_are_bound() {
    let (_folder, _settings, models) = node_with(&[&host()]).await;
    let ModelKey {
        table_name,
        namespace,
    } = guest().key;
    let answer = code_and_text(models.bind(&bind_request(&guest(), "lr-test")).await);
    // With a blank at the end, as Java.
    let text = format!("model {table_name}_{namespace} is not exist ");
    assert_eq!(answer, (104, text));
    // The service id is looked at first.
    let answer = code_and_text(models.bind(&bind_request(&guest(), "a/b")).await);
    assert_eq!(answer, (110, SPECIAL.to_owned()));
    let answer = code_and_text(models.bind(&bind_request(&host(), "lr-test")).await);
    let text = "service id can only be bound to a guest model";
    assert_eq!(answer, (110, text.to_owned()));
    assert_eq!(models.snapshot().bindings().count(), 0);
}

#[tokio::test]
async fn the_model_is_the_local_partys_or_that_of_the_first_of_its_role() {
    let (_folder, _settings, models) = node_with(&[&guest()]).await;
    // As FATE-Flow sends it, without the initiator's id, and with a second party of the role.
    let mut request = bind_request(&guest(), "lr-test");
    request.local.as_mut().unwrap().party_id.clear();
    let second = Party {
        party_id: ids(&["9999", "10001"]),
    };
    request.role.insert("guest".to_owned(), second);
    models.bind(&request).await.unwrap();
    assert_eq!(bound(&models, "lr-test"), Some(guest().key));
    type Edit = fn(&mut PublishRequest);
    let edits: [Edit; 5] = [
        |request| request.model.clear(),
        |request| request.local = None,
        |request| {
            request.local.as_mut().unwrap().party_id.clear();
            request.role.clear();
        },
        |request| {
            request.local.as_mut().unwrap().party_id.clear();
            request.role.insert("guest".to_owned(), Party::default());
        },
        |request| {
            let infos = request.model.get_mut("guest").unwrap();
            infos.role_model_info.clear();
        },
    ];
    for (n, edit) in edits.iter().enumerate() {
        let mut request = bind_request(&guest(), "other");
        edit(&mut request);
        let (code, text) = code_and_text(models.bind(&request).await);
        assert!(
            code == 110 && text.starts_with("model info is invalid"),
            "{n}: {code} {text}"
        );
    }
    assert_eq!(bound(&models, "other"), None);
}

#[tokio::test]
async fn a_second_bind_switches_the_service_to_the_other_model() {
    let newer = guest().renamed("newer");
    let (_folder, settings, models) = node_with(&[&guest(), &newer]).await;
    models
        .bind(&bind_request(&guest(), "lr-test"))
        .await
        .unwrap();
    models.bind(&bind_request(&guest(), "other")).await.unwrap();
    let before = models.snapshot();
    let mut changes = models.subscribe();
    models.bind(&bind_request(&newer, "lr-test")).await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!(*changes.borrow_and_update(), models.snapshot().generation());
    assert_eq!(bound(&models, "lr-test"), Some(newer.key.clone()));
    assert_eq!(bound(&models, "other"), Some(guest().key));
    // Whoever holds the snapshot of before goes on with the model of before.
    let Binding::Model(old) = before.bound("lr-test") else {
        panic!("not bound")
    };
    assert_eq!(old.key, guest().key);
    drop(before);
    // Once more, the same: FATE-Flow repeats calls.
    models.bind(&bind_request(&newer, "lr-test")).await.unwrap();
    let models = after_restart(models, &settings).await;
    assert_eq!(bound(&models, "lr-test"), Some(newer.key));
    assert_eq!(bound(&models, "other"), Some(guest().key));
}

#[tokio::test]
async fn an_unload_takes_the_model_its_bindings_and_its_stored_copy() {
    let newer = guest().renamed("newer");
    let (folder, settings, models) = node_with(&[&guest(), &newer]).await;
    for service_id in ["one", "two"] {
        models
            .bind(&bind_request(&guest(), service_id))
            .await
            .unwrap();
    }
    models.bind(&bind_request(&newer, "three")).await.unwrap();
    models.unload(&guest().key).await.unwrap();
    let gone = |models: &Models| {
        assert_eq!((bound(models, "one"), bound(models, "two")), (None, None));
        assert_eq!(bound(models, "three"), Some(newer.key.clone()));
        assert!(models.snapshot().model(&guest().key).is_none());
        assert_eq!(models.snapshot().models().count(), 1);
    };
    gone(&models);
    assert_eq!(
        code_and_text(models.buffers(&guest().key).await),
        (104, "model is not exist".to_owned())
    );
    let stored = std::fs::read_dir(folder.path().join(".fate/serving/models")).unwrap();
    assert_eq!(stored.count(), 1, "one model is left");
    // With a blank in front, as Java.
    let text = " found model info, please check if the model is already loaded.";
    for key in [
        guest().key,
        ModelKey::new("", ""),
        ModelKey::new("../x", "a/b"),
    ] {
        assert_eq!(
            code_and_text(models.unload(&key).await),
            (104, text.to_owned())
        );
    }
    let models = after_restart(models, &settings).await;
    gone(&models);
    // A new load does not bring the old bindings back.
    load(&models, &folder, &guest()).await;
    assert_eq!(bound(&models, "one"), None);
}

#[tokio::test]
async fn an_unbind_is_done_for_all_ids_or_for_none() {
    let newer = guest().renamed("newer");
    let (_folder, settings, models) = node_with(&[&guest(), &newer]).await;
    for service_id in ["one", "two", "three"] {
        models
            .bind(&bind_request(&guest(), service_id))
            .await
            .unwrap();
    }
    models.bind(&bind_request(&newer, "newer")).await.unwrap();
    let key = guest().key;
    let generation = models.snapshot().generation();
    for (key, service_ids, code, text) in [
        (&key, &[][..], 110, "param service id is blank"),
        (&key, &["", " "], 110, "param service id is blank"),
        (&key, &["one", "unknown"], 104, NOT_ITS_ID),
        (&key, &["one", "newer"], 104, NOT_ITS_ID),
        (&key, &["one", ""], 104, NOT_ITS_ID),
        (&newer.key, &["one"], 104, NOT_ITS_ID),
        (&host().key, &["one"], 104, NOT_LOADED),
    ] {
        let answer = code_and_text(models.unbind(key, &ids(service_ids)).await);
        assert_eq!(answer, (code, text.to_owned()), "{service_ids:?}");
    }
    assert_eq!(
        models.snapshot().generation(),
        generation,
        "nothing changed"
    );
    let mut all = ids(&["one", "two", "three"]);
    all.sort();
    assert_eq!(models.snapshot().service_ids(&key), all);
    models
        .unbind(&key, &ids(&["one", "two", "one"]))
        .await
        .unwrap();
    let check = |models: &Models| {
        assert_eq!(models.snapshot().service_ids(&key), ["three"]);
        assert_eq!(bound(models, "newer"), Some(newer.key.clone()));
        assert!(
            models.snapshot().model(&key).is_some(),
            "the model stays loaded"
        );
    };
    check(&models);
    let answer = code_and_text(models.unbind(&key, &ids(&["one"])).await);
    assert_eq!(answer, (104, NOT_ITS_ID.to_owned()));
    check(&after_restart(models, &settings).await);
}

#[tokio::test]
async fn a_second_load_replaces_the_model_and_keeps_its_bindings() {
    let (folder, settings, models) = node_with(&[&guest()]).await;
    models
        .bind(&bind_request(&guest(), "lr-test"))
        .await
        .unwrap();
    let before = models.snapshot();
    let first = Arc::clone(before.model(&guest().key).unwrap());
    let second = load(&models, &folder, &guest().marked("second")).await;
    assert!(!Arc::ptr_eq(&first, &second));
    assert!(second.loaded_at_ms >= first.loaded_at_ms);
    let published = models.snapshot();
    let Binding::Model(now) = published.bound("lr-test") else {
        panic!("not bound")
    };
    assert!(Arc::ptr_eq(&now, &second));
    // A request in flight finishes on what it began with.
    let Binding::Model(then) = before.bound("lr-test") else {
        panic!("not bound")
    };
    assert!(Arc::ptr_eq(&then, &first));
    assert_eq!(
        (published.models().count(), published.bindings().count()),
        (1, 1)
    );
    drop((before, published));
    let stored = std::fs::read_dir(folder.path().join(".fate/serving/models")).unwrap();
    assert_eq!(stored.count(), 1, "the replaced file is removed");
    let models = after_restart(models, &settings).await;
    assert_eq!(
        models.buffers(&guest().key).await.unwrap(),
        guest().marked("second").buffers
    );
    let published = models.snapshot();
    let Binding::Model(now) = published.bound("lr-test") else {
        panic!("not bound")
    };
    assert_eq!(now.loaded_at_ms, second.loaded_at_ms);
}

/// Guests before 2.0 name their own model; the host finds its part by it.
#[tokio::test]
async fn a_host_model_is_found_by_its_guests_model() {
    let (folder, settings, models) = node_with(&[&guest(), &host()]).await;
    let partner = |models: &Models| {
        let published = models.snapshot();
        published
            .partner(&guest().key)
            .map(|model| (model.key.clone(), model.role))
    };
    assert_eq!(partner(&models), Some((host().key, Role::Host)));
    assert!(
        models.snapshot().partner(&host().key).is_none(),
        "a guest is nobody's part"
    );

    // A second model of the host for the same guest's: the one loaded last wins, whatever their names.
    let file = cache_file(&folder, "model", &host());
    for table_name in ["0", "zzz", "1"] {
        let other = host().renamed(table_name);
        let mut request = load_request(&other, "CACHE", &file);
        let of_guest = load_request(&host(), "", "").model["guest"].clone();
        request.model.insert("guest".to_owned(), of_guest);
        let last_load = partner_load_time(&models);
        while now_ms() <= last_load {
            tokio::task::yield_now().await;
        }
        models.load(&request).await.unwrap();
        assert_eq!(partner(&models), Some((other.key, Role::Host)));
    }
    let models = after_restart(models, &settings).await;
    assert_eq!(partner(&models).unwrap().0.table_name, "1");
    models.unload(&host().renamed("1").key).await.unwrap();
    assert_eq!(partner(&models).unwrap().0.table_name, "zzz");
    for table_name in ["0", "zzz"] {
        models
            .unload(&host().renamed(table_name).key)
            .await
            .unwrap();
    }
    models.unload(&host().key).await.unwrap();
    assert_eq!(partner(&models), None);
}

fn partner_load_time(models: &Models) -> i64 {
    let published = models.snapshot();
    published.partner(&guest().key).unwrap().loaded_at_ms
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_millis() as i64
}
