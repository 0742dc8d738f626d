//! What strangers may send to the ports: each gets an answer or an end, and nobody else notices.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fate_proto::proxy::{Metadata, Packet, Topic};
use hyper::Method;
use prost::Message as _;
use serde_json::{Value, json};

use crate::asking::http;
use crate::fake_peer::FakePeer;
use crate::lone_proxy::{LoneProxy, packet_to, until};
use crate::parties::address;
use crate::raw::{Raw, UNARY_CALL, exchange, framed};

async fn proxy_to(peer: &FakePeer, properties: &[(&str, &str)]) -> LoneProxy {
    let routes = json!({"10000": {"serving": [address(peer.address)]}});
    LoneProxy::start(&routes, properties).await
}

async fn ready(proxy: &LoneProxy) -> Value {
    let (_, text) = http(
        proxy.proxy.http_addr.unwrap(),
        Method::GET,
        "/ready",
        &[],
        "",
    )
    .await;
    serde_json::from_str(&text).unwrap()
}

/// A proper packet passes, and nothing of what came before is held.
async fn assert_unharmed(proxy: &LoneProxy, at: SocketAddr) {
    let packet = packet_to("10000", "proper");
    let sent = framed(&packet.encode_to_vec());
    let answer = Raw::connect(at)
        .await
        .call(UNARY_CALL, &[], sent)
        .await
        .unwrap();
    assert_eq!(answer.grpc_status.as_deref(), Some("0"), "{answer:?}");
    assert_eq!(Packet::decode(&answer.message[..]).unwrap(), packet);
    until("nothing is held", async || {
        let state = ready(proxy).await;
        state["inFlight"] == 0 && state["heldBytes"] == 0
    })
    .await;
}

#[tokio::test]
async fn frames_that_are_no_message() {
    let peer = FakePeer::quick().await;
    let proxy = proxy_to(&peer, &[]).await;
    let packet = packet_to("10000", "x").encode_to_vec();
    let mut compressed = framed(&packet);
    compressed[0] = 1;
    let mut trailing = framed(&packet);
    trailing.extend_from_slice(b"garbage");
    let two = [framed(&packet), framed(&packet)].concat();
    let mut short = framed(&packet);
    short.pop();
    let cases = [
        ("empty", Vec::new(), "13"),
        ("half a prefix", vec![0, 0], "13"),
        ("compressed", compressed, "12"),
        ("trailing garbage", trailing, "13"),
        ("two messages", two, "13"),
        ("broken off", short, "13"),
        ("4 GiB", vec![0, 0xff, 0xff, 0xff, 0xff, 1], "11"),
        ("no packet", framed(b"\x0a\xff\xff\xff\xff\x0f"), "13"),
        ("a group without an end", framed(&[0x0b; 200]), "13"),
    ];
    for at in [proxy.proxy.inter_addr, proxy.proxy.intra_addr] {
        let raw = Raw::connect(at).await;
        for (what, body, expected) in &cases {
            let answer = raw.call(UNARY_CALL, &[], body.clone()).await.unwrap();
            assert_eq!(
                answer.grpc_status.as_deref(),
                Some(*expected),
                "{what}: {answer:?}"
            );
        }
        let odd_paths = [
            "/",
            "/x",
            "/com.webank.ai.fate.api.networking.proxy.DataTransferService/",
            "*",
        ];
        for path in &odd_paths[..3] {
            let answer = raw.call(path, &[], framed(&packet)).await.unwrap();
            assert_eq!(
                answer.grpc_status.as_deref(),
                Some("12"),
                "{path}: {answer:?}"
            );
        }
        assert_unharmed(&proxy, at).await;
    }
}

