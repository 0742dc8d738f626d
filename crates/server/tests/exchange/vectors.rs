//! The vectors of contract 01 App. C: answers of the Java server, byte for byte but for the last digit of the score
//! and the time of loading.

use fate_proto::model::QueryModelRequest;
use serde_json::{Value, json};

use crate::cluster::{Pair, models, pair};
use crate::example::{GUEST, VERSION};

async fn loaded_at(pair: &Pair) -> i64 {
    let request = QueryModelRequest::default();
    let mut models = models(pair.guest.grpc()).await;
    let answer = models.query_model(request).await.unwrap().into_inner();
    let content: Value = serde_json::from_str(&answer.model_infos[0].content).unwrap();
    content["timestamp"].as_i64().unwrap()
}

fn score_of(answer: &Value) -> f64 {
    answer["data"]["score"]
        .as_f64()
        .unwrap_or_else(|| panic!("{answer}"))
}

fn request(ids: &Value, features: &str) -> String {
    format!(r#"{{"serviceId":"lr-test","featureData":{features},"sendToRemoteFeatureData":{ids}}}"#)
}

async fn assert_scores(pair: &Pair, cases: &[(Value, &str, f64)]) {
    for (ids, features, expected) in cases {
        let answer = pair.guest.infer(&request(ids, features)).await;
        let score = score_of(&answer);
        assert!(
            (score - expected).abs() <= 1e-12,
            "{ids} {features}: {score} instead of {expected}"
        );
    }
}

#[tokio::test]
async fn scores_with_picked_features() {
    let pair = pair(&[], &[]).await;
    let (one, two) = (json!({"id": "1"}), json!({"id": 2}));
    let many = r#"{"x0":0.5,"x1":1,"x2":"3.5"}"#;
    let sparse = r#"{"x299":-1.25,"x10":2}"#;
    assert_scores(
        &pair,
        &[
            (one.clone(), r#"{"x0":0.5}"#, 0.4912321851754741),
            (one.clone(), many, 0.7402333859054436),
            (one, sparse, 0.36655455698099937),
            (two.clone(), r#"{"x0":0.5}"#, 0.4849119381506504),
            (two.clone(), many, 0.7353398477208662),
            (two, sparse, 0.3607011557161343),
        ],
    )
    .await;
}

#[tokio::test]
async fn scores_with_mock_features() {
    let mock = [
        (
            "feature.single.adaptor",
            "com.webank.ai.fate.serving.adaptor.dataaccess.MockAdapter",
        ),
        (
            "feature.batch.adaptor",
            "com.webank.ai.fate.serving.adaptor.dataaccess.MockBatchAdapter",
        ),
    ];
    let pair = pair(&[], &mock).await;
    let none = json!({});
    let many = r#"{"x0":0.5,"x1":1,"x2":"3.5"}"#;
    assert_scores(
        &pair,
        &[
            (none.clone(), "{}", 0.4768876665020543),
            (none.clone(), r#"{"x0":0.5}"#, 0.45974113815539475),
            (none.clone(), r#"{"x0":1}"#, 0.44268939081458614),
            (none.clone(), many, 0.7152197437537294),
            (none, r#"{"x0":1e400}"#, 0.0),
        ],
    )
    .await;

    let loaded_at = loaded_at(&pair).await;
    let answer = pair
        .guest
        .infer_text(request(&json!({}), many).as_bytes())
        .await;
    let score = score_of(&serde_json::from_str(&answer).unwrap());
    assert_eq!(
        answer,
        format!(
            r#"{{"retcode":0,"retmsg":"","caseid":"","data":{{"score":{},"modelId":"{GUEST}","modelVersion":"{VERSION}","timestamp":{loaded_at}}},"log":{{}},"warn":{{}},"flag":0}}"#,
            fate_domain::java_number::double_to_string(score)
        )
    );
}

#[tokio::test]
async fn a_full_batch_answer() {
    let mock = [
        ("feature.single.adaptor", "mock"),
        ("feature.batch.adaptor", "mock"),
    ];
    let pair = pair(&[], &mock).await;
    let loaded_at = loaded_at(&pair).await;
    let body = r#"{"serviceId":"lr-test","caseId":"7c293b127a8743488da61a0fc73fdde9","batchDataList":[
        {"index":0,"featureData":{"x0":0.5,"x1":1,"x2":"3.5"},"sendToRemoteFeatureData":{"id":"1"}},
        {"index":1,"featureData":{},"sendToRemoteFeatureData":{"id":"2"}}]}"#;
    let answer = pair.guest.infer_batch_text(body.as_bytes()).await;
    let value: Value = serde_json::from_str(&answer).unwrap();
    let scores: Vec<f64> = value["batchDataList"]
        .as_array()
        .unwrap()
        .iter()
        .map(score_of)
        .collect();
    for (score, expected) in scores.iter().zip([0.7152197437537294, 0.4768876665020543]) {
        assert!((score - expected).abs() <= 1e-12, "{score} {expected}");
    }
    let row = |index: usize| {
        let score = fate_domain::java_number::double_to_string(scores[index]);
        format!(r#"{{"index":{index},"retcode":0,"retmsg":"","data":{{"score":{score}}}}}"#)
    };
    assert_eq!(
        answer,
        format!(
            r#"{{"retcode":0,"retmsg":"","caseid":"7c293b127a8743488da61a0fc73fdde9","data":{{"modelId":"{GUEST}","modelVersion":"{VERSION}","timestamp":{loaded_at}}},"log":{{}},"warn":{{}},"flag":0,"batchDataList":[{r0},{r1}],"singleInferenceResultMap":{{"0":{r0},"1":{r1}}}}}"#,
            r0 = row(0),
            r1 = row(1),
        )
    );
}

#[tokio::test]
async fn a_row_that_fails_at_the_host() {
    let pair = pair(&[], &[]).await;
    let body = r#"{"serviceId":"lr-test","batchDataList":[
        {"index":9,"featureData":{},"sendToRemoteFeatureData":{"device_id":"unknown"}},
        {"index":3,"featureData":{"x0":0.5},"sendToRemoteFeatureData":{"device_id":"1"}}]}"#;
    let answer = pair.guest.infer_batch(body).await;
    assert_eq!(answer["retcode"], 0);
    assert_eq!(answer["batchDataList"][0]["index"], 3);
    assert!((score_of(&answer["batchDataList"][0]) - 0.4912321851754741).abs() <= 1e-12);
    assert_eq!(
        answer["batchDataList"][1].to_string(),
        r#"{"index":9,"retcode":2113,"retmsg":"host return code 113 host msg :no feature","data":{}}"#
    );
    assert_eq!(
        answer["singleInferenceResultMap"]["9"],
        answer["batchDataList"][1]
    );
}

#[tokio::test]
async fn a_service_id_without_a_model() {
    let pair = pair(&[], &[]).await;
    let body = br#"{"serviceId":"nobody","batchDataList":[]}"#;
    assert_eq!(
        pair.guest.infer_text(body).await,
        r#"{"retcode":104,"retmsg":"serviceId is not bind model","caseid":"","data":{},"log":{},"warn":{},"flag":0}"#
    );
    assert_eq!(
        pair.guest.infer_batch_text(body).await,
        r#"{"retcode":104,"retmsg":"serviceId is not bind model","caseid":"","data":{},"log":{},"warn":{},"flag":0,"batchDataList":[],"singleInferenceResultMap":{}}"#
    );
}

#[tokio::test]
async fn odd_values_under_java_semantics() {
    let java = [("model.semantics", "java")];
    let pair = pair(&java, &java).await;
    for (features, code) in [
        (r#"{"x0":null}"#, 110),
        (r#"{"x0":"abc"}"#, 110),
        (r#"{"x0":"NaN"}"#, 0),
        (r#"{"x0":1e400}"#, 0),
    ] {
        let answer = pair
            .guest
            .infer(&request(&json!({"id": "1"}), features))
            .await;
        assert_eq!(answer["retcode"], code, "{features}: {answer}");
    }
    let not_a_number = pair
        .guest
        .infer(&request(&json!({"id": "1"}), r#"{"x0":"NaN"}"#))
        .await;
    assert_eq!(not_a_number["data"]["score"], "NaN");
}
