use std::path::Path;

use fate_cache::{RedisCache, RedisError, RedisSettings, RedisTls};
use fate_testkit::{Redis, ServerFiles};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::{at, connected, get, put, settings, until};

/// An authority and a server's certificate for 127.0.0.1.
fn files(folder: &Path) -> ServerFiles {
    let written = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::from_params(&params, &authority_key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    ServerFiles {
        cert_chain: written("server.pem", certificate.pem()),
        private_key: written("server.key", key.serialize_pem()),
        ca: written("ca.pem", authority.pem()),
        asks_for_clients: false,
    }
}

fn secured(port: u16, ca: Option<&Path>) -> RedisSettings {
    RedisSettings {
        tls: Some(RedisTls {
            ca: ca.map(Path::to_owned),
        }),
        ..settings(at(port))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_authority_of_ones_own_and_with_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let Some(redis) = Redis::start_with_tls(&files) else {
        return;
    };
    let cache = connected(&secured(redis.port(), Some(&files.ca))).await;
    put(&cache, [1]);
    let mut found = Vec::new();
    for _ in 0..500 {
        found = get(&cache, [1]).await;
        if found[0].is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(found, [Some("{\"n\":1}".to_owned())]);

    // Neither one whose authority is not known, nor the clear.
    let strange = RedisCache::start(&secured(redis.port(), None)).unwrap();
    let clear = RedisCache::start(&settings(at(redis.port()))).unwrap();
    let started = std::time::Instant::now();
    until("they had their time", || started.elapsed().as_secs() >= 1).await;
    assert!(!strange.is_connected() && !clear.is_connected());
    assert_eq!(get(&clear, [1]).await, [None]);
}

#[tokio::test]
async fn a_missing_authority_is_said_at_start() {
    let missing = secured(1, Some(Path::new("/nowhere/ca.pem")));
    let error = RedisCache::start(&missing).unwrap_err();
    assert!(matches!(error, RedisError::Authority { .. }), "{error}");
}
