//! A Java node's `.fate` folder, made byte for byte as Java makes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fate_domain::model_key::ModelKey;
use fate_domain::party::Role;
use fate_inference::Semantics;
use fate_model::{Binding, Models};
use sha2::{Digest as _, Sha256};

use crate::golden::{Golden, cache_json, guest, host, load_request};
use crate::java::{Age, JavaModel, Origin, RootMap, bind_store, load_store};
use crate::{cache_file, node, open};

const EXAMPLE_GUEST: &str = "guest#9999#arbiter-10000#guest-9999#host-10000#model";
const EXAMPLE_HOST: &str = "host#10000#arbiter-10000#guest-9999#host-10000#model";
const EXAMPLE_VERSION: &str = "2020080416153238910324";

fn java_model(own: &Golden, timestamp: i64, partners: Vec<JavaModel>) -> JavaModel {
    JavaModel {
        table_name: own.key.table_name.clone(),
        namespace: own.key.namespace.clone(),
        role: Some(own.role.clone()),
        party_id: own.party_id.clone(),
        timestamp,
        resource_address: None,
        resource_name: None,
        allow_qps: None,
        partners,
        origin: Origin::Load,
    }
}

fn example(
    namespace: &str,
    role: &str,
    party_id: &str,
    timestamp: i64,
    partners: Vec<JavaModel>,
) -> JavaModel {
    JavaModel {
        table_name: EXAMPLE_VERSION.to_owned(),
        namespace: namespace.to_owned(),
        role: Some(role.to_owned()),
        party_id: party_id.to_owned(),
        timestamp,
        resource_address: None,
        resource_name: None,
        allow_qps: None,
        partners,
        origin: Origin::Load,
    }
}

/// The two stores of lr_plain's guest and host on one node, and their cache files.
fn write_java_folder(fate: &Path, root: RootMap, age: Age, edit: impl Fn(&mut Vec<JavaModel>)) {
    let (guest, host) = (guest(), host());
    let mut models = vec![
        java_model(
            &guest,
            1597051900508,
            vec![java_model(&host, 1597051900508, Vec::new())],
        ),
        java_model(
            &host,
            1597051901274,
            vec![java_model(&guest, 1597051901274, Vec::new())],
        ),
    ];
    edit(&mut models);
    fs::create_dir_all(fate).unwrap();
    fs::write(
        fate.join("loadModelStore.cache"),
        load_store(root, age, &models),
    )
    .unwrap();
    let bindings = [
        ("lr-test", guest.key.store_name()),
        ("second", guest.key.store_name()),
    ];
    let bindings: Vec<(&str, &str)> = bindings
        .iter()
        .map(|(id, key)| (*id, key.as_str()))
        .collect();
    fs::write(
        fate.join("bindModelStore.cache"),
        bind_store(root, &bindings),
    )
    .unwrap();
    for model in [&guest, &host] {
        let name = format!("model_{}_cache", model.key.store_name());
        fs::write(fate.join(&name), cache_json(&model.buffers)).unwrap();
        fs::write(fate.join(format!("{name}.lock")), "").unwrap();
    }
}

/// Every file of the Java node with its content and time.
fn files(fate: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let entries = fs::read_dir(fate)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file());
    entries
        .map(|entry| {
            let modified = entry.metadata().unwrap().modified().unwrap();
            (
                entry.file_name().into_string().unwrap(),
                (fs::read(entry.path()).unwrap(), modified),
            )
        })
        .collect()
}

