//! `auth.open` at the ports: who is let in, and what leaves (contract 04 A.6, F.1 S11 and S12).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fate_proto::proxy::data_transfer_service_client::DataTransferServiceClient;
use fate_proto::proxy::{AuthInfo, Packet};
use fate_proxy::packet_json::{signed_body, signed_header, write_packet};
use hmac::{Hmac, Mac as _};
use serde_json::json;
use sha1::Sha1;
use tempfile::TempDir;

use crate::asking::post;
use crate::fake_peer::FakePeer;
use crate::lone_proxy::{LoneProxy, outcome, packet_to};
use crate::parties::address;

/// Party 9999's keys; 10000 and 10001 are other parties.
fn keys(folder: &TempDir, own: &str) -> String {
    let path = folder.path().join("auth_config.json");
    let file = json!({
        "self_party_id": own, "request_expire_seconds": 30, "if_use_auth": true,
        "access_keys": [
            {"party_id": "9999", "app_key": "Key9999", "app_secret": "secret 9999"},
            {"party_id": "10000", "app_key": "Key10000", "app_secret": "secret 10000"},
            {"party_id": "10001", "app_key": "Key10001", "app_secret": "secret 10001"},
        ],
    });
    std::fs::write(&path, file.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Party 10000's packet for party 9999.
fn from_other(body: &str) -> Packet {
    let mut packet = packet_to("9999", body.to_owned());
    let source = packet.header.as_mut().unwrap().src.as_mut().unwrap();
    source.party_id = "10000".to_owned();
    packet
}

fn signature(packet: &Packet, timestamp: i64, secret: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).unwrap();
    let text = format!(
        "{timestamp}\n{}\n{}",
        signed_header(packet),
        signed_body(packet)
    );
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn signed(mut packet: Packet, timestamp: i64, app_key: &str, secret: &str) -> Packet {
    packet.auth = Some(AuthInfo {
        timestamp,
        app_key: app_key.to_owned(),
        signature: signature(&packet, timestamp, secret),
        ..AuthInfo::default()
    });
    packet
}

fn with(mut packet: Packet, change: impl FnOnce(&mut AuthInfo)) -> Packet {
    change(packet.auth.as_mut().unwrap());
    packet
}

async fn send_to_inter(proxy: &LoneProxy, packet: Packet) -> (i64, String) {
    let to = format!("http://{}", proxy.proxy.inter_addr);
    let client = DataTransferServiceClient::connect(to).await;
    outcome(client.unwrap().unary_call(packet).await)
}

#[tokio::test]
async fn other_parties_are_let_in_once_with_their_own_key() {
    let (peer, folder) = (FakePeer::quick().await, tempfile::tempdir().unwrap());
    let routes = json!({"9999": {"serving": [address(peer.address)]}});
    let file = keys(&folder, "9999");
    let proxy = LoneProxy::start(&routes, &[("auth.open", "true"), ("auth.file", &file)]).await;
    let now = now_ms();
    let right = signed(from_other("once"), now, "Key10000", "secret 10000");
    assert_eq!(
        send_to_inter(&proxy, right.clone()).await,
        (0, "once".to_owned())
    );

    let forged = |body: &str| signed(from_other(body), now, "Key10000", "secret 10000");
    let mut other_body = forged("a");
    other_body.body = from_other("b").body;
    let mut other_source = forged("c");
    other_source
        .header
        .as_mut()
        .unwrap()
        .src
        .as_mut()
        .unwrap()
        .party_id = "10001".to_owned();
    let mut unknown_party = forged("d");
    unknown_party
        .header
        .as_mut()
        .unwrap()
        .src
        .as_mut()
        .unwrap()
        .party_id = "10000 ".to_owned();
    let minute = 60_000;
    let refused = [
        ("a repetition", right.clone()),
        (
            "a repetition in other clothes",
            with(right, |auth| {
                auth.nonce = "other".to_owned();
                auth.apply_id = "other".to_owned();
            }),
        ),
        ("nothing", from_other("e")),
        (
            "an unknown key without signature",
            with(forged("f"), |auth| {
                auth.app_key = "Key1".to_owned();
                auth.signature.clear();
            }),
        ),
        (
            "no key, no signature",
            with(forged("g"), |auth| {
                auth.app_key.clear();
                auth.signature.clear();
            }),
        ),
        (
            "no signature",
            with(forged("h"), |auth| auth.signature.clear()),
        ),
        (
            "a key in other letters",
            with(forged("i"), |auth| auth.app_key = "KEY10000".to_owned()),
        ),
        (
            "a signature in other letters",
            with(forged("j"), |auth| {
                auth.signature = auth.signature.to_lowercase();
            }),
        ),
        (
            "a signature with blanks",
            with(forged("k"), |auth| auth.signature.push(' ')),
        ),
        (
            "another party's key",
            signed(from_other("l"), now, "Key10001", "secret 10001"),
        ),
        (
            "this party's own key",
            signed(from_other("m"), now, "Key9999", "secret 9999"),
        ),
        (
            "the past",
            signed(from_other("n"), now - minute, "Key10000", "secret 10000"),
        ),
        (
            "the future",
            signed(from_other("o"), now + minute, "Key10000", "secret 10000"),
        ),
        (
            "the end of time",
            signed(from_other("p"), i64::MAX, "Key10000", "secret 10000"),
        ),
        (
            "another time",
            with(forged("q"), |auth| auth.timestamp += 1),
        ),
        ("another body", other_body),
        ("another source", other_source),
        ("a source with a blank", unknown_party),
    ];
    let failed = (629, "check authentication failed".to_owned());
    let http = proxy.proxy.http_addr.unwrap();
    for (what, packet) in refused {
        assert_eq!(
            send_to_inter(&proxy, packet.clone()).await,
            failed,
            "{what}"
        );
        let answer = post(http, "/unary", &write_packet(&packet)).await;
        let code = STANDARD.encode(r#"{"retcode":629,"retmsg":"check authentication failed"}"#);
        assert!(answer.contains(&code), "{what}: {answer}");
    }
    // The two ways share one memory.
    let over_http = forged("r");
    let answer = post(http, "/unary", &write_packet(&over_http)).await;
    assert!(answer.contains(&STANDARD.encode("r")), "{answer}");
    assert_eq!(send_to_inter(&proxy, over_http).await, failed);
}

#[tokio::test]
async fn what_leaves_is_signed_with_this_party_s_key() {
    let (peer, folder) = (FakePeer::quick().await, tempfile::tempdir().unwrap());
    let routes = json!({"10000": {"serving": [address(peer.address)]}});
    let file = keys(&folder, "9999");
    let proxy = LoneProxy::start(&routes, &[("auth.open", "true"), ("auth.file", &file)]).await;
    let sent = packet_to("10000", "<&>'=");
    let answer = proxy.intra().await.unary_call(sent.clone()).await;
    // The peer gave back what it got.
    let received = answer.unwrap().into_inner();
    assert_eq!(
        (&received.header, &received.body),
        (&sent.header, &sent.body)
    );
    let auth = received.auth.unwrap();
    assert_eq!(auth.app_key, "Key9999");
    assert!((auth.timestamp - now_ms()).abs() < 30_000);
    assert_eq!(
        auth.signature,
        signature(&sent, auth.timestamp, "secret 9999")
    );
}

#[tokio::test]
async fn without_a_key_nothing_leaves() {
    let (peer, folder) = (FakePeer::quick().await, tempfile::tempdir().unwrap());
    let routes = json!({"10000": {"serving": [address(peer.address)]}});
    let file = keys(&folder, "7");
    let missing = folder.path().join("none.json");
    for file in [file.as_str(), missing.to_str().unwrap()] {
        let proxy = LoneProxy::start(&routes, &[("auth.open", "true"), ("auth.file", file)]).await;
        let answer = proxy.send(packet_to("10000", "x")).await;
        assert_eq!(answer, (629, "add auth info error".to_owned()));
    }
    assert_eq!(peer.given_up(), 0);
}
