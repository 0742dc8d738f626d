//! The table of contract 04 A.8 as packets and answers on the wire, byte by byte; and what both gRPC ports have besides
//! packets.

use std::net::SocketAddr;

use fate_proto::common_service::UpdateFlowRuleRequest;
use fate_proto::common_service::common_service_client::CommonServiceClient;
use fate_proto::proxy::Packet;
use serde_json::json;
use tokio::net::TcpListener;

use crate::asking::post;
use crate::fake_peer::FakePeer;
use crate::lone_proxy::{LoneProxy, outcome, packet_to};
use crate::parties::address;
use crate::raw::{Raw, framed};

const ASKING: &str = r#"{"head":{"serviceId":"s"},"body":{"featureData":{}}}"#;

/// A port where nobody listens.
async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// The whole body of the answer, which has nothing but a body.
async fn body_of(proxy: &LoneProxy, packet: Packet) -> String {
    let answer = proxy.intra().await.unary_call(packet).await;
    let answer = answer.unwrap().into_inner();
    assert!(answer.header.is_none() && answer.auth.is_none());
    let body = answer.body.unwrap();
    assert_eq!(body.key, "");
    String::from_utf8(body.value.to_vec()).unwrap()
}

fn body(code: i32, text: &str) -> String {
    format!("{{\"retcode\":{code},\"retmsg\":\"{text}\"}}")
}

#[tokio::test]
async fn packets_without_a_way() {
    let port = closed_port().await;
    let closed = json!({"ip": "127.0.0.1", "port": port});
    let mut lost_files = closed.clone();
    lost_files["useSSL"] = true.into();
    lost_files["caFile"] = "/nonexistent/ca.pem".into();
    let url = format!("http://127.0.0.1:{port}/unary");
    let routes = json!({
        "1": {"serving": [closed]},
        "2": {"serving": [{"url": url}]},
        "3": {"other": [closed]},
        "4": {"serving": []},
        "5": {"serving": [lost_files]},
    });
    let proxy = LoneProxy::start(&routes, &[]).await;
    let unreached = body(605, &format!("grpc unaryCall error 127.0.0.1:{port}"));
    let no_endpoint = |what: &str, rest: &str| {
        body(
            610,
            &format!(
                "No available endpoint for {what}. Considering adding a default endpoint{rest}"
            ),
        )
    };
    let no_role = no_endpoint("this service: serving", ", or check if the list is empty?");
    for (party_id, expected) in [
        ("1", unreached.clone()),
        ("2", body(621, "receive invalid http response")),
        ("3", no_role.clone()),
        ("4", no_role),
        ("5", unreached),
        ("9", no_endpoint("the coordinator: 9", "?")),
    ] {
        assert_eq!(
            body_of(&proxy, packet_to(party_id, "x")).await,
            expected,
            "{party_id}"
        );
    }
    let mut nobody = packet_to("1", "x");
    nobody.header.as_mut().unwrap().dst = None;
    assert_eq!(body_of(&proxy, nobody).await, body(610, "host id is null"));
    let mut from_nobody = packet_to("1", "x");
    from_nobody.header.as_mut().unwrap().src = None;
    assert_eq!(
        body_of(&proxy, from_nobody).await,
        body(610, "guest id is null")
    );
    let mut nameless = packet_to("1", "x");
    nameless
        .header
        .as_mut()
        .unwrap()
        .dst
        .as_mut()
        .unwrap()
        .name
        .clear();
    let text = "one of dstTopic name, coordinator, role is null. dstTopic: partyId: \\\"1\\\"\\nrole: \\\"serving\\\"\\n";
    assert_eq!(body_of(&proxy, nameless).await, body(610, text));

    let no_table = LoneProxy::start(&json!({}), &[("route.table", "/nonexistent/table")]).await;
    let no_way = body(628, "serving-proxy can not find router info ");
    assert_eq!(body_of(&no_table, packet_to("1", "x")).await, no_way);
}

#[tokio::test]
async fn answers_that_do_not_come_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    let routes = json!({
        "1": {"serving": [address(at)]},
        "2": {"serving": [{"url": format!("http://{at}/unary")}]},
        "9999": {"serving": [address(at)]},
    });
    let limits = [
        ("proxy.grpc.unaryCall.timeout", "300"),
        ("proxy.grpc.inference.timeout", "300"),
        ("proxy.grpc.batch.inference.timeout", "300"),
        ("httpclient.config.sockect.timeout", "300"),
    ];
    let proxy = LoneProxy::start(&routes, &limits).await;
    let late = body(605, &format!("grpc unaryCall error {at}"));
    assert_eq!(body_of(&proxy, packet_to("1", "x")).await, late);
    let no_packet = body(621, "receive invalid http response");
    assert_eq!(body_of(&proxy, packet_to("2", "x")).await, no_packet);
    let http = proxy.proxy.http_addr.unwrap();
    for call in ["inference", "batchInference"] {
        let path = format!("/federation/v1/{call}");
        let answer = post(http, &path, ASKING).await;
        assert_eq!(answer, body(105, "remote rpc exception"), "{call}");
    }
}

/// A server that answers every HTTP request with this.
async fn http_server(answer: String) -> SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // The packet is small: it comes at once.
            let _ = stream.read(&mut [0; 65536]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    at
}

