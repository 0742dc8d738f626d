//! Hosts that fail, dawdle or talk nonsense: a code and a text, never a score; and the packets a guest sends.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::guest_of;
use crate::example::{HOST, VERSION};
use crate::false_host::{FalseHost, Manner};

const SINGLE: &str = r#"{"serviceId":"lr-test","caseId":"c1","applyId":"a1","featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"1","n":5,"d":1.5}}"#;
const BATCH: &str = r#"{"serviceId":"lr-test","batchDataList":[
    {"index":0,"featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"1"}},
    {"index":1,"featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"2"}}]}"#;

async fn single(manner: Manner) -> Value {
    let host = FalseHost::start(manner).await;
    guest_of(host.address, &[]).await.infer(SINGLE).await
}

async fn batch(manner: Manner) -> Value {
    let host = FalseHost::start(manner).await;
    guest_of(host.address, &[]).await.infer_batch(BATCH).await
}

fn says(body: &str) -> Manner {
    Manner::Says(body.to_owned())
}

fn assert_failed(answer: &Value, code: i32, text: &str, given: &str) {
    assert_eq!(answer["retcode"], code, "{given}: {answer}");
    assert_eq!(answer["retmsg"], text, "{given}: {answer}");
    assert!(answer["data"].get("score").is_none(), "{given}: {answer}");
    assert_eq!(answer["data"]["modelVersion"], VERSION, "{given}: {answer}");
}

#[tokio::test]
async fn nonsense_to_a_single_call_is_never_a_score() {
    let no_result = "remote inference result is null: the answer of host 10000 is not a result";
    let no_data = "remote inference result is null: the answer of host 10000 has no data";
    for (body, code, text) in [
        ("", 108, no_result),
        ("nonsense", 108, no_result),
        ("[]", 108, no_result),
        (r#"{"retcode":"x","data":{}}"#, 108, no_result),
        (r#"{"retcode":0}"#, 108, no_data),
        (r#"{"retcode":0,"data":null}"#, 108, no_data),
        (
            r#"{"retcode":0,"data":{}}"#,
            108,
            "host data score is null: host 10000 answered without the model's component",
        ),
        (
            r#"{"retcode":104,"retmsg":"mode is null","data":{}}"#,
            2104,
            "host return code 104 host msg :mode is null",
        ),
        (
            r#"{"retcode":628,"retmsg":"no route"}"#,
            2628,
            "host return code 628 host msg :no route",
        ),
        (
            r#"{"retcode":7,"retmsg":null}"#,
            27,
            "host return code 7 host msg :",
        ),
        (
            r#"{"retcode":-1,"retmsg":"x"}"#,
            110,
            "host return code -1 host msg :x",
        ),
    ] {
        assert_failed(&single(says(body)).await, code, text, body);
    }
    for body in [
        r#"{"data":{"hetero_lr_0":{"score":"abc"}}}"#,
        r#"{"data":{"hetero_lr_0":{"score":[1]}}}"#,
        r#"{"data":{"hetero_lr_0":7}}"#,
        r#"{"data":{"hetero_lr_0":{}}}"#,
        r#"{"data":{"hetero_lr_0":null}}"#,
    ] {
        let answer = single(says(body)).await;
        assert_ne!(answer["retcode"], 0, "{body}: {answer}");
        assert!(answer["data"].get("score").is_none(), "{body}: {answer}");
    }
}

#[tokio::test]
async fn a_hosts_score_is_read_and_its_text_kept() {
    let body = r#"{"retcode":0,"retmsg":"hit host cache","data":{"hetero_lr_0":{"score":1.0},"retcode":0}}"#;
    let answer = single(says(body)).await;
    assert_eq!(answer["retcode"], 0);
    assert_eq!(answer["retmsg"], "hit host cache");
    assert!((answer["data"]["score"].as_f64().unwrap() - 0.6981734787639813).abs() <= 1e-12);
}

#[tokio::test]
async fn a_failing_or_dawdling_host_is_105() {
    let answer = single(Manner::Fails).await;
    assert_eq!(answer["retcode"], 105);
    let text = answer["retmsg"].as_str().unwrap();
    assert!(
        text.starts_with("host 10000 remote error : UNAVAILABLE: boom"),
        "{text}"
    );

    let dawdles = || Manner::Dawdles(Duration::from_secs(30), String::new());
    let host = FalseHost::start(dawdles()).await;
    let limits = [
        ("single.inference.rpc.timeout", "200"),
        ("batch.inference.rpc.timeout", "200"),
    ];
    let guest = guest_of(host.address, &limits).await;
    let started = Instant::now();
    assert_failed(
        &guest.infer(SINGLE).await,
        105,
        "host 10000 remote error : Waited 200 milliseconds for its answer",
        "dawdles",
    );
    let answer = guest.infer_batch(BATCH).await;
    assert_failed(&answer, 105, "party id 10000 remote error", "dawdles");
    assert_eq!(answer["batchDataList"].to_string(), "[]");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_unreachable_host_or_none_at_all() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let guest = guest_of(closed, &[]).await;
    let answer = guest.infer(SINGLE).await;
    assert_eq!(answer["retcode"], 105, "{answer}");
    let answer = guest_of(closed, &[("federation.hosts", "")])
        .await
        .infer(SINGLE)
        .await;
    assert_eq!(answer["retcode"], 106, "{answer}");
    let text = answer["retmsg"].as_str().unwrap();
    assert!(
        text.starts_with("address is error in config file"),
        "{text}"
    );
}

#[tokio::test]
async fn a_batch_that_a_host_refuses_or_garbles_fails_whole() {
    for (body, code, text) in [
        (
            r#"{"retcode":104,"retmsg":"mode is null","data":{}}"#,
            2104,
            "host return code 104 host msg :mode is null",
        ),
        ("nonsense", 105, "party id 10000 remote error"),
        (
            r#"{"singleInferenceResultMap":{"a":{}}}"#,
            105,
            "party id 10000 remote error",
        ),
    ] {
        assert_failed(&batch(says(body)).await, code, text, body);
    }
}

#[tokio::test]
async fn a_row_that_could_be_anothers_is_never_scored() {
    let row = |index: &str| format!(r#"{{{index}"data":{{"hetero_lr_0":{{"score":1.0}}}}}}"#);
    let list = |first: &str, second: &str| {
        format!(
            r#"{{"retcode":0,"batchDataList":[{},{}]}}"#,
            row(first),
            row(second)
        )
    };
    let map = |first: &str, second: &str| {
        let (row, other) = (row(""), row(r#""index":1,"#));
        format!(
            r#"{{"retcode":0,"singleInferenceResultMap":{{"{first}":{row},"{second}":{other}}}}}"#
        )
    };
    for (body, is_scored) in [
        (list(r#""index":0,"#, r#""index":1,"#), true),
        (list(r#""index":0,"#, r#""index":0,"#), false),
        (list(r#""index":1,"#, ""), false),
        (map("0", "1"), true),
        (map("0", "00"), false),
        (map("1", "1"), false),
        (map("1", "0"), false),
    ] {
        let answer = batch(Manner::Says(body.clone())).await;
        if is_scored {
            let rows = answer["batchDataList"].as_array().unwrap();
            assert!(
                rows.iter().all(|row| row["data"]["score"].is_f64()),
                "{body}: {answer}"
            );
            assert_eq!(rows.len(), 2);
        } else {
            assert_failed(&answer, 105, "party id 10000 remote error", &body);
        }
    }
}

#[tokio::test]
async fn a_row_that_a_host_leaves_out_has_no_score() {
    let body = r#"{"retcode":0,"batchDataList":[{"index":1,"retcode":0,"data":{"hetero_lr_0":{"score":1.0}}}]}"#;
    let answer = batch(says(body)).await;
    assert_eq!(
        answer["batchDataList"][0].to_string(),
        r#"{"index":0,"retcode":108,"retmsg":"remote inference result is null","data":null}"#
    );
    let score = answer["batchDataList"][1]["data"]["score"]
        .as_f64()
        .unwrap();
    assert!((score - 0.6981734787639813).abs() <= 1e-12);
}

fn without_random(body: &str) -> String {
    let mut value: Value = serde_json::from_str(body).unwrap();
    for name in ["seqno", "caseId"] {
        assert_eq!(value[name].as_str().unwrap().len(), 32);
        value[name] = "R".into();
    }
    value.to_string()
}

#[tokio::test]
async fn packets_are_those_of_java() {
    let host = FalseHost::start(says("{}")).await;
    let guest = guest_of(host.address, &[]).await;
    guest.infer(SINGLE).await;
    guest.infer_batch(BATCH).await;
    let asked = host.asked.lock().clone();

    let (header, auth) = (
        asked[0].header.clone().unwrap(),
        asked[0].auth.clone().unwrap(),
    );
    let model = header.task.unwrap().model.unwrap();
    assert_eq!(
        (model.namespace.as_str(), model.table_name.as_str()),
        (HOST, VERSION)
    );
    let (src, dst) = (header.src.unwrap(), header.dst.unwrap());
    assert_eq!(
        (src.name, src.party_id, src.role),
        ("partnerPartyName".into(), "9999".into(), "serving".into())
    );
    assert_eq!(
        (dst.name, dst.party_id, dst.role),
        ("partyName".into(), "10000".into(), "serving".into())
    );
    assert_eq!(
        (
            header.command.unwrap().name.as_str(),
            header.operator.as_str()
        ),
        ("federatedInference", "216")
    );
    assert_eq!((header.version, header.ack, header.conf), (0, 0, None));
    assert_eq!((auth.nonce.as_str(), auth.version.as_str()), ("c1", "216"));
    assert_eq!(
        (auth.service_id.as_str(), auth.apply_id.as_str()),
        ("lr-test", "a1")
    );
    assert_eq!(
        (
            auth.timestamp,
            auth.app_key.as_str(),
            auth.signature.as_str()
        ),
        (0, "", "")
    );

    let body = |packet: usize| {
        let body = asked[packet].body.clone().unwrap();
        assert_eq!(body.key, "");
        without_random(std::str::from_utf8(&body.value).unwrap())
    };
    assert_eq!(
        body(0),
        r#"{"seqno":"R","caseId":"R","featureData":{},"sendToRemoteFeatureData":{"id":"1","n":5,"d":1.5}}"#
    );
    assert_eq!(
        asked[1].header.clone().unwrap().command.unwrap().name,
        "batch"
    );
    assert_eq!(
        body(1),
        format!(
            r#"{{"seqno":"R","caseId":"R","featureData":{{}},"sendToRemoteFeatureData":{{}},"batchDataList":[{},{}],"hostTableName":"{VERSION}","hostNamespace":"{HOST}","guestPartyId":"9999","hostPartyId":"10000"}}"#,
            r#"{"index":0,"featureData":{},"sendToRemoteFeatureData":{"id":"1"},"needCheckFeature":false}"#,
            r#"{"index":1,"featureData":{},"sendToRemoteFeatureData":{"id":"2"},"needCheckFeature":false}"#,
        )
    );
}
