//! What answers tell of their rows when they are asked, and rows that are refused for what they lack.
//!
//! The guest's part of the example needs x0, x1, x10, x2 and x299, the host's x300, x301 and x1000; imputers fill all of
//! them. Of id 1 the host has x300 and x301, of id 2 x300 and x1000.

use serde_json::{Value, json};

use crate::cluster::{Pair, guest_of, pair};
use crate::example::{GUEST, VERSION};
use crate::false_host::{FalseHost, Manner};

const DETAILS: (&str, &str) = ("response.details", "true");

fn single(more: &str) -> String {
    format!(
        r#"{{"serviceId":"lr-test","featureData":{{"x0":0.5,"x1":"","x2":null,"x299":"NA","X10":1}},"sendToRemoteFeatureData":{{"id":"1"}}{more}}}"#
    )
}

fn batch(more: &str) -> String {
    format!(
        r#"{{"serviceId":"lr-test","batchDataList":[
            {{"index":0,"featureData":{{"x0":0.5}},"sendToRemoteFeatureData":{{"device_id":"1"}}}},
            {{"index":1,"featureData":{{"x0":1,"x1":1,"x10":1,"x2":1,"x299":1}},"sendToRemoteFeatureData":{{"device_id":"2"}}}},
            {{"index":2,"featureData":{{"x0":1}},"sendToRemoteFeatureData":{{"device_id":"nobody"}}}},
            {{"index":3,"featureData":{{"x0":[1]}},"sendToRemoteFeatureData":{{"device_id":"1"}}}}]{more}}}"#
    )
}

fn guest_figures() -> Value {
    json!({
        "partyId": "9999",
        "needed": 5, "present": 1, "hitRate": 0.2,
        "imputedCount": 4, "missingCount": 0, "unknownCount": 1,
        "missing": [], "imputed": ["x1", "x10", "x2", "x299"], "unknown": ["X10"],
    })
}

fn host_figures() -> Value {
    json!({
        "source": "file-pick",
        "needed": 3, "present": 2, "hitRate": 2.0 / 3.0,
        "imputedCount": 1, "missingCount": 0, "unknownCount": 0,
    })
}

#[tokio::test]
async fn a_guest_that_is_asked_tells_names_and_a_host_numbers() {
    let pair = pair(&[], &[]).await;
    let plain = pair.guest.infer(&single("")).await;
    for asked in [r#","explain":true"#, r#","explain":"true""#] {
        let mut answer = pair.guest.infer(&single(asked)).await;
        let explanation = answer["data"]["explain"].take();
        assert_eq!(
            explanation,
            json!({"guest": guest_figures(), "hosts": {"10000": host_figures()}})
        );
        // Whatever else the answer says is what it says unasked.
        answer["data"].as_object_mut().unwrap().remove("explain");
        assert_eq!(answer, plain);
    }
    assert!(plain["data"]["score"].is_f64());
    for unasked in ["", r#","explain":false"#, r#","explain":null"#] {
        let answer = pair.guest.infer(&single(unasked)).await;
        assert_eq!(answer, plain, "{unasked}");
    }
    for odd in [r#","explain":"yes""#, r#","explain":[7]"#] {
        let answer = pair.guest.infer(&single(odd)).await;
        let text = "explain is neither true nor false";
        assert_eq!(
            (&answer["retcode"], &answer["retmsg"]),
            (&json!(100), &json!(text))
        );
    }
}

#[tokio::test]
async fn with_response_details_guests_always_tell_and_hosts_tell_names() {
    let pair = pair(&[DETAILS], &[DETAILS]).await;
    let answer = pair.guest.infer(&single("")).await;
    let explanation = &answer["data"]["explain"];
    assert_eq!(explanation["guest"], guest_figures());
    let mut host = host_figures();
    for (list, names) in [
        ("missing", json!([])),
        ("imputed", json!(["x1000"])),
        ("unknown", json!([])),
    ] {
        host[list] = names;
    }
    assert_eq!(explanation["hosts"]["10000"], host);
}

