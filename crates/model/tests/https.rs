//! FATE-Flow behind TLS: a certificate counts only when its authority is trusted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]
#![allow(
    dead_code,
    unreachable_pub,
    reason = "a part of another suite's support"
)]

#[path = "models/golden.rs"]
mod golden;

use std::net::SocketAddr;
use std::sync::Arc;

use fate_model::{Models, Settings};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Serves the guest's buffers under a certificate of its own; returns the address and the certificate as PEM.
async fn endpoint() -> (SocketAddr, String) {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certified.cert.der().clone()],
            PrivateKeyDer::Pkcs8(key),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let body = golden::transfer_json(&golden::guest().buffers);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the certificate goes away.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut seen = Vec::new();
            while !seen.ends_with(b"}") {
                let mut part = [0; 1024];
                let read = stream.read(&mut part).await.unwrap();
                assert!(read > 0, "the request is cut off");
                seen.extend_from_slice(&part[..read]);
            }
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(body.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (address, certified.cert.pem())
}

#[tokio::test]
async fn only_a_trusted_certificate_counts() {
    let (address, certificate) = endpoint().await;
    let url = format!("https://{address}/v1/model/transfer");
    let request = golden::load_request(&golden::guest(), "FATEFLOW", &url);

    let folder = tempfile::tempdir().unwrap();
    let (models, _) = Models::open(Settings::new(folder.path())).await.unwrap();
    let fault = models.load(&request).await.unwrap_err();
    assert_eq!(fault.code.0, 123);
    assert!(fault.message.contains("certificate"), "{fault}");

    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certificate).unwrap();
    let trusting = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(trusting.path());
    settings.transfer_ca = Some(ca.clone());
    let (models, _) = Models::open(settings.clone()).await.unwrap();
    let loaded = models.load(&request).await.unwrap();
    assert_eq!(loaded.note, None);

    std::fs::write(&ca, "nothing").unwrap();
    let other = tempfile::tempdir().unwrap();
    settings.cache_path = other.path().to_owned();
    let (models, _) = Models::open(settings).await.unwrap();
    let fault = models.load(&request).await.unwrap_err();
    assert!(fault.message.contains("model.transfer.ca"), "{fault}");
}