#[tokio::test]
async fn only_the_body_of_an_http_answer_counts() {
    for (status, text, expected) in [
        ("200 OK", "nonsense", None),
        ("200 OK", "", None),
        ("200 OK", r#"{"unknown":1}"#, None),
        ("302 Found", "", None),
        // As in Java.
        (
            "500 Internal Server Error",
            r#"{"body":{"value":"e30="}}"#,
            Some("{}"),
        ),
    ] {
        let length = text.len();
        let answer =
            format!("HTTP/1.1 {status}\r\nlocation: /\r\ncontent-length: {length}\r\n\r\n{text}");
        let url = format!("http://{}/unary", http_server(answer).await);
        let routes = json!({"1": {"serving": [{"url": url}]}});
        let proxy = LoneProxy::start(&routes, &[]).await;
        let no_packet = body(621, "receive invalid http response");
        let expected = expected.map_or(no_packet, str::to_owned);
        assert_eq!(
            body_of(&proxy, packet_to("1", "x")).await,
            expected,
            "{status} {text}"
        );
    }
}

#[tokio::test]
async fn a_way_back_to_the_proxy_itself_is_refused() {
    let proxy = LoneProxy::start(&json!({}), &[]).await;
    let own = [proxy.proxy.inter_addr, proxy.proxy.intra_addr];
    let http = proxy.proxy.http_addr.unwrap();
    let request = |route: serde_json::Value| {
        let document = json!({"route_table": {"1": {"serving": [route]}}, "permission": {"default_allow": true}});
        fate_proto::router::RouterOperatetRequest {
            router_info: document.to_string(),
        }
    };
    let to = format!("http://{}", proxy.proxy.intra_addr);
    let client =
        fate_proto::router::router_table_service_client::RouterTableServiceClient::connect(to);
    let mut client = client.await.unwrap();
    for route in [
        address(own[0]),
        address(own[1]),
        json!({"ip": "localhost", "port": own[0].port()}),
        json!({"ip": "::ffff:127.0.0.1", "port": own[0].port()}),
        json!({"url": format!("http://127.0.0.1:{}/unary", http.port())}),
        json!({"url": format!("http://LOCALHOST:{}/unary", http.port())}),
    ] {
        let saved = client.save_router(request(route.clone())).await;
        let saved = saved.unwrap().into_inner();
        assert_eq!(saved.status_code, 133, "{route}: {}", saved.message);
        assert!(
            saved.message.contains("back to this proxy"),
            "{}",
            saved.message
        );
    }
}

#[tokio::test]
async fn inference_that_fails() {
    let port = closed_port().await;
    let routes = json!({"9999": {"serving": [{"ip": "127.0.0.1", "port": port}]}});
    let proxy = LoneProxy::start(&routes, &[]).await;
    let at = proxy.proxy.http_addr.unwrap();
    for call in ["inference", "batchInference"] {
        let path = format!("/federation/v1/{call}");
        assert_eq!(
            post(at, &path, ASKING).await,
            body(105, "remote rpc exception")
        );
    }
    let to = format!("http://{}", proxy.proxy.intra_addr);
    let mut common = CommonServiceClient::connect(to).await.unwrap();
    let rule = UpdateFlowRuleRequest {
        source: "I_inference".to_owned(),
        allow_qps: 0.0,
    };
    common.update_flow_rule(rule).await.unwrap();
    let over_load = body(
        124,
        "request was block by over load, service name: inference",
    );
    assert_eq!(
        post(at, "/federation/v1/inference", ASKING).await,
        over_load
    );
}

#[tokio::test]
async fn both_ports_tell_their_health_and_what_they_have() {
    let peer = FakePeer::quick().await;
    let proxy = LoneProxy::start(&json!({"1": {"serving": [address(peer.address)]}}), &[]).await;
    let packets = "com.webank.ai.fate.api.networking.proxy.DataTransferService";
    let own = [
        "com.webank.ai.fate.api.serving.InferenceService",
        "com.webank.ai.fate.api.networking.common.CommonService",
        "com.webank.ai.fate.serving.proxy.rpc.grpc.RouterTableService",
    ];
    for (at, is_intra) in [
        (proxy.proxy.inter_addr, false),
        (proxy.proxy.intra_addr, true),
    ] {
        let raw = Raw::connect(at).await;
        // The name of a service is field 1.
        let named = [
            &[10, u8::try_from(packets.len()).unwrap()],
            packets.as_bytes(),
        ]
        .concat();
        for question in [&[][..], &named] {
            let answer = raw
                .call("/grpc.health.v1.Health/Check", &[], framed(question))
                .await
                .unwrap();
            // SERVING
            assert_eq!(answer.message, [8, 1], "{answer:?}");
        }
        for version in ["v1", "v1alpha"] {
            let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            // list_services
            let answer = raw.call(&path, &[], framed(&[0x3a, 0])).await.unwrap();
            let listed = String::from_utf8_lossy(&answer.message).into_owned();
            assert!(listed.contains(packets), "{listed:?}");
            for name in own {
                assert_eq!(listed.contains(name), is_intra, "{name}: {listed:?}");
            }
        }
    }
    let answer = proxy.intra().await.unary_call(packet_to("1", "x")).await;
    assert_eq!(outcome(answer).0, 0);
}
