//! Single calls that share packets to a host (`remote.coalesce.*`): the answers are those of packets of their own, and
//! nobody pays for another's row.

use std::time::{Duration, Instant};

use fate_proto::proxy::Packet;
use fate_testkit::{Collector, Link};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::cluster::{Node, guest_of, pair};
use crate::compact::{body, guest, host, set, singles};
use crate::false_host::{FalseHost, Manner};

const WINDOW: (&str, &str) = ("remote.coalesce.window", "25");
const FAR: Duration = Duration::from_millis(300);

fn single(id: &str) -> String {
    let ids = json!({ "id": id });
    json!({"serviceId": "lr-test", "featureData": {"x0": 0.5}, "sendToRemoteFeatureData": ids})
        .to_string()
}

/// What hosts of this kind answer to single calls and batches; they do not know the id `nobody`.
fn answers(packet: &Packet) -> String {
    let row = |ids: &Value| match ids["id"].as_str() {
        Some("nobody") => (113, json!({"message": "no feature"})),
        _ => (0, json!({"hetero_lr_0": {"score": 0.25}})),
    };
    let question = body(packet);
    let Some(rows) = question["batchDataList"].as_array() else {
        let (code, data) = row(&question["sendToRemoteFeatureData"]);
        return json!({"retcode": code, "retmsg": if code == 0 { "" } else { "adaptor return error" }, "data": data})
            .to_string();
    };
    let rows = rows.iter().map(|asked| {
        let (code, data) = row(&asked["sendToRemoteFeatureData"]);
        json!({"index": asked["index"], "retcode": code, "data": data})
    });
    json!({"retcode": 0, "retmsg": "", "batchDataList": rows.collect::<Vec<_>>()}).to_string()
}

/// Sends one call ahead, so that the host is busy, and the others at the same time.
async fn burst(guest: &Node, ids: &[String]) -> Vec<Value> {
    let ahead = async { guest.infer(&single("ahead")).await };
    let others = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let requests: Vec<String> = ids.iter().map(|id| single(id)).collect();
        join_all(requests.iter().map(|request| guest.infer(request))).await
    };
    let (ahead, answers) = futures::join!(ahead, others);
    assert_eq!(ahead["retcode"], 0, "{ahead}");
    answers
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|id| id.to_string()).collect()
}

fn rows_of(packets: &[Packet]) -> Vec<usize> {
    let rows = |packet: &Packet| body(packet)["batchDataList"].as_array().map_or(1, Vec::len);
    packets.iter().map(rows).collect()
}

