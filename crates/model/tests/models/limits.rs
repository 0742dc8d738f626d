//! What a hostile request or a lost file must not bring about.

use std::time::{Duration, Instant};

use fate_domain::party::Role;
use fate_proto::model::{ModelInfo, Party};

use crate::golden::{bind_request, cache_json, guest, load_request};
use crate::{code_and_text, node, open};

fn cache_file(folder: &std::path::Path) -> String {
    let path = folder.join("guest.cache");
    std::fs::write(&path, cache_json(&guest().buffers)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_with_very_many_parties_is_refused_at_once() {
    let (folder, mut settings) = node();
    settings.import_path = vec![folder.path().to_owned()];
    let models = open(&settings).await;
    let mut request = load_request(&guest(), "CACHE", &cache_file(folder.path()));
    let ids: Vec<String> = (0..80_000).map(|id| id.to_string()).collect();
    let hosts = request.model.get_mut("host").unwrap();
    for id in &ids {
        let model = ModelInfo {
            table_name: "1".to_owned(),
            namespace: format!("host#{id}#model"),
        };
        hosts.role_model_info.insert(id.clone(), model);
    }
    request
        .role
        .insert("host".to_owned(), Party { party_id: ids });
    let started = Instant::now();
    let (code, text) = code_and_text(models.load(&request).await);
    assert_eq!(code, 110);
    assert!(text.contains("80000 host parties"), "{text}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn models_outlive_the_loss_of_both_manifests() {
    let (folder, mut settings) = node();
    settings.import_path = vec![folder.path().to_owned()];
    let models = open(&settings).await;
    let request = load_request(&guest(), "CACHE", &cache_file(folder.path()));
    models.load(&request).await.unwrap();
    models
        .bind(&bind_request(&guest(), "service"))
        .await
        .unwrap();
    drop(models);
    let store = settings.cache_path.join(".fate/serving");
    std::fs::remove_file(store.join("manifest")).unwrap();
    std::fs::remove_file(store.join("manifest.copy")).unwrap();

    let (models, report) = fate_model::Models::open(settings.clone()).await.unwrap();
    assert!(models.snapshot().model(&guest().key).is_some());
    assert_eq!(report.failures.len(), 1, "{report:?}");
    assert!(report.failures[0].reason.contains("bindings"), "{report:?}");
    drop(models);
    let (_, report) = fate_model::Models::open(settings).await.unwrap();
    assert_eq!((report.models, report.failures.len()), (1, 0));
}

#[tokio::test]
async fn a_hosts_part_does_not_replace_a_bound_guest() {
    let (folder, mut settings) = node();
    settings.import_path = vec![folder.path().to_owned()];
    let models = open(&settings).await;
    let request = load_request(&guest(), "CACHE", &cache_file(folder.path()));
    models.load(&request).await.unwrap();
    models
        .bind(&bind_request(&guest(), "service"))
        .await
        .unwrap();

    let host = crate::golden::host();
    let path = folder.path().join("host.cache");
    std::fs::write(&path, cache_json(&host.buffers)).unwrap();
    let mut request = load_request(&host, "CACHE", path.to_str().unwrap());
    let party_id = request.local.as_ref().unwrap().party_id.clone();
    let own = request.model.get_mut("host").unwrap();
    let info = own.role_model_info.get_mut(&party_id).unwrap();
    info.table_name = guest().key.table_name;
    info.namespace = guest().key.namespace;
    let (code, text) = code_and_text(models.load(&request).await);
    assert_eq!(code, 110, "{text}");
    assert!(text.contains("service id service is bound"), "{text}");
    let role = models.snapshot().model(&guest().key).unwrap().role;
    assert_eq!(role, Role::Guest);
}
