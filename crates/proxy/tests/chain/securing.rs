//! What happens where one side is secured and the other is not, or where files are missing.

use fate_proxy::{Config, Proxy, StartError};
use serde_json::json;

use crate::certificates::Authority;
use crate::lone_proxy::{LoneProxy, packet_to};
use crate::parties::address;

#[tokio::test]
async fn a_secured_port_answers_nobody_in_the_clear() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = authority.issue(folder.path());
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (ca, chain, key) = (text(&files.ca), text(&files.chain), text(&files.key));
    let secured = LoneProxy::start(
        &json!({}),
        &[
            ("proxy.grpc.inter.negotiationType", "TLS"),
            ("proxy.grpc.inter.CA.file", &ca),
            ("proxy.grpc.inter.server.certChain.file", &chain),
            ("proxy.grpc.inter.server.privateKey.file", &key),
        ],
    )
    .await;
    let inter = address(secured.proxy.inter_addr);
    let mut with_tls = inter.clone();
    with_tls["useSSL"] = true.into();
    with_tls["caFile"] = ca.as_str().into();
    let mut with_identity = with_tls.clone();
    with_identity["certChainFile"] = chain.as_str().into();
    with_identity["privateKeyFile"] = key.as_str().into();
    let mut with_lost_files = with_identity.clone();
    with_lost_files["privateKeyFile"] = "/nonexistent/key.pem".into();
    let asking = LoneProxy::start(
        &json!({
            "1": {"serving": [inter]},
            "2": {"serving": [with_tls]},
            "3": {"serving": [with_identity]},
            "4": {"serving": [with_lost_files]},
        }),
        &[],
    )
    .await;
    for party_id in ["1", "2", "4"] {
        let (code, text) = asking.send(packet_to(party_id, "x")).await;
        assert_eq!(code, 605, "{party_id}: {text}");
        assert!(!text.contains("nonexistent"), "{text}");
    }
    // The secured proxy is reached; it has no route for the party.
    assert_eq!(asking.send(packet_to("3", "x")).await.0, 610);
}

#[tokio::test]
async fn a_port_that_cannot_be_secured_is_not_opened() {
    let config = Config::from_pairs([
        ("server.port", "-1"),
        ("proxy.grpc.intra.port", "0"),
        ("proxy.grpc.inter.port", "0"),
        ("useZkRouter", "false"),
        ("proxy.grpc.inter.negotiationType", "TLS"),
        ("proxy.grpc.inter.CA.file", "/nonexistent/ca.pem"),
        (
            "proxy.grpc.inter.server.certChain.file",
            "/nonexistent/chain.pem",
        ),
        (
            "proxy.grpc.inter.server.privateKey.file",
            "/nonexistent/key.pem",
        ),
    ]);
    let refused = match config {
        Ok(config) => Proxy::start(config).await.unwrap_err(),
        // Said even earlier.
        Err(_) => return,
    };
    assert!(matches!(refused, StartError::Tls(_)), "{refused}");
}