#[tokio::test]
async fn absurd_timeouts() {
    let peer = FakePeer::quick().await;
    let proxy = proxy_to(&peer, &[]).await;
    let raw = Raw::connect(proxy.proxy.inter_addr).await;
    let packet = packet_to("10000", "x");
    let started = Instant::now();
    for (timeout, is_answered) in [
        ("0n", false),
        ("0H", false),
        ("1n", false),
        ("99999999H", true),
        ("999999999999999999999S", true),
        ("-5S", true),
        ("5", true),
        ("S", true),
        ("nonsense", true),
        ("", true),
    ] {
        let sent = framed(&packet.encode_to_vec());
        let answer = raw
            .call(UNARY_CALL, &[("grpc-timeout", timeout)], sent)
            .await;
        let answer = answer.unwrap();
        let status = answer.grpc_status.as_deref();
        let answered = Packet::decode(&answer.message[..]).unwrap();
        if is_answered {
            assert_eq!((status, answered), (Some("0"), packet.clone()), "{timeout}");
        } else if status == Some("0") {
            let body = answered.body.unwrap().value;
            let late = format!(
                r#"{{"retcode":605,"retmsg":"grpc unaryCall error {}"}}"#,
                peer.address
            );
            assert_eq!(body, late, "{timeout}");
        } else {
            // The end of the call itself: CANCELLED, or DEADLINE_EXCEEDED.
            assert!(matches!(status, Some("1" | "4")), "{timeout}: {answer:?}");
        }
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_unharmed(&proxy, proxy.proxy.inter_addr).await;
}

#[tokio::test]
async fn heads_of_a_megabyte() {
    let peer = FakePeer::quick().await;
    let proxy = proxy_to(&peer, &[]).await;
    let long = "x".repeat(1 << 20);
    let raw = Raw::connect(proxy.proxy.inter_addr).await;
    let sent = framed(&packet_to("10000", "x").encode_to_vec());
    if let Ok(answer) = raw.call(UNARY_CALL, &[("x-long", &long)], sent).await {
        assert_ne!(answer.grpc_status.as_deref(), Some("0"));
    }
    let head = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n");
    let answer = exchange(proxy.proxy.http_addr.unwrap(), head.as_bytes(), false).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    let many = "a: b\r\n".repeat(10_000);
    let head = format!("GET /livez HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    let answer = exchange(proxy.proxy.http_addr.unwrap(), head.as_bytes(), false).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    assert_unharmed(&proxy, proxy.proxy.inter_addr).await;
}

#[tokio::test]
async fn names_of_megabytes_do_not_come_back() {
    let peer = FakePeer::quick().await;
    let proxy = proxy_to(&peer, &[]).await;
    // Six characters each in JSON.
    let long = "\u{1}".repeat(5 << 20);
    let topic = |party_id: &str, role: &str| {
        Some(Topic {
            name: long.clone(),
            party_id: party_id.to_owned(),
            role: role.to_owned(),
            callback: None,
        })
    };
    for (party_id, role) in [(long.as_str(), "serving"), ("10000", long.as_str())] {
        let packet = Packet {
            header: Some(Metadata {
                src: topic(party_id, ""),
                dst: topic(party_id, role),
                ..Metadata::default()
            }),
            ..Packet::default()
        };
        let raw = Raw::connect(proxy.proxy.inter_addr).await;
        let sent = framed(&packet.encode_to_vec());
        let answer = raw.call(UNARY_CALL, &[], sent).await.unwrap();
        let body = Packet::decode(&answer.message[..])
            .unwrap()
            .body
            .unwrap()
            .value;
        assert!(
            body.starts_with(br#"{"retcode":610,"#),
            "{} bytes",
            body.len()
        );
        assert!(body.len() < 4096, "{} bytes", body.len());
    }
    assert_unharmed(&proxy, proxy.proxy.inter_addr).await;
}

#[tokio::test]
async fn streams_that_are_begun_and_given_up() {
    let mut peer = FakePeer::slow().await;
    let proxy = proxy_to(&peer, &[]).await;
    let at = proxy.proxy.inter_addr;
    let sent = framed(&packet_to("10000", "x").encode_to_vec());
    // Some connections are ended for it; that is as good.
    for _ in 0..10 {
        let raw = Raw::connect(at).await;
        for _ in 0..200 {
            let Ok((response, mut body)) = raw.begin(UNARY_CALL, &[]).await else {
                break;
            };
            let _ = body.send_data(sent.clone().into(), true);
            body.send_reset(h2::Reason::CANCEL);
            drop(response);
        }
    }
    // Streams that never say more than their head.
    let raw = Raw::connect(at).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(raw.begin(UNARY_CALL, &[]).await.unwrap());
    }
    peer.answers.add_permits(1_000_000);
    assert_unharmed(&proxy, at).await;
    drop(silent);
    peer.seen.close();
}

#[tokio::test]
async fn strangers_take_no_place_of_this_party_s_servers() {
    let mut peer = FakePeer::slow().await;
    let proxy = proxy_to(&peer, &[("proxy.max.inflight", "1")]).await;
    let raw = Raw::connect(proxy.proxy.inter_addr).await;
    let sent = framed(&packet_to("10000", "x").encode_to_vec());
    let (first, mut body) = raw.begin(UNARY_CALL, &[]).await.unwrap();
    body.send_data(sent.clone().into(), true).unwrap();
    peer.seen.recv().await.unwrap();
    let refused = raw.call(UNARY_CALL, &[], sent).await.unwrap();
    let refused = Packet::decode(&refused.message[..])
        .unwrap()
        .body
        .unwrap()
        .value;
    let over_load =
        r#"{"retcode":624,"retmsg":"request was block by over load, service name: unaryCall"}"#;
    assert_eq!(refused, over_load);
    let own = async {
        peer.seen.recv().await.unwrap();
        peer.answers.add_permits(2);
    };
    let (answer, ()) = tokio::join!(proxy.send(packet_to("10000", "own")), own);
    assert_eq!(answer, (0, "own".to_owned()));
    first.await.unwrap();
}

#[tokio::test]
async fn strangers_hold_no_more_than_their_part_of_the_bytes() {
    let peer = FakePeer::quick().await;
    let limits = [
        ("proxy.max.message.bytes", "65536"),
        ("proxy.max.body.bytes", "131072"),
    ];
    let proxy = proxy_to(&peer, &limits).await;
    let packet = packet_to("10000", vec![7; 50_000]);
    let sent = framed(&packet.encode_to_vec());
    let raw = Raw::connect(proxy.proxy.inter_addr).await;
    let (unfinished, mut body) = raw.begin(UNARY_CALL, &[]).await.unwrap();
    body.send_data(sent[..sent.len() - 1].to_vec().into(), false)
        .unwrap();
    until("most of it has come", async || {
        ready(&proxy).await["heldBytes"].as_u64() > Some(50_000)
    })
    .await;
    let refused = raw.call(UNARY_CALL, &[], sent).await.unwrap();
    assert_eq!(refused.grpc_status.as_deref(), Some("8"), "{refused:?}");
    assert!(
        refused.grpc_message.contains("over%20load") || refused.grpc_message.contains("over load")
    );
    let own = proxy.intra().await.unary_call(packet.clone()).await;
    assert!(own.unwrap().into_inner() == packet);
    drop((unfinished, body));
    assert_unharmed(&proxy, proxy.proxy.inter_addr).await;
}

#[tokio::test]
async fn http_that_is_not_what_it_says() {
    let peer = FakePeer::quick().await;
    let proxy = proxy_to(&peer, &[("proxy.async.timeout", "500")]).await;
    let at = proxy.proxy.http_addr.unwrap();
    let post = "POST /federation/v1/inference HTTP/1.1\r\nHost: x\r\n";
    let count = |answer: &str| answer.matches("HTTP/1.1 ").count();
    let system_error = r#"{"code":110,"message":"SYSTEM_ERROR"}"#;

    // Two lengths: whoever is in front may have believed the other one.
    let two = format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}x");
    let answer = exchange(at, two.as_bytes(), true).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && count(&answer) == 1,
        "{answer}"
    );

    // A length and chunks: the hidden request must not be answered as a second one.
    let hidden = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    let both = format!(
        "{post}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}",
        5 + hidden.len()
    );
    let answer = exchange(at, both.as_bytes(), false).await;
    assert!(count(&answer) == 1, "{answer}");

    // More was announced than comes.
    let short = format!("{post}Content-Length: 100\r\nConnection: close\r\n\r\n{{}}");
    let answer = exchange(at, short.as_bytes(), false).await;
    assert!(answer.ends_with(system_error), "{answer}");
    let answer = exchange(at, short.as_bytes(), true).await;
    assert!(
        count(&answer) <= 1 && !answer.contains("\"retcode\":0"),
        "{answer}"
    );

    // HTTP/2 is told in its own language that this is not its port: SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED.
    let answer = exchange(at, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true).await;
    assert!(answer.contains("this port speaks HTTP/1.1"), "{answer}");

    for odd in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /unary HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /unary HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /unary HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
    ] {
        let answer = exchange(at, odd, true).await;
        // The one with endless chunks is a request; what it was for never comes.
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(
            is_refused || count(&answer) == 1 && answer.contains("value"),
            "{answer}"
        );
    }

    // No second protocol behind this port.
    let upgrade = "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let answer = exchange(at, upgrade.as_bytes(), false).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && count(&answer) == 1,
        "{answer}"
    );

    for path in [
        "/federation/..%2f..%2f..%2fetc%2fpasswd/inference",
        "/federation/%2e%2e/inference",
        "/federation/v1%00/inference",
        "/federation/\u{e4}/inference",
        "/proxy/alterSysLogLevel/..%2f..%2fx",
        "//etc/passwd",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = exchange(at, request.as_bytes(), false).await;
        let is_plain = ["HTTP/1.1 200 ", "HTTP/1.1 404 ", "HTTP/1.1 400 "];
        assert!(
            is_plain.iter().any(|start| answer.starts_with(start)),
            "{path}: {answer}"
        );
        assert!(!answer.contains("root:"), "{path}: {answer}");
    }
    assert_unharmed(&proxy, proxy.proxy.inter_addr).await;
}