/// Code, text and score.
fn said(answer: &Value) -> (i64, String, Value) {
    (
        answer["retcode"].as_i64().unwrap(),
        answer["retmsg"].as_str().unwrap().to_owned(),
        answer["data"]["score"].clone(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_the_same_time_make_few_packets() {
    let far = FalseHost::start(Manner::Thinks(FAR, answers)).await;
    let together = guest_of(far.address, &[WINDOW]).await;
    let answered = burst(&together, &ids(64)).await;
    let packets = rows_of(&far.asked.lock());
    assert_eq!(packets.iter().sum::<usize>(), 65, "{packets:?}");
    assert!(packets.len() <= 16, "{packets:?}");

    far.asked.lock().clear();
    let apart = guest_of(far.address, &[]).await;
    let expected = burst(&apart, &ids(64)).await;
    assert_eq!(far.asked.lock().len(), 65);
    for (answer, expected) in answered.iter().zip(&expected) {
        assert_eq!(said(answer), said(expected));
        assert_eq!(answer["retcode"], 0, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_has_no_more_calls_than_is_said() {
    let far = FalseHost::start(Manner::Thinks(FAR, answers)).await;
    let guest = guest_of(far.address, &[WINDOW, ("remote.coalesce.max", "4")]).await;
    burst(&guest, &ids(20)).await;
    let packets = rows_of(&far.asked.lock());
    assert!(packets.iter().all(|rows| *rows <= 4), "{packets:?}");
    assert!(packets.len() <= 16, "{packets:?}");
}

#[tokio::test]
async fn a_lone_call_is_the_packet_that_it_always_was() {
    let host = FalseHost::start(Manner::Thinks(Duration::ZERO, answers)).await;
    let guest = guest_of(host.address, &[("remote.coalesce.window", "100")]).await;
    let started = Instant::now();
    for id in ids(10) {
        assert_eq!(guest.infer(&single(&id)).await["retcode"], 0);
    }
    // Ten windows would take a second.
    assert!(started.elapsed() < Duration::from_millis(900));
    assert!(host.asked.lock().iter().all(|packet| {
        let command = packet.header.clone().unwrap().command.unwrap();
        command.name == "federatedInference"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_fails_is_its_own_calls_affair() {
    let far = FalseHost::start(Manner::Thinks(FAR, answers)).await;
    let guest = guest_of(far.address, &[WINDOW]).await;
    let mut asked = ids(5);
    asked[2] = "nobody".to_owned();
    let answered = burst(&guest, &asked).await;
    for (id, answer) in asked.iter().zip(&answered) {
        let (code, text, score) = said(answer);
        if id == "nobody" {
            // The text is that of a single call: the host was asked once more.
            assert_eq!(code, 2113, "{answer}");
            assert_eq!(text, "host return code 113 host msg :adaptor return error");
            assert!(score.is_null(), "{answer}");
        } else {
            assert_eq!((code, text.as_str()), (0, ""), "{answer}");
        }
    }
}

fn only_singles(packet: &Packet) -> String {
    match body(packet)["batchDataList"].as_array() {
        Some(_) => r#"{"retcode":116,"retmsg":"adaptor not found","data":{}}"#.to_owned(),
        None => answers(packet),
    }
}

fn garbled_batches(packet: &Packet) -> String {
    match body(packet)["batchDataList"].as_array() {
        Some(_) => r#"{"retcode":0,"batchDataList":[{"index":0},{"index":0}]}"#.to_owned(),
        None => answers(packet),
    }
}

fn forgetful(packet: &Packet) -> String {
    match body(packet)["batchDataList"].as_array() {
        // As Java's hosts do: a row without data, and none for the others.
        Some(_) => r#"{"retcode":0,"batchDataList":[{"index":1,"retcode":0}]}"#.to_owned(),
        None => answers(packet),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_do_not_do_batches_are_asked_one_by_one() {
    for manner in [only_singles, garbled_batches, forgetful] {
        let far = FalseHost::start(Manner::Thinks(FAR, manner)).await;
        let guest = guest_of(far.address, &[WINDOW]).await;
        for answer in burst(&guest, &ids(6)).await {
            assert_eq!(answer["retcode"], 0, "{answer}");
            assert!(answer["data"]["score"].is_f64(), "{answer}");
        }
    }
    // One who refused is not asked for a batch again soon.
    let far = FalseHost::start(Manner::Thinks(FAR, only_singles)).await;
    let guest = guest_of(far.address, &[WINDOW]).await;
    burst(&guest, &ids(6)).await;
    far.asked.lock().clear();
    burst(&guest, &ids(6)).await;
    assert_eq!(rows_of(&far.asked.lock()), [1; 7]);
}

fn unloaded(packet: &Packet) -> String {
    if body(packet)["sendToRemoteFeatureData"]["id"] == "ahead" {
        return answers(packet);
    }
    r#"{"retcode":104,"retmsg":"mode is null","data":{}}"#.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_packet_fails_its_calls_as_their_own_would_have() {
    let far = FalseHost::start(Manner::Thinks(FAR, unloaded)).await;
    let guest = guest_of(far.address, &[WINDOW]).await;
    for answer in burst(&guest, &ids(4)).await {
        let (code, text, score) = said(&answer);
        assert_eq!(code, 2104, "{answer}");
        assert_eq!(text, "host return code 104 host msg :mode is null");
        assert!(score.is_null(), "{answer}");
    }
    let fails = FalseHost::start(Manner::Fails).await;
    let guest = guest_of(fails.address, &[WINDOW]).await;
    let requests: Vec<String> = ids(8).iter().map(|id| single(id)).collect();
    for answer in join_all(requests.iter().map(|one| guest.infer(one))).await {
        let (code, text, _) = said(&answer);
        assert_eq!(code, 105, "{answer}");
        let expected = "host 10000 remote error : UNAVAILABLE: boom";
        assert!(text.starts_with(expected), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_costs_every_call_its_own_time() {
    let host = FalseHost::start(Manner::Thinks(Duration::from_secs(60), answers)).await;
    let limit = ("single.inference.rpc.timeout", "700");
    let guest = guest_of(host.address, &[WINDOW, limit]).await;
    let call = |start: u64| {
        let guest = &guest;
        async move {
            tokio::time::sleep(Duration::from_millis(start)).await;
            let started = Instant::now();
            let answer = guest.infer(&single("1")).await;
            (answer, started.elapsed())
        }
    };
    for (answer, took) in join_all([0, 100, 105, 110, 115, 300, 305].map(call)).await {
        let text = "host 10000 remote error : Waited 700 milliseconds for its answer";
        assert_eq!(said(&answer).0, 105, "{answer}");
        assert_eq!(said(&answer).1, text);
        // A packet's deadline is that of the first of its calls.
        assert!(took >= Duration::from_millis(670), "{took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    let packets = rows_of(&host.asked.lock());
    assert!(packets.len() < 7, "{packets:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_leaves_the_others_theirs() {
    let far = FalseHost::start(Manner::Thinks(FAR, answers)).await;
    let guest = guest_of(far.address, &[WINDOW]).await;
    let ahead = async { guest.infer(&single("ahead")).await };
    let begins = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        // It begins the packet, and leaves while the packet waits and travels.
        let request = single("begins");
        let _ = tokio::time::timeout(Duration::from_millis(60), guest.infer(&request)).await;
    };
    let follows = async {
        tokio::time::sleep(Duration::from_millis(110)).await;
        let requests: Vec<String> = ids(3).iter().map(|id| single(id)).collect();
        join_all(requests.iter().map(|one| guest.infer(one))).await
    };
    let (_, (), answered) = futures::join!(ahead, begins, follows);
    for answer in answered {
        assert_eq!(answer["retcode"], 0, "{answer}");
    }
}

/// Real parties far from each other, with and without company, in Java's form and in the compact one, with figures that
/// a policy asks for, and with a memory of what hosts answered.
#[tokio::test(flavor = "multi_thread")]
async fn scores_are_those_of_offline() {
    for (name, more) in [
        ("lr_minmax_cap_imputer", &[][..]),
        ("lr_two_hosts", &[]),
        ("sbt_two_hosts", &[]),
        ("sbt_binary_missing", &[("federation.compact", "false")]),
        ("sbt_multiclass", &[("min.feature.hit.rate", "0.01")]),
        (
            "sbt_binary",
            &[("remoteModelInferenceResultCacheSwitch", "true")],
        ),
    ] {
        let set = set(name);
        let (mut nodes, mut routes) = (Vec::new(), Vec::new());
        for party in set.hosts() {
            let (node, data) = host(&set, party, &[]).await;
            let link = Link::to(&node.grpc().to_string());
            link.delay(Duration::from_millis(30));
            routes.push(format!("{}={}", party.party_id, link.address()));
            nodes.push((node, data, link));
        }
        let mut pairs = vec![WINDOW];
        pairs.extend_from_slice(more);
        let guest = guest(&set, &routes.join(","), &pairs).await;
        let questions: Vec<String> = singles(&set).iter().map(Value::to_string).collect();
        let answered = join_all(questions.iter().map(|one| guest.infer(one))).await;
        for (row, answer) in set.guest().table.rows.iter().zip(&answered) {
            assert_eq!(answer["retcode"], 0, "{name}: {answer}");
            let expected = &set.predictions[&row.id];
            let Some(expected) = expected.score else {
                continue;
            };
            let score = &answer["data"]["score"];
            let label = answer["data"]["label"].as_str();
            let score = match label {
                Some(_) => score
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one.as_f64().unwrap())
                    .fold(f64::MIN, f64::max),
                None => score.as_f64().unwrap(),
            };
            assert!((score - expected).abs() <= 1e-12, "{name}: {answer}");
        }
        for (node, ..) in &nodes {
            let page = crate::cluster::http(node.http(), "GET /metrics", b"")
                .await
                .1;
            let batches = page.lines().find(|line| {
                line.starts_with("fate_serving_requests_total{")
                    && line.contains(r#"role="host",method="batch""#)
            });
            assert!(batches.is_some(), "{name}: no packet was shared");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_an_explanation_travels_alone() {
    let pair = pair(&[WINDOW], &[]).await;
    let curious = single("1").replacen('{', r#"{"explain":true,"#, 1);
    let requests = vec![curious; 8];
    for answer in join_all(requests.iter().map(|one| pair.guest.infer(one))).await {
        assert_eq!(answer["retcode"], 0, "{answer}");
        let host = &answer["data"]["explain"]["hosts"]["10000"];
        assert_eq!(host["source"], "file-pick", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_packets_span_belongs_to_the_call_that_began_it() {
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let far = FalseHost::start(Manner::Thinks(FAR, answers)).await;
    let guest = guest_of(
        far.address,
        &[WINDOW, ("trace.otlp.endpoint", endpoint.as_str())],
    )
    .await;
    burst(&guest, &ids(5)).await;
    let packets = far.asked.lock().len();
    guest.server.drain().await;
    let spans = collector.spans();
    let of = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    assert_eq!(of("singleInference").count(), 6, "{spans:?}");
    assert_eq!(of("remote").count(), packets, "{spans:?}");
    for remote in of("remote") {
        let mut calls = of("singleInference");
        assert!(
            calls.any(|call| call.span_id == remote.parent_id),
            "{spans:?}"
        );
    }
}
