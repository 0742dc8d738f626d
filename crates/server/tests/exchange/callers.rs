//! Callers that come too often, and callers that would not see the answer.

use std::time::Duration;

use fate_proto::inference::InferenceMessage;
use fate_proto::inference::inference_service_client::InferenceServiceClient;
use fate_testkit::metrics::Scrape;
use serde_json::Value;
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::cluster::{Node, channel, guest_of, http};
use crate::false_host::{FalseHost, Manner};

const SUCCESS: &str =
    r#"{"retcode":0,"retmsg":"","data":{"hetero_lr_0":{"score":0.25},"retcode":0}}"#;
const SINGLE: &str =
    r#"{"serviceId":"lr-test","featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"1"}}"#;
const OVER_LOAD: &str = "request was block by over load, service name: singleInference";

async fn ask(node: &Node, headers: &[(&'static str, &str)]) -> (i64, String) {
    let mut client = InferenceServiceClient::new(channel(node.grpc()).await);
    let mut request = Request::new(InferenceMessage {
        body: SINGLE.as_bytes().into(),
        ..InferenceMessage::default()
    });
    for (name, value) in headers {
        let value: MetadataValue<_> = value.parse().unwrap();
        request.metadata_mut().insert(*name, value);
    }
    let answer = client.inference(request).await.unwrap().into_inner();
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let text = answer["retmsg"].as_str().unwrap().to_owned();
    (answer["retcode"].as_i64().unwrap(), text)
}

async fn shed(node: &Node, reason: &str) -> Option<f64> {
    let (_, page) = http(node.http(), "GET /metrics", b"").await;
    Scrape::read(&page).sum("fate_serving_shed_total", &[("reason", reason)])
}

#[tokio::test]
async fn every_client_has_a_limit_of_its_own_on_both_ports() {
    let host = FalseHost::start(Manner::Says(SUCCESS.to_owned())).await;
    let guest = guest_of(host.address, &[("limit.caller.qps", "1")]).await;
    let mut refused = 0;
    for _ in 0..20 {
        let (code, text) = ask(&guest, &[("appkey", "a")]).await;
        assert!(
            code == 0 || (code == 124 && text == OVER_LOAD),
            "{code} {text}"
        );
        refused += usize::from(code == 124);
    }
    assert!(refused >= 10, "{refused}");
    // Others are not concerned, whether they have a name or an address only.
    assert_eq!(ask(&guest, &[("appkey", "b")]).await.0, 0);
    assert_eq!(ask(&guest, &[]).await.0, 0);
    let mut answers = Vec::new();
    for _ in 0..5 {
        let (status, answer) = http(guest.http(), "POST /v1/inference", SINGLE.as_bytes()).await;
        assert_eq!(status, 200);
        answers.push(answer);
    }
    let late = answers
        .iter()
        .filter(|one| one.starts_with(r#"{"retcode":124,"#));
    assert!(late.count() >= 3, "the same address over HTTP: {answers:?}");
    assert!(shed(&guest, "caller").await >= Some(13.0));
}

#[tokio::test]
async fn who_would_not_see_the_answer_is_refused_at_once() {
    let slow = Manner::Dawdles(Duration::from_millis(600), SUCCESS.to_owned());
    let host = FalseHost::start(slow).await;
    let guest = guest_of(host.address, &[]).await;
    assert_eq!(ask(&guest, &[]).await.0, 0);
    // An answer takes 600 ms; whoever waits for 250 ms only is not worth a call to the host.
    let (code, text) = ask(&guest, &[("grpc-timeout", "250m")]).await;
    assert_eq!((code, text.as_str()), (124, OVER_LOAD));
    assert_eq!(host.asked.lock().len(), 1);
    assert_eq!(ask(&guest, &[("grpc-timeout", "20S")]).await.0, 0);
    assert_eq!(shed(&guest, "deadline").await, Some(1.0));
}
