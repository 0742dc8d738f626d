//! Packets between a server and a peer that does what the test wants.

use std::time::{Duration, Instant};

use fate_proto::common_service::common_service_client::CommonServiceClient;
use fate_proto::common_service::{
    HealthCheckRequest, QueryMetricRequest, QueryPropsRequest, UpdateFlowRuleRequest,
};
use fate_proto::inference::InferenceMessage;
use fate_proto::inference::inference_service_client::InferenceServiceClient;
use fate_proto::proxy::data_transfer_service_client::DataTransferServiceClient;
use fate_proto::router::RouterOperatetRequest;
use fate_proto::router::router_table_service_client::RouterTableServiceClient;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tonic::Code;

use crate::fake_peer::FakePeer;
use crate::lone_proxy::{LoneProxy, outcome, packet_to, until, with_timeout};
use crate::parties::address;

fn routes(peers: &[(&str, &FakePeer)]) -> Value {
    let routes = peers.iter().map(|(party_id, peer)| {
        let roles = json!({"serving": [address(peer.address)]});
        ((*party_id).to_owned(), roles)
    });
    Value::Object(routes.collect())
}

#[tokio::test]
async fn thirty_megabytes_pass_both_ways() {
    let peer = FakePeer::quick().await;
    let proxy = LoneProxy::start(&routes(&[("10000", &peer)]), &[]).await;
    let packet = packet_to("10000", vec![7; 30 << 20]);
    let answer = proxy.intra().await.unary_call(packet.clone()).await;
    assert!(answer.unwrap().into_inner() == packet);
}

#[tokio::test]
async fn deadlines_and_traces_go_on_and_cookies_do_not() {
    let mut peer = FakePeer::quick().await;
    let proxy = LoneProxy::start(&routes(&[("10000", &peer)]), &[]).await;
    let mut request = with_timeout(packet_to("10000", "x"), Duration::from_secs(7));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let metadata = request.metadata_mut();
    metadata.insert("traceparent", trace.parse().unwrap());
    metadata.insert("cookie", "c".parse().unwrap());
    let answer = proxy.intra().await.unary_call(request).await;
    assert_eq!(outcome(answer), (0, "x".to_owned()));
    let seen = peer.seen.recv().await.unwrap();
    assert_eq!(seen.get("traceparent").unwrap(), trace);
    assert!(seen.get("cookie").is_none());
    let timeout = seen.get("grpc-timeout").unwrap().to_str().unwrap();
    let (digits, unit) = timeout.split_at(timeout.len() - 1);
    let millis = match unit {
        "n" => digits.parse::<u64>().unwrap() / 1_000_000,
        "u" => digits.parse::<u64>().unwrap() / 1000,
        "m" => digits.parse::<u64>().unwrap(),
        _ => panic!("{timeout}"),
    };
    assert!((1000..=7000).contains(&millis), "{timeout}");
}

#[tokio::test]
async fn a_peer_that_does_not_answer_costs_the_configured_time() {
    let peer = FakePeer::slow().await;
    let properties = [("proxy.grpc.unaryCall.timeout", "300")];
    let proxy = LoneProxy::start(&routes(&[("10000", &peer)]), &properties).await;
    let started = Instant::now();
    let (code, text) = proxy.send(packet_to("10000", "x")).await;
    assert_eq!(
        (code, text),
        (605, format!("grpc unaryCall error {}", peer.address))
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    until("the peer is told", async || peer.given_up() == 1).await;
}

#[tokio::test]
async fn who_goes_away_takes_the_call_along() {
    let mut peer = FakePeer::slow().await;
    let proxy = LoneProxy::start(&routes(&[("10000", &peer)]), &[]).await;
    let mut client = proxy.intra().await;
    let call = tokio::spawn(async move { client.unary_call(packet_to("10000", "x")).await });
    peer.seen.recv().await.unwrap();
    call.abort();
    until("the peer is told", async || peer.given_up() == 1).await;
}

#[tokio::test]
async fn a_slow_peer_takes_its_own_places_only() {
    let mut slow = FakePeer::slow().await;
    let quick = FakePeer::quick().await;
    let table = routes(&[("10000", &slow), ("10001", &quick)]);
    let properties = [
        ("proxy.peer.max.inflight", "2"),
        ("proxy.max.inflight", "3"),
    ];
    let proxy = LoneProxy::start(&table, &properties).await;
    let client = proxy.intra().await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut client = client.clone();
        waiting.push(tokio::spawn(async move {
            client.unary_call(packet_to("10000", "x")).await
        }));
        slow.seen.recv().await.unwrap();
    }
    let over_load = "request was block by over load, service name: unaryCall";
    let refused = proxy.send(packet_to("10000", "y")).await;
    assert_eq!(refused, (624, over_load.to_owned()));
    assert_eq!(
        proxy.send(packet_to("10001", "z")).await,
        (0, "z".to_owned())
    );
    slow.answers.add_permits(2);
    for call in waiting {
        assert_eq!(outcome(call.await.unwrap()), (0, "x".to_owned()));
    }
}

