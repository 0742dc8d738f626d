//! Scores through the proxies are FATE's offline scores.

use std::path::Path;
use std::sync::Arc;

use fate_golden::{Expected, Set};
use serde_json::{Value, json};

use crate::asking::{batch, post};
use crate::parties::{Between, Parties};

pub(crate) fn sets(names: &[&str]) -> Vec<Arc<Set>> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let opened = names
        .iter()
        .map(|name| Set::open(models.join(name)).unwrap());
    opened.map(Arc::new).collect()
}

/// The members of a request for one row, without braces.
fn inputs(set: &Set, id: &str) -> String {
    let table = &set.guest().table;
    let rows = table.by_id();
    let features = rows[id].json(&table.columns, false);
    let ids = json!({"set": set.name, "id": id});
    format!(r#""featureData":{features},"sendToRemoteFeatureData":{ids}"#)
}

fn assert_score(what: &str, answer: &Value, expected: &Expected) {
    assert_eq!(answer["retcode"], 0, "{what}: {answer}");
    let online: Vec<f64> = match &answer["data"]["score"] {
        Value::Array(classes) => classes.iter().map(|one| one.as_f64().unwrap()).collect(),
        one => vec![one.as_f64().unwrap_or_else(|| panic!("{what}: {answer}"))],
    };
    let offline: Vec<f64> = match expected.detail.len() {
        // Classes are numbers of one digit here, so their order as texts is their own.
        3.. => expected.detail.values().copied().collect(),
        _ => vec![expected.score.unwrap()],
    };
    assert_eq!(online.len(), offline.len(), "{what}: {answer}");
    for (online, offline) in online.iter().zip(&offline) {
        let difference = (online - offline).abs() / offline.abs().max(1.0);
        assert!(difference <= 1e-12, "{what}: {online} offline {offline}");
    }
}

/// The first `single` rows over HTTP, all in one batch over gRPC.
pub(crate) async fn assert_scores(parties: &Parties, set: &Set, single: usize) {
    let guest = &parties.guest.proxy;
    for (id, expected) in set.predictions.iter().take(single) {
        let body = format!(
            r#"{{"head":{{"serviceId":"{}"}},"body":{{{}}}}}"#,
            set.name,
            inputs(set, id)
        );
        let answer = post(guest.http_addr.unwrap(), "/federation/v1/inference", &body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_score(&format!("{} {id}", set.name), &answer, expected);
    }
    let rows: Vec<String> = set
        .predictions
        .keys()
        .enumerate()
        .map(|(index, id)| format!(r#"{{"index":{index},{}}}"#, inputs(set, id)))
        .collect();
    let body = format!(
        r#"{{"serviceId":"{}","batchDataList":[{}]}}"#,
        set.name,
        rows.join(",")
    );
    let answer: Value = serde_json::from_slice(&batch(guest.intra_addr, body).await).unwrap();
    let answers = answer["batchDataList"].as_array().unwrap();
    assert_eq!(answers.len(), rows.len(), "{answer}");
    for (answer, (id, expected)) in answers.iter().zip(&set.predictions) {
        assert_score(&format!("{} {id}", set.name), answer, expected);
    }
}

async fn assert_all(names: &[&str], between: Between, single: usize) {
    let sets = sets(names);
    let parties = Parties::start(&sets, between).await;
    for set in &sets {
        parties.publish(set).await;
        assert_scores(&parties, set, single).await;
    }
    parties.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_models_in_the_clear() {
    let names = [
        "linr",
        "lr_binning_woe",
        "lr_feature_imputation",
        "lr_minmax_cap_imputer",
        "lr_one_vs_rest",
        "lr_plain",
        "lr_scale_onehot",
        "lr_sshe",
        "lr_two_hosts",
        "poisson",
        "sbt_binary",
        "sbt_binary_missing",
        "sbt_layered",
        "sbt_mix",
        "sbt_multi_output",
        "sbt_multiclass",
        "sbt_regression",
        "sbt_tweedie",
        "sbt_two_hosts",
        "sbt_zero_as_missing",
    ];
    assert_all(&names, Between::Plain, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_with_mutual_tls() {
    assert_all(&["lr_two_hosts", "sbt_two_hosts"], Between::MutualTls, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_over_http_routes() {
    assert_all(&["lr_two_hosts", "sbt_two_hosts"], Between::Http, 20).await;
}