#[tokio::test]
async fn objects_of_a_million_members() {
    let peer = FakePeer::quick().await;
    let proxy = proxy_to(&peer, &[]).await;
    let members: Vec<String> = (0..1_000_000)
        .map(|name| format!("\"{name:x}\":0"))
        .collect();
    let object = format!("{{{}}}", members.join(","));
    let at = proxy.proxy.http_addr.unwrap();
    for (path, body, expected) in [
        (
            "/federation/v1/inference",
            format!(r#"{{"head":{{}},"body":{object}}}"#),
            "SYSTEM_ERROR",
        ),
        ("/unary", object.clone(), "body"),
    ] {
        let (status, answer) = http(at, Method::POST, path, &[], &body).await;
        assert!(
            status == 200 && answer.contains(expected),
            "{path}: {answer}"
        );
    }
    // A model that is looked for in such a body is not found.
    let mut packet = packet_to("10000", object);
    packet.header.as_mut().unwrap().operator.clear();
    let sent = framed(&packet.encode_to_vec());
    let raw = Raw::connect(proxy.proxy.inter_addr).await;
    let answer = raw.call(UNARY_CALL, &[], sent).await.unwrap();
    assert_eq!(answer.grpc_status.as_deref(), Some("0"));
    assert_unharmed(&proxy, proxy.proxy.inter_addr).await;
}

#[tokio::test]
#[ignore = "takes two minutes"]
async fn who_takes_no_answer_loses_the_connection() {
    let peer = FakePeer::quick().await;
    let proxy = proxy_to(&peer, &[]).await;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(0);
    let raw = Raw::with(&builder, proxy.proxy.inter_addr).await;
    let sent = framed(&packet_to("10000", "x").encode_to_vec());
    let (answer, mut body) = raw.begin(UNARY_CALL, &[]).await.unwrap();
    body.send_data(sent.into(), true).unwrap();
    let mut answer = answer.await.unwrap().into_body();
    let ended = tokio::time::timeout(Duration::from_secs(150), answer.data()).await;
    assert!(!matches!(ended.unwrap(), Some(Ok(_))));
}