#[tokio::test]
async fn a_service_has_so_many_places() {
    let mut slow = FakePeer::slow().await;
    let quick = FakePeer::quick().await;
    let table = routes(&[("10000", &slow), ("10001", &quick)]);
    let proxy = LoneProxy::start(&table, &[("proxy.max.inflight", "1")]).await;
    let mut client = proxy.intra().await;
    let waiting = tokio::spawn(async move { client.unary_call(packet_to("10000", "x")).await });
    slow.seen.recv().await.unwrap();
    assert_eq!(proxy.send(packet_to("10001", "z")).await.0, 624);
    slow.answers.add_permits(1);
    assert_eq!(outcome(waiting.await.unwrap()), (0, "x".to_owned()));
}

#[tokio::test]
async fn packets_that_go_in_circles_end() {
    let peer = FakePeer::quick().await;
    let one = LoneProxy::start(&routes(&[("1", &peer)]), &[]).await;
    let two = LoneProxy::start(
        &json!({"default": {"default": [address(one.proxy.inter_addr)]}}),
        &[],
    )
    .await;
    one.save_routes(&json!({"default": {"default": [address(two.proxy.inter_addr)]}}))
        .await;
    let (code, text) = one.send(packet_to("10000", "x")).await;
    assert!(code == 605 && text.contains("circles"), "{code} {text}");
}

#[tokio::test]
async fn each_lane_has_a_connection_until_the_route_is_taken_out() {
    let peer = FakePeer::quick().await;
    let proxy = LoneProxy::start(&routes(&[("10000", &peer)]), &[]).await;
    let connections = || {
        let port = format!(":{:04X}", peer.address.port());
        // Established, with the peer's port at the far end.
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let rows = table.lines().map(str::split_whitespace);
        let ends = rows.map(|mut row| (row.nth(2).unwrap_or("").to_owned(), row.next()));
        ends.filter(|(far, state)| far.ends_with(&port) && *state == Some("01"))
            .count()
    };
    // Clients come to the two lanes in turn.
    for expected in [1, 2, 2, 2] {
        assert_eq!(proxy.send(packet_to("10000", "x")).await.0, 0);
        assert_eq!(connections(), expected);
    }
    proxy.save_routes(&json!({"1": {}})).await;
    until("the connection is closed", async || connections() == 0).await;
    assert_eq!(proxy.send(packet_to("10000", "x")).await.0, 610);
}

