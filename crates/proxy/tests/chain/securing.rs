//! What happens where one side is secured and the other is not, or where files are missing.

use std::sync::Arc;

use fate_proxy::{Config, Proxy, StartError};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Files};
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

/// Answers every request with a packet, over TLS with a certificate of its own and without asking for one.
async fn https_peer(files: &Files) -> u16 {
    let certificates = CertificateDer::pem_file_iter(&files.chain).unwrap();
    let certificates = certificates.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let Ok(mut connection) = acceptor.accept(connection).await else {
                continue;
            };
            let mut request = vec![0; 64 << 10];
            let count = connection.read(&mut request).await.unwrap();
            let head = String::from_utf8_lossy(&request[..count]).to_lowercase();
            assert!(head.starts_with("post /unary http/1.1"), "{head}");
            assert!(!head.contains("content-encoding"), "{head}");
            let body = r#"{"body":{"value":"aGVsbG8="}}"#;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn an_https_route_checks_whom_it_talks_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let files = authority.issue(folders[0].path());
    let others = other.issue(folders[1].path());
    let port = https_peer(&files).await;
    let route = |ca: &Files| {
        let url = format!("https://127.0.0.1:{port}/unary");
        json!({"serving": [{"url": url, "caFile": ca.ca.to_str().unwrap()}]})
    };
    let table = json!({"1": route(&files), "2": route(&others)});
    let asking = LoneProxy::start(&table, &[]).await;
    let hello = (0, "hello".to_owned());
    assert_eq!(asking.send(packet_to("1", "x")).await, hello);
    let refused = (621, "receive invalid http response".to_owned());
    assert_eq!(asking.send(packet_to("2", "x")).await, refused);
}
