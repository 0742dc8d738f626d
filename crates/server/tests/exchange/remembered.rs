//! The cache of hosts' results (contract 01 §6): who is asked, what is told, and that it never costs a score.

use std::time::Duration;

use fate_proto::proxy::Packet;
use fate_testkit::Redis;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::cluster::{Node, guest_of, pair};
use crate::compact;
use crate::example::{GUEST, VERSION};
use crate::false_host::{FalseHost, Manner};

const ON: (&str, &str) = ("remoteModelInferenceResultCacheSwitch", "true");
const REDIS: (&str, &str) = ("cache.type", "redis");

fn single(id: &str) -> String {
    format!(
        r#"{{"serviceId":"lr-test","featureData":{{"x0":0.5}},"sendToRemoteFeatureData":{{"id":"{id}"}}}}"#
    )
}

fn batch(ids: &[&str]) -> String {
    let row = |(index, id): (usize, &&str)| {
        format!(
            r#"{{"index":{index},"featureData":{{"x0":0.5}},"sendToRemoteFeatureData":{{"id":"{id}"}}}}"#
        )
    };
    let rows: Vec<String> = ids.iter().enumerate().map(row).collect();
    format!(
        r#"{{"serviceId":"lr-test","batchDataList":[{}]}}"#,
        rows.join(",")
    )
}

fn says(body: &str) -> Manner {
    Manner::Says(body.to_owned())
}

const SUCCESS: &str =
    r#"{"retcode":0,"retmsg":"","data":{"hetero_lr_0":{"score":0.25},"retcode":0}}"#;

fn score(answer: &Value) -> f64 {
    assert_eq!(answer["retcode"], 0, "{answer}");
    answer["data"]["score"].as_f64().unwrap()
}