#[tokio::test]
async fn other_parties_reach_packets_only() {
    let proxy = LoneProxy::start(&json!({}), &[]).await.proxy;
    let inter = format!("http://{}", proxy.inter_addr);
    let mut packets = DataTransferServiceClient::connect(inter.clone())
        .await
        .unwrap();
    let answer = packets.unary_call(packet_to("1", "x")).await;
    assert_eq!(outcome(answer).0, 610);
    let mut inference = InferenceServiceClient::connect(inter.clone())
        .await
        .unwrap();
    let refused = inference.inference(InferenceMessage::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    let mut common = CommonServiceClient::connect(inter.clone()).await.unwrap();
    let refused = common.list_props(QueryPropsRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
    let mut table = RouterTableServiceClient::connect(inter).await.unwrap();
    let refused = table.query_router(RouterOperatetRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn own_servers_reach_everything() {
    let peer = FakePeer::quick().await;
    let table =
        json!({"10000": {"serving": [address(peer.address), {"ip": "192.0.2.1", "port": 0}]}});
    let proxy = LoneProxy::start(&table, &[]).await;
    let intra = format!("http://{}", proxy.proxy.intra_addr);
    let mut common = CommonServiceClient::connect(intra.clone()).await.unwrap();

    let props = common
        .list_props(QueryPropsRequest::default())
        .await
        .unwrap()
        .into_inner();
    let props: Value = serde_json::from_slice(&props.data).unwrap();
    assert_eq!(props["currentVersion"], 216);
    assert!(
        props["proxy.router.table"]
            .as_str()
            .unwrap()
            .contains("10000")
    );

    let health = common
        .check_health_service(HealthCheckRequest::default())
        .await;
    let health: Value = serde_json::from_slice(&health.unwrap().into_inner().data).unwrap();
    let records = health["records"].as_array().unwrap();
    let found = |item: &str, status: &str| {
        let is_it = |record: &&Value| {
            record["checkItemName"] == item && record["healthCheckStatus"] == status
        };
        records
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{item} {status}: {health}"))
    };
    assert_eq!(
        found("check route_table.json exist", "ok")["msg"],
        "check router file : router info is found"
    );
    let reached = format!("127.0.0.1 {}: telneted", peer.address.port());
    assert_eq!(found("check router", "ok")["msg"], reached);
    found("check router", "error");

    let mut inference = InferenceServiceClient::connect(intra.clone())
        .await
        .unwrap();
    let answer = inference
        .inference(InferenceMessage::default())
        .await
        .unwrap();
    let answer: Value = serde_json::from_slice(&answer.into_inner().body).unwrap();
    assert_eq!(answer["retcode"], 110);
    assert_eq!((&answer["data"], &answer["flag"]), (&json!({}), &json!(0)));

    // A flow rule of 0 blocks, and what it blocked is counted under the resource's own name.
    let rule = UpdateFlowRuleRequest {
        source: "I_unaryCall".to_owned(),
        allow_qps: 0.0,
    };
    let set = common.update_flow_rule(rule).await.unwrap().into_inner();
    assert_eq!((set.status_code, set.message.as_str()), (0, "success"));
    until("blocked calls are counted", async || {
        assert_eq!(proxy.send(packet_to("10000", "x")).await.0, 624);
        let request = QueryMetricRequest {
            source: "I_unaryCall".to_owned(),
            end_ms: i64::MAX,
            ..QueryMetricRequest::default()
        };
        let mut common = common.clone();
        let samples = common.query_metrics(request).await.unwrap().into_inner();
        let samples: Value = serde_json::from_slice(&samples.data).unwrap_or_default();
        let mut samples = samples.as_array().into_iter().flatten();
        samples.any(|sample| sample["blockQps"].as_u64() > Some(0))
    })
    .await;
}

#[tokio::test]
async fn a_drain_answers_what_is_in_flight() {
    let mut peer = FakePeer::slow().await;
    let proxy = LoneProxy::start(&routes(&[("10000", &peer)]), &[]).await;
    let (mut client, mut late) = (proxy.intra().await, proxy.intra().await);
    let inter = proxy.proxy.inter_addr;
    let waiting = tokio::spawn(async move { client.unary_call(packet_to("10000", "x")).await });
    peer.seen.recv().await.unwrap();
    let draining = tokio::spawn(proxy.proxy.drain());
    let stopping = (611, "server is shutting down".to_owned());
    let mut refused = outcome(late.unary_call(packet_to("1", "x")).await);
    while refused != stopping {
        assert_eq!(refused.0, 610, "{refused:?}");
        refused = outcome(late.unary_call(packet_to("1", "x")).await);
    }
    peer.answers.add_permits(1);
    assert_eq!(outcome(waiting.await.unwrap()), (0, "x".to_owned()));
    draining.await.unwrap();
    assert!(TcpStream::connect(inter).await.is_err());
}

#[tokio::test]
async fn an_address_that_is_down_costs_nothing_while_another_is_up() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let down = address(gone.local_addr().unwrap());
    drop(gone);
    let peer = FakePeer::quick().await;
    let table = json!({"10000": {"serving": [down, address(peer.address), down]}});
    // The first is asked first.
    let proxy = LoneProxy::start(&table, &[("routeType", "consistent")]).await;
    for _ in 0..5 {
        assert_eq!(
            proxy.send(packet_to("10000", "x")).await,
            (0, "x".to_owned())
        );
    }
}
