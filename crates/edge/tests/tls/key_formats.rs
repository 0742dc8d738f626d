//! Keys as PKCS#8, PKCS#1 and SEC1.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_RSA_SHA256};

use super::certificates::{Authority, Files, Pair};
use super::{call, listen};

/// The key inside a PKCS#8 document, which is a sequence of a version, an algorithm and the key.
fn inside_pkcs8(document: &[u8]) -> &[u8] {
    let (_, document) = element(document);
    let mut rest = document;
    loop {
        let (tag, content) = element(rest);
        if tag == 4 {
            return content;
        }
        let end = content.as_ptr_range().end;
        let skipped = end as usize - rest.as_ptr() as usize;
        rest = &rest[skipped..];
    }
}

/// Tag and content of the first DER element.
fn element(der: &[u8]) -> (u8, &[u8]) {
    let (length, start) = match der[1] {
        short @ ..0x80 => (usize::from(short), 2),
        long => {
            let bytes = usize::from(long & 0x7f);
            let length = der[2..2 + bytes]
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, 2 + bytes)
        }
    };
    (der[0], &der[start..start + length])
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

async fn is_served(authority: &Authority, own: &Pair) {
    let server = listen(&Files::new(own, authority).of_server()).await;
    let client = Files::new(own, authority);
    call(&server, &client.of_client(), None).await.unwrap();
}

#[tokio::test]
async fn sec1() {
    let authority = Authority::new();
    let mut own = authority.issue("127.0.0.1");
    let key = KeyPair::from_pem(&own.key).unwrap();
    own.key = pem("EC PRIVATE KEY", inside_pkcs8(key.serialized_der()));
    is_served(&authority, &own).await;
}

#[tokio::test]
async fn rsa_as_pkcs8_and_as_pkcs1() {
    let authority = Authority::new();
    let text = include_str!("rsa_for_tests.pem");
    let key = KeyPair::from_pem_and_sign_algo(text, &PKCS_RSA_SHA256).unwrap();
    let inside = pem("RSA PRIVATE KEY", inside_pkcs8(key.serialized_der()));
    let mut own = authority.issue_for("127.0.0.1", key, 2099);
    is_served(&authority, &own).await;
    own.key = inside;
    is_served(&authority, &own).await;
}