fn ids_asked(packet: &Packet) -> Vec<String> {
    let body: Value = serde_json::from_slice(&packet.body.as_ref().unwrap().value).unwrap();
    let rows = body["batchDataList"].as_array().unwrap();
    let id = |row: &Value| {
        row["sendToRemoteFeatureData"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    rows.iter().map(id).collect()
}

#[tokio::test]
async fn an_id_is_asked_once_and_the_answer_says_so() {
    let host = FalseHost::start(says(SUCCESS)).await;
    let guest = guest_of(host.address, &[ON]).await;
    let first = guest.infer(&single("1")).await;
    assert_eq!(first["retmsg"], "");
    let second = guest.infer(&single("1")).await;
    assert_eq!(second["retmsg"], "hit host cache");
    assert_eq!(score(&first).to_bits(), score(&second).to_bits());
    assert_eq!(host.asked.lock().len(), 1);
    guest.infer(&single("2")).await;
    assert_eq!(host.asked.lock().len(), 2);
    // What a row brought along is not remembered.
    let curious = single("1").replacen('{', r#"{"explain":true,"#, 1);
    assert_eq!(
        score(&guest.infer(&curious).await).to_bits(),
        score(&first).to_bits()
    );
    assert_eq!(host.asked.lock().len(), 3);
}

#[tokio::test]
async fn without_the_switch_a_host_is_always_asked() {
    let host = FalseHost::start(says(SUCCESS)).await;
    let guest = guest_of(host.address, &[]).await;
    for asked in 1..4 {
        assert_eq!(guest.infer(&single("1")).await["retmsg"], "");
        assert_eq!(host.asked.lock().len(), asked);
    }
}

#[tokio::test]
async fn failures_are_not_remembered() {
    for body in [
        r#"{"retcode":113,"retmsg":"","data":{"hetero_lr_0":{"score":0.25}}}"#,
        r#"{"retcode":0,"retmsg":"","data":{}}"#,
        r#"{"retcode":0,"retmsg":""}"#,
    ] {
        let host = FalseHost::start(says(body)).await;
        let guest = guest_of(host.address, &[ON]).await;
        for asked in 1..4 {
            let answer = guest.infer(&single("1")).await;
            assert_ne!(answer["retcode"], 0, "{answer}");
            assert_eq!(host.asked.lock().len(), asked, "{body}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_merged_is_forgotten() {
    let set = compact::set("sbt_binary");
    let request = compact::singles(&set)[0].clone();
    let batch = json!({"serviceId": "forest", "batchDataList": [request.clone()]});
    for body in [
        r#"{"retcode":0,"retmsg":"","data":{}}"#,
        r#"{"retcode":0,"retmsg":"","batchDataList":[{"index":0,"retcode":0,"data":{}}]}"#,
    ] {
        let host = FalseHost::start(says(body)).await;
        let route = format!("10000={}", host.address);
        let guest = compact::guest(&set, &route, &[ON]).await;
        for asked in 1..4 {
            let code = if body.contains("batchDataList") {
                let answer = guest.infer_batch(&batch.to_string()).await;
                answer["batchDataList"][0]["retcode"].clone()
            } else {
                guest.infer(&request.to_string()).await["retcode"].clone()
            };
            assert!(code.as_i64().is_some_and(|code| code != 0), "{code}");
            assert_eq!(host.asked.lock().len(), asked, "{body}");
        }
    }
}

#[tokio::test]
async fn of_many_at_once_one_asks() {
    let late = Manner::Dawdles(Duration::from_millis(500), SUCCESS.to_owned());
    let host = FalseHost::start(late).await;
    let guest = guest_of(host.address, &[ON]).await;
    let request = single("1");
    let answers = join_all((0..8).map(|_| guest.infer(&request))).await;
    let expected = score(&answers[0]).to_bits();
    assert!(answers.iter().all(|one| score(one).to_bits() == expected));
    assert_eq!(host.asked.lock().len(), 1);
}

#[tokio::test]
async fn a_batch_asks_for_the_rows_that_are_not_remembered() {
    let reply = r#"{"retcode":0,"retmsg":"","batchDataList":[
        {"index":1,"retcode":0,"data":{"hetero_lr_0":{"score":0.5}}},
        {"index":2,"retcode":113,"data":{"hetero_lr_0":{"score":0.0},"message":"no feature"}}]}"#;
    let host = FalseHost::start(says(reply)).await;
    let guest = guest_of(host.address, &[ON]).await;
    // The host answers no row 0: it is not remembered.
    let first = guest.infer_batch(&batch(&["1", "2", "3"])).await;
    let codes = |answer: &Value| -> Vec<i64> {
        let rows = answer["batchDataList"].as_array().unwrap();
        rows.iter()
            .map(|row| row["retcode"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(codes(&first), [108, 0, 2113], "{first}");
    let again = guest.infer_batch(&batch(&["2", "3", "4", "2"])).await;
    let asked = ids_asked(host.asked.lock().last().unwrap());
    assert_eq!(asked, ["3", "4"], "{again}");
    let scores = |answer: &Value, row: usize| answer["batchDataList"][row]["data"]["score"].clone();
    assert_eq!(scores(&again, 0), scores(&first, 1));
    assert_eq!(scores(&again, 3), scores(&first, 1));
    // 3 was the host's row 1 of the second batch.
    drop(host);
    let alone = guest.infer_batch(&batch(&["3", "2", "3"])).await;
    assert_eq!(codes(&alone), [0, 0, 0], "{alone}");
    // Single calls share what batches have learned.
    let single = guest.infer(&single("2")).await;
    assert_eq!(single["retmsg"], "hit host cache");
    assert_eq!(single["data"]["score"], scores(&first, 1));
}

fn redis_pairs(redis: &Redis) -> Vec<(String, String)> {
    [
        ON,
        REDIS,
        ("redis.ip", "127.0.0.1"),
        ("redis.timeout", "5000"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into_iter()
    .chain([("redis.port".to_owned(), redis.port().to_string())])
    .collect()
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// Asks until the answer is one that was remembered.
async fn until_remembered(guest: &Node, request: &str) -> Value {
    let ask = async {
        loop {
            let answer = guest.infer(request).await;
            score(&answer);
            if answer["retmsg"] == "hit host cache" {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ask)
        .await
        .unwrap()
}

fn key(id: &str) -> String {
    let guest = fate_domain::model_key::ModelKey::new(VERSION, GUEST);
    let key = fate_federation::ResultKey::of("10000", &guest, &format!(r#"{{"id":"{id}"}}"#));
    String::from_utf8(key.as_bytes().to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_and_java_nodes_share_a_redis_that_may_go_and_come() {
    let Some(mut redis) = Redis::start() else {
        return;
    };
    let pairs = redis_pairs(&redis);
    let parties = pair(&borrowed(&pairs), &[]).await;
    let fresh = parties.guest.infer(&single("1")).await;
    let remembered = until_remembered(&parties.guest, &single("1")).await;
    assert_eq!(score(&remembered).to_bits(), score(&fresh).to_bits());
    // What a Java node would have written: the host's data, in the host's own words.
    let value = redis.ask(&["GET", &key("1")]).unwrap();
    let value: Value = serde_json::from_str(&value).unwrap();
    assert_eq!(value["retcode"], 0);
    assert!(value["hetero_lr_0"]["score"].is_f64(), "{value}");

    // Another guest has never asked its host, which is not even there.
    let host = FalseHost::start(Manner::Fails).await;
    let other = guest_of(host.address, &borrowed(&pairs)).await;
    let shared = until_known(&other, &single("1")).await;
    assert_eq!(score(&shared).to_bits(), score(&fresh).to_bits());
    redis.ask(&["SET", &key("2"), r#"{"hetero_lr_0":{"score":0.25}}"#]);
    assert_eq!(other.infer(&single("2")).await["retmsg"], "hit host cache");
    // Nonsense is passed over.
    redis.ask(&["SET", &key("1"), r#"{"hetero_lr_0":{"score":"abc"}}"#]);
    let passed_over = parties.guest.infer(&single("1")).await;
    assert_eq!(passed_over["retmsg"], "");
    assert_eq!(score(&passed_over).to_bits(), score(&fresh).to_bits());

    redis.kill();
    for _ in 0..50 {
        let answer = parties.guest.infer(&single("1")).await;
        assert_eq!(score(&answer).to_bits(), score(&fresh).to_bits());
        assert_eq!(answer["retmsg"], "");
    }
    redis.restart();
    until_remembered(&parties.guest, &single("1")).await;
}

/// Asks until there is a score; before, the cache is not connected yet.
async fn until_known(guest: &Node, request: &str) -> Value {
    let ask = async {
        loop {
            let answer = guest.infer(request).await;
            if answer["retcode"] == 0 {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ask)
        .await
        .unwrap()
}