#[test]
fn the_writer_of_this_test_writes_what_a_java_8_node_wrote() {
    // SHA-256 of the stores in FATE-Serving's published example, written by a real node in 2020.
    let sha256 = |bytes: &[u8]| {
        Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let key = format!("{EXAMPLE_VERSION}_{EXAMPLE_GUEST}");
    let bind = bind_store(RootMap::Segments, &[("lr-test", &key)]);
    assert_eq!(bind.len(), 1090);
    assert_eq!(
        sha256(&bind),
        "2853adcd10f90ea0abfed856ce584ae82ed9ec1003b41121a52508674832921d"
    );
    let stub =
        |namespace, role, party, timestamp| example(namespace, role, party, timestamp, Vec::new());
    let models = [
        example(
            EXAMPLE_GUEST,
            "guest",
            "9999",
            1597051900508,
            vec![stub(EXAMPLE_HOST, "host", "10000", 1597051900508)],
        ),
        example(
            EXAMPLE_HOST,
            "host",
            "10000",
            1597051901274,
            vec![stub(EXAMPLE_GUEST, "guest", "9999", 1597051901274)],
        ),
    ];
    let load = load_store(RootMap::Segments, Age::Of2020, &models);
    assert_eq!(load.len(), 2160);
    assert_eq!(
        sha256(&load),
        "eed41cb43e861f7a6c080457a223bad461b6c1ccbcec25d248f5cb5433a7f242"
    );
}

#[tokio::test]
async fn a_java_folder_is_taken_over_and_left_untouched() {
    for (root, age) in [
        (RootMap::Segments, Age::Of2020),
        (RootMap::Segments, Age::Current),
        (RootMap::Minimal, Age::Of2020),
        (RootMap::Minimal, Age::Current),
    ] {
        let (folder, settings) = node();
        let fate = folder.path().join(".fate");
        write_java_folder(&fate, root, age, |models| {
            if age == Age::Current {
                models[0].resource_address = Some("127.0.0.1:9380".to_owned());
            } else {
                // Old files have stubs without a role.
                models[0].partners[0].role = None;
            }
        });
        let before = files(&fate);
        let (models, report) = Models::open(settings.clone()).await.unwrap();
        assert_eq!(report.failures, []);
        let taken = report.take_over.unwrap();
        assert_eq!(
            (taken.models, taken.bindings, report.models, report.bindings),
            (2, 2, 2, 2)
        );
        check_lr_plain(&models, age);
        assert_eq!(files(&fate), before);
        drop(models);

        // From now on our own store counts.
        let (models, report) = Models::open(settings).await.unwrap();
        assert_eq!((report.take_over, report.failures), (None, Vec::new()));
        check_lr_plain(&models, age);
        assert_eq!(files(&fate), before);
    }
}

fn check_lr_plain(models: &Models, age: Age) {
    let (guest, host) = (guest(), host());
    let published = models.snapshot();
    let Binding::Model(bound) = published.bound("lr-test") else {
        panic!("not bound")
    };
    assert_eq!(bound.key, guest.key);
    assert_eq!(published.service_ids(&guest.key), ["lr-test", "second"]);
    assert_eq!(
        (bound.role, bound.party_id.as_str(), bound.loaded_at_ms),
        (Role::Guest, "9999", 1597051900508)
    );
    assert_eq!(bound.semantics, Semantics::Java);
    assert_eq!(bound.remotes.len(), 1);
    assert_eq!(
        (bound.remotes[0].role, bound.remotes[0].party_id.as_str()),
        (Role::Host, "10000")
    );
    assert_eq!(bound.remotes[0].key, host.key);
    let address = (age == Age::Current).then(|| "127.0.0.1:9380".to_owned());
    assert_eq!(bound.resource_address, address);
    let served = published.partner(&guest.key).unwrap();
    assert_eq!(
        (&served.key, served.role, served.loaded_at_ms),
        (&host.key, Role::Host, 1597051901274)
    );
}

/// Everything the classes of 2.1.7 can hold: the entries of models that came by fetchModel, resource names of every
/// kind, a limit of requests.
#[tokio::test]
async fn what_a_java_node_adds_to_its_entries_does_not_matter() {
    for (root, resource_name) in [
        (RootMap::Segments, Some("-1")),
        (RootMap::Segments, None),
        (RootMap::Minimal, Some("M_x_y")),
    ] {
        let (folder, settings) = node();
        let fate = folder.path().join(".fate");
        write_java_folder(&fate, root, Age::Current, |models| {
            models[0].resource_address = Some("127.0.0.1:9380".to_owned());
            // The host first: the guest's role is then a reference to that of the host's stub.
            models.reverse();
            for model in models {
                model.origin = Origin::Fetch;
                model.allow_qps = Some(2.5);
                model.resource_name = resource_name.map(str::to_owned);
                model.partners[0].resource_name = resource_name.map(str::to_owned);
            }
        });
        let before = files(&fate);
        let (models, report) = Models::open(settings).await.unwrap();
        assert_eq!(report.failures, []);
        assert_eq!((report.models, report.bindings), (2, 2));
        check_lr_plain(&models, Age::Current);
        assert_eq!(files(&fate), before);
    }
}

/// The reader of the stream meets every kind of damage: it never panics and never hangs, and the files stay as they are.
#[tokio::test]
async fn a_damaged_java_store_is_named_and_left_untouched() {
    let (folder, mut settings) = node();
    let fate = folder.path().join(".fate");
    write_java_folder(&fate, RootMap::Segments, Age::Current, |models| {
        models[1].origin = Origin::Fetch;
    });
    let whole = fs::read(fate.join("loadModelStore.cache")).unwrap();
    let cut_off = (0..whole.len())
        .step_by(37)
        .map(|length| whole[..length].to_vec());
    let changed = (0..whole.len()).step_by(13).map(|at| {
        let mut bytes = whole.clone();
        bytes[at] = !bytes[at];
        bytes
    });
    // Objects in objects in objects, and a class whose super class has a super class and so on.
    let nested = [0xac, 0xed, 0, 5]
        .into_iter()
        .chain(std::iter::repeat_n(0x79, 1 << 20));
    let mut classes = vec![0xac, 0xed, 0, 5, 0x73];
    for _ in 0..100_000 {
        classes.extend([0x72, 0, 1, b'a', 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0x78]);
    }
    let long_array = [
        &whole[..4],
        b"\x75\x72\0\x02[I\0\0\0\0\0\0\0\0\x02\0\0\x78\x70\xff\xff\xff\xff",
    ]
    .concat();
    let damages = cut_off
        .chain(changed)
        .chain([nested.collect(), classes, long_array]);
    for (n, bytes) in damages.enumerate() {
        fs::write(fate.join("loadModelStore.cache"), &bytes).unwrap();
        let before = files(&fate);
        // A store of our own for each case, so that each takes over anew.
        let own_store = fate.join("serving");
        if own_store.exists() {
            fs::remove_dir_all(own_store).unwrap();
        }
        settings.max_model_bytes = 1 << 20;
        let opening = Models::open(settings.clone());
        let (_, report) = tokio::time::timeout(Duration::from_secs(10), opening)
            .await
            .expect("the take-over hangs")
            .unwrap();
        // A changed byte inside a text or number may give another model, never none and no word about it.
        let told = !report.failures.is_empty() || report.models == 2;
        assert!(told, "damage {n}: {report:?}");
        assert_eq!(files(&fate), before, "damage {n}");
    }
}

#[tokio::test]
async fn one_bad_entry_does_not_hinder_the_others() {
    let (folder, settings) = node();
    let fate = folder.path().join(".fate");
    write_java_folder(&fate, RootMap::Segments, Age::Current, |models| {
        let stray = models[1].clone();
        models.push(JavaModel {
            table_name: "a/../b".to_owned(),
            ..stray.clone()
        });
        models.push(JavaModel {
            table_name: "no-cache-file".to_owned(),
            ..stray
        });
    });
    let guest_file = fate.join(format!("model_{}_cache", guest().key.store_name()));
    fs::write(&guest_file, cache_json(&guest().broken().buffers)).unwrap();
    let (models, report) = Models::open(settings.clone()).await.unwrap();
    assert_eq!((report.models, report.bindings), (1, 0));
    assert!(models.snapshot().model(&host().key).is_some());
    assert!(matches!(
        models.snapshot().bound("lr-test"),
        Binding::NotBound
    ));
    let named = |text: &str| {
        report
            .failures
            .iter()
            .any(|failure| failure.to_string().contains(text))
    };
    assert!(
        named("a/../b") && named("no-cache-file") && named(&guest().key.store_name()),
        "{:?}",
        report.failures
    );

    // The binding waits in our store for a model that can be served.
    drop(models);
    let (models, report) = Models::open(settings).await.unwrap();
    assert_eq!(
        (report.models, report.bindings, report.take_over),
        (1, 0, None)
    );
    let file = cache_file(&folder, "guest", &guest());
    models
        .load(&load_request(&guest(), "CACHE", &file))
        .await
        .unwrap();
    assert!(matches!(
        models.snapshot().bound("lr-test"),
        Binding::Model(_)
    ));
}

#[tokio::test]
async fn an_unreadable_load_store_is_tried_again_at_the_next_start() {
    let (folder, settings) = node();
    let fate = folder.path().join(".fate");
    write_java_folder(&fate, RootMap::Segments, Age::Current, |_| {});
    let good = fs::read(fate.join("loadModelStore.cache")).unwrap();
    fs::write(fate.join("loadModelStore.cache"), &good[..good.len() / 2]).unwrap();
    let (models, report) = Models::open(settings.clone()).await.unwrap();
    assert_eq!((report.models, report.failures.len()), (0, 1));
    assert!(
        report.failures[0].reason.contains("loadModelStore.cache"),
        "{}",
        report.failures[0]
    );
    drop(models);
    fs::write(fate.join("loadModelStore.cache"), &good).unwrap();
    check_lr_plain(&open(&settings).await, Age::Of2020);
}

#[tokio::test]
async fn an_unreadable_bind_store_costs_the_bindings_only() {
    let (folder, settings) = node();
    let fate = folder.path().join(".fate");
    write_java_folder(&fate, RootMap::Segments, Age::Current, |_| {});
    fs::write(fate.join("bindModelStore.cache"), "rubbish").unwrap();
    let (models, report) = Models::open(settings).await.unwrap();
    assert_eq!(
        (report.models, report.bindings, report.failures.len()),
        (2, 0, 1)
    );
    assert!(matches!(
        models.snapshot().bound("lr-test"),
        Binding::NotBound
    ));
}

#[tokio::test]
async fn left_over_files_of_1_2_are_reported() {
    let (_folder, settings) = node();
    fs::create_dir_all(settings.home.join(".fate")).unwrap();
    fs::write(
        settings.home.join(".fate/publishLoadStore.cache"),
        "k=djE=:1\n",
    )
    .unwrap();
    let (_, report) = Models::open(settings).await.unwrap();
    assert_eq!(report.notes.len(), 1);
    assert!(
        report.notes[0].contains("publishLoadStore.cache"),
        "{}",
        report.notes[0]
    );
}

#[tokio::test]
async fn an_own_store_is_not_overruled_by_java_files() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let file = cache_file(&folder, "guest", &guest());
    models
        .load(&load_request(&guest(), "CACHE", &file))
        .await
        .unwrap();
    models.unload(&guest().key).await.unwrap();
    drop(models);
    write_java_folder(
        &folder.path().join(".fate"),
        RootMap::Segments,
        Age::Current,
        |_| {},
    );
    let (models, report) = Models::open(settings).await.unwrap();
    assert_eq!((report.take_over, report.models), (None, 0));
    assert_eq!(
        models
            .snapshot()
            .model(&ModelKey::new("x", "y"))
            .map(|model| model.key.clone()),
        None
    );
}
