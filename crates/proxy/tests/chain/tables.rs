//! Route tables that strangers on the intra port may send: large ones, odd ones, and ones that must not be taken.

use std::time::{Duration, Instant};

use fate_proto::common_service::common_service_client::CommonServiceClient;
use fate_proto::common_service::{
    UpdateConfigRequest, UpdateFlowRuleRequest, UpdateServiceRequest,
};
use fate_proto::router::RouterOperatetRequest;
use fate_proto::router::router_table_service_client::RouterTableServiceClient;
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::fake_peer::FakePeer;
use crate::lone_proxy::{LoneProxy, packet_to};
use crate::parties::{address, document};

/// Far more than it takes, and far less than what grows with the square of a table.
const PATIENCE: Duration = Duration::from_secs(60);

async fn editor(proxy: &LoneProxy) -> RouterTableServiceClient<Channel> {
    let to = format!("http://{}", proxy.proxy.intra_addr);
    let client = RouterTableServiceClient::connect(to).await.unwrap();
    client
        .max_encoding_message_size(32 << 20)
        .max_decoding_message_size(32 << 20)
}

async fn save(proxy: &LoneProxy, text: String) -> (i32, String) {
    let request = RouterOperatetRequest { router_info: text };
    let saved = editor(proxy).await.save_router(request).await;
    let saved = saved.unwrap().into_inner();
    (saved.status_code, saved.message)
}

#[tokio::test]
async fn ten_thousand_routes_good_and_bad() {
    let peer = FakePeer::quick().await;
    let proxy = LoneProxy::start(&json!({}), &[]).await;
    let started = Instant::now();
    let good: serde_json::Map<String, Value> = (0..10_000)
        .map(|id| {
            let parties = json!({"serving": [address(peer.address)], "中<&>'\u{2028}": [address(peer.address)]});
            (id.to_string(), parties)
        })
        .collect();
    let good = document(&Value::Object(good));
    assert_eq!(
        save(&proxy, good.to_string()).await,
        (0, "success".to_owned())
    );
    assert_eq!(
        proxy.send(packet_to("7777", "x")).await,
        (0, "x".to_owned())
    );
    let kept = editor(&proxy)
        .await
        .query_router(RouterOperatetRequest::default())
        .await;
    let kept: Value = serde_json::from_slice(&kept.unwrap().into_inner().data).unwrap();
    assert_eq!(kept, good);

    let bad: serde_json::Map<String, Value> = (0..100_000)
        .map(|id| {
            (
                id.to_string(),
                json!({"serving": [{"ip": format!("bad {id}")}]}),
            )
        })
        .collect();
    let (code, text) = save(&proxy, document(&Value::Object(bad)).to_string()).await;
    assert!(code == 133 && text.len() < 1000, "{code} {text}");
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    // What was there is still there.
    assert_eq!(
        proxy.send(packet_to("7777", "x")).await,
        (0, "x".to_owned())
    );
}

#[tokio::test]
async fn what_is_no_table_changes_nothing() {
    let peer = FakePeer::quick().await;
    let proxy = LoneProxy::start(&json!({"1": {"serving": [address(peer.address)]}}), &[]).await;
    let commas = format!(
        "{{\"route_table\":{{\"1\":{{\"serving\":[{}]}}}}",
        ",".repeat(4 << 20)
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!(
        r#"{{"route_table":{{"1":{{"serving":[{{"ip":"{}","port":1}}]}}}},"permission":{{}}}}"#,
        "/".repeat(4 << 20)
    );
    for text in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"route_table":{}}"#.to_owned(),
        r#"{"route_table":{"1":{"serving":"x"}},"permission":{}}"#.to_owned(),
        r#"{"route_table":{"1":{"serving":[{"ip":"a","port":99999}]}},"permission":{}}"#.to_owned(),
        commas,
        deep,
        long,
        " ".repeat(9 << 20),
    ] {
        let (code, message) = save(&proxy, text.clone()).await;
        let begin: String = text.chars().take(80).collect();
        assert!(
            code == 133 && message.len() < 1000,
            "{begin}: {code} {message}"
        );
        // No addresses at all are added without fault.
        if text == "[]" {
            continue;
        }
        let request = RouterOperatetRequest { router_info: text };
        let added = editor(&proxy)
            .await
            .add_router(request)
            .await
            .unwrap()
            .into_inner();
        assert!(
            added.status_code == 133 && added.message.len() < 1000,
            "{begin}: {}",
            added.message
        );
    }
    // Of parties and members that are there twice the last counts, as in Java.
    let at = address(peer.address);
    let twice = format!(
        r#"{{"route_table":{{"1":{{"serving":[]}},"1":{{"serving":[],"serving":[{at}]}}}},"permission":{{"default_allow":false,"default_allow":true}}}}"#
    );
    assert_eq!(save(&proxy, twice).await.0, 0);
    assert_eq!(proxy.send(packet_to("1", "x")).await, (0, "x".to_owned()));
}

#[tokio::test]
async fn with_a_token_only_administrators_change_anything() {
    let properties = [("admin.token", "S3cret"), ("admin.token.grpc", "true")];
    let proxy = LoneProxy::start(&json!({}), &properties).await;
    let mut routes = editor(&proxy).await;
    let to = format!("http://{}", proxy.proxy.intra_addr);
    let mut common = CommonServiceClient::connect(to).await.unwrap();
    let table = RouterOperatetRequest {
        router_info: document(&json!({})).to_string(),
    };
    let with = |value: Option<&str>| {
        let mut request = Request::new(table.clone());
        if let Some(value) = value {
            let value = value.parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        request
    };
    for value in [None, Some("Bearer "), Some("Bearer s3cret"), Some("S3cret")] {
        let refused = [
            routes.save_router(with(value)).await.unwrap_err(),
            routes.add_router(with(value)).await.unwrap_err(),
            routes.update_router(with(value)).await.unwrap_err(),
            routes.delete_router(with(value)).await.unwrap_err(),
        ];
        assert!(
            refused
                .iter()
                .all(|one| one.code() == Code::Unauthenticated)
        );
    }
    let refused = [
        common
            .update_flow_rule(UpdateFlowRuleRequest::default())
            .await
            .unwrap_err(),
        common
            .update_service(UpdateServiceRequest::default())
            .await
            .unwrap_err(),
        common
            .update_config(UpdateConfigRequest::default())
            .await
            .unwrap_err(),
    ];
    assert!(
        refused
            .iter()
            .all(|one| one.code() == Code::Unauthenticated)
    );
    let saved = routes
        .save_router(with(Some("Bearer S3cret")))
        .await
        .unwrap();
    assert_eq!(saved.into_inner().status_code, 0);
    assert!(routes.query_router(with(None)).await.is_ok());
}