#[tokio::test]
async fn every_row_of_a_batch_tells_its_own() {
    let pair = pair(&[], &[]).await;
    let answer = pair.guest.infer_batch(&batch(r#","explain":true"#)).await;
    assert!(answer["data"].get("explain").is_none(), "{answer}");
    let rows = &answer["batchDataList"];
    let rates: Vec<_> = (0..4)
        .map(|index| {
            let explanation = &rows[index]["data"]["explain"];
            let host = &explanation["hosts"]["10000"];
            assert!(!host.is_null(), "{answer}");
            (
                rows[index]["retcode"].as_i64().unwrap(),
                explanation["guest"]["hitRate"].as_f64().unwrap(),
                host["hitRate"].as_f64(),
            )
        })
        .collect();
    let of_host = Some(2.0 / 3.0);
    let expected = [
        (0, 0.2, of_host),
        (0, 1.0, of_host),
        // The host has no features of that id, so there is nothing to tell of them.
        (2113, 0.2, None),
        (108, 0.2, of_host),
    ];
    assert_eq!(rates, expected);
    assert_eq!(
        rows[2]["data"]["explain"]["hosts"]["10000"],
        json!({"details": "not given"})
    );
    assert_eq!(rows[1]["data"]["explain"]["guest"]["imputed"], json!([]));
    assert_eq!(
        answer["singleInferenceResultMap"]["1"], rows[1],
        "both forms say the same"
    );

    let plain = pair.guest.infer_batch_text(batch("").as_bytes()).await;
    assert!(!plain.contains("explain"), "{plain}");
    assert!(plain.contains(r#""data":null"#), "{plain}");
}

async fn refused(pair: &Pair, body: &str) -> (i64, String) {
    let answer = pair.guest.infer(body).await;
    assert!(answer["data"].get("score").is_none(), "{answer}");
    assert_eq!(answer["data"]["modelVersion"], VERSION);
    let text = answer["retmsg"].as_str().unwrap().to_owned();
    (answer["retcode"].as_i64().unwrap(), text)
}

const ALL: &str = r#"{"serviceId":"lr-test","featureData":{"x0":1,"x1":1,"x10":1,"x2":1,"x299":1},"sendToRemoteFeatureData":{"id":"1"}}"#;

#[tokio::test]
async fn a_guest_refuses_what_its_own_row_lacks() {
    let pair = pair(&[("min.feature.hit.rate", "0.5")], &[]).await;
    assert_eq!(
        refused(&pair, &single("")).await,
        (
            131,
            "party 9999: feature hit rate 0.2 (1 of 5) is below min.feature.hit.rate 0.5"
                .to_owned()
        )
    );
    // The refusal tells what is missing to those who ask.
    let answer = pair.guest.infer(&single(r#","explain":true"#)).await;
    assert_eq!(answer["retcode"], 131);
    assert_eq!(answer["data"]["explain"]["guest"], guest_figures());

    let answer = pair.guest.infer(ALL).await;
    assert_eq!(answer["retcode"], 0, "{answer}");
    // The guest asked its host for figures; its client did not ask.
    assert!(answer["data"].get("explain").is_none(), "{answer}");

    let answer = pair.guest.infer_batch(&batch("")).await;
    let rows = answer["batchDataList"].as_array().unwrap();
    let codes: Vec<_> = rows.iter().map(|row| row["retcode"].as_i64()).collect();
    assert_eq!(codes, [131, 0, 2113, 131].map(Some));
    assert_eq!(
        rows[0].to_string(),
        r#"{"index":0,"retcode":131,"retmsg":"party 9999: feature hit rate 0.2 (1 of 5) is below min.feature.hit.rate 0.5","data":null}"#
    );
}

#[tokio::test]
async fn a_guest_refuses_what_its_host_lacks() {
    let pair = pair(&[("min.feature.hit.rate", "0.7")], &[]).await;
    let (code, text) = refused(&pair, ALL).await;
    assert_eq!(code, 131);
    assert!(
        text.starts_with("party 10000: feature hit rate 0.6666666666666666 (2 of 3)"),
        "{text}"
    );
    let answer = pair.guest.infer_batch(&batch("")).await;
    let row = &answer["batchDataList"][1];
    assert_eq!(row["retcode"], 131);
    assert!(row["retmsg"].as_str().unwrap().starts_with("party 10000:"));
}

#[tokio::test]
async fn a_host_refuses_what_its_own_row_lacks() {
    let pair = pair(&[], &[("min.feature.hit.rate", "0.7")]).await;
    let (code, text) = refused(&pair, ALL).await;
    assert_eq!(code, 2131);
    assert!(
        text.starts_with("host return code 131 host msg :party 10000: feature hit rate 0.6666"),
        "{text}"
    );
    let answer = pair.guest.infer_batch(&batch("")).await;
    let rows = answer["batchDataList"].as_array().unwrap();
    let codes: Vec<_> = rows.iter().map(|row| row["retcode"].as_i64()).collect();
    assert_eq!(codes, [2131, 2131, 2113, 2131].map(Some));
    let text = rows[0]["retmsg"].as_str().unwrap();
    assert!(text.contains("(2 of 3)"), "{text}");
}

/// A host's answer with the example's score 1.0, and this text for `explain` if there is any.
fn says(told: &str) -> Manner {
    let told = if told.is_empty() {
        String::new()
    } else {
        format!(r#","explain":{told}"#)
    };
    Manner::Says(format!(
        r#"{{"retcode":0,"data":{{"hetero_lr_0":{{"score":1.0}},"retcode":0}}{told},
            "batchDataList":[{{"index":1,"retcode":0,"data":{{"hetero_lr_0":{{"score":1.0}}}}{told}}}]}}"#
    ))
}

#[tokio::test]
async fn what_hosts_say_is_judged() {
    let odd = json!({"details": "not usable"});
    let many = vec!["\"x\""; 5000].join(",");
    let long = format!(
        r#"{{"source":"{}","needed":5000,"present":0,"imputedCount":5000,"missingCount":0,"unknownCount":0,"imputed":[{many}]}}"#,
        "y".repeat(10_000)
    );
    for (told, shown, code) in [
        // Java's hosts say nothing, and pass.
        ("", json!({"details": "not given"}), 0),
        ("null", json!({"details": "not given"}), 0),
        ("true", odd.clone(), 131),
        (r#"{"needed":2,"present":3}"#, odd.clone(), 131),
        (
            r#"{"needed":2,"present":3,"imputedCount":0,"missingCount":0,"unknownCount":0,"hitRate":1.5}"#,
            odd,
            131,
        ),
        (
            r#"{"source":"s","needed":4,"present":3,"imputedCount":0,"missingCount":1,"unknownCount":0,"hitRate":0.1,"value":{"x":7}}"#,
            json!({"source": "s", "needed": 4, "present": 3, "hitRate": 0.75, "imputedCount": 0, "missingCount": 1, "unknownCount": 0}),
            0,
        ),
        (&long, Value::Null, 131),
    ] {
        let host = FalseHost::start(says(told)).await;
        let guest = guest_of(host.address, &[]).await;
        let asked = ALL.replace(r#""serviceId""#, r#""explain":true,"serviceId""#);
        let answer = guest.infer(&asked).await;
        assert_eq!(answer["retcode"], 0, "{told}: {answer}");
        let explanation = &answer["data"]["explain"]["hosts"]["10000"];
        if told == long {
            assert_eq!(explanation["imputed"].as_array().unwrap().len(), 100);
            assert!(explanation["source"].as_str().unwrap().len() < 1000);
        } else {
            assert_eq!(*explanation, shown, "{told}");
        }

        let strict = guest_of(host.address, &[("min.feature.hit.rate", "0.5")]).await;
        let answer = strict.infer(ALL).await;
        assert_eq!(answer["retcode"], code, "{told}: {answer}");
        let rows = strict.infer_batch(&batch("")).await;
        assert_eq!(rows["batchDataList"][1]["retcode"], code, "{told}: {rows}");
    }
}

/// What a host was asked, as texts.
fn asked(host: &FalseHost) -> Vec<Value> {
    let packets = host.asked.lock();
    let bodies = packets
        .iter()
        .map(|packet| &packet.body.as_ref().unwrap().value);
    bodies
        .map(|body| serde_json::from_slice(body).unwrap())
        .collect()
}

#[tokio::test]
async fn hosts_are_asked_only_when_somebody_wants_to_know() {
    let host = FalseHost::start(says("")).await;
    let guest = guest_of(host.address, &[]).await;
    guest.infer(&single("")).await;
    guest.infer_batch(&batch("")).await;
    guest.infer(&single(r#","explain":true"#)).await;
    guest.infer_batch(&batch(r#","explain":true"#)).await;
    let strict = guest_of(host.address, &[("min.feature.hit.rate", "0.1")]).await;
    strict.infer(&single("")).await;
    let members: Vec<_> = asked(&host)
        .iter()
        .map(|body| body.get("explain").cloned())
        .collect();
    let yes = Some(Value::Bool(true));
    assert_eq!(members, [None, None, yes.clone(), yes.clone(), yes]);
}

/// Ten thousand rows with names of their own: the answer stays small, and every row has its figures.
#[tokio::test]
async fn names_of_a_large_batch_are_left_out() {
    let host = FalseHost::start(says("")).await;
    let guest = guest_of(host.address, &[]).await;
    let names: Vec<String> = (0..60)
        .map(|n| format!(r#""{n}{}":1"#, "n".repeat(40)))
        .collect();
    let features = names.join(",");
    let rows: Vec<String> = (0..5000)
        .map(|index| format!(r#"{{"index":{index},"featureData":{{{features}}}}}"#))
        .collect();
    let body = format!(
        r#"{{"serviceId":"lr-test","explain":true,"batchDataList":[{}]}}"#,
        rows.join(",")
    );
    let text = guest.infer_batch_text(body.as_bytes()).await;
    assert!(text.len() < 8 << 20, "{} bytes", text.len());
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["data"]["modelId"], GUEST);
    let guest_of_row = |index: usize| &answer["batchDataList"][index]["data"]["explain"]["guest"];
    assert_eq!(guest_of_row(0)["unknown"].as_array().unwrap().len(), 60);
    let last = guest_of_row(4999);
    assert_eq!(last["unknownCount"], 60);
    assert_eq!(last["names"], "left out: the answer is full");
    assert!(last.get("unknown").is_none());
}
