//! Sources over TLS: servers that let nobody in but with a certificate of their authority, and callers that bring other
//! ones, or none.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fate_features::{
    ClientIdentity, FeatureSource as _, REDIS_SCHEMES, RedisForm, ServerUrl, Settings, SourceKind,
    SourceSet, TlsSettings, single_source,
};
use fate_testkit::{Database, Redis, ServerFiles};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::contract::{self, Place, ids, set, settings, text};
use crate::http::{Service, rows};
use crate::mysql::MariaDbPlace;
use crate::postgresql::PostgreSqlPlace;

/// Certificates of one authority, in a folder.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    /// The server's is for 127.0.0.1, not for localhost.
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Nobody is to be taken for somebody else because he has the same name.
        params.distinguished_name = named(&files.folder.path().display().to_string());
        let authority = params.self_signed(&authority_key).unwrap();
        files.write("ca.pem", &authority.pem());
        let issuer = Issuer::from_params(&params, &authority_key);
        let signed = |name: &str, subject: &str, key: &KeyPair| {
            let mut params = CertificateParams::new(vec![subject.to_owned()]).unwrap();
            params.distinguished_name = named(name);
            files.write(
                &format!("{name}.pem"),
                &params.signed_by(key, &issuer).unwrap().pem(),
            );
            files.write(&format!("{name}.key"), &key.serialize_pem());
        };
        signed("server", "127.0.0.1", &KeyPair::generate().unwrap());
        signed("client", "client", &KeyPair::generate().unwrap());
        // Which is the kind of key that all sources take.
        signed("rsa", "client", &rsa_key());
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn of_server(&self) -> ServerFiles {
        ServerFiles {
            cert_chain: self.path("server.pem"),
            private_key: self.path("server.key"),
            ca: self.path("ca.pem"),
            asks_for_clients: true,
        }
    }

    /// Trusts this authority, and shows a certificate of it.
    fn of_client(&self, name: &str) -> TlsSettings {
        TlsSettings {
            ca: Some(self.path("ca.pem")),
            identity: Some(ClientIdentity {
                certificate: self.path(&format!("{name}.pem")),
                key: self.path(&format!("{name}.key")),
            }),
        }
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// rcgen signs with those and makes none.
fn rsa_key() -> KeyPair {
    let made = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt"])
        .arg("rsa_keygen_bits:2048")
        .output();
    let made = made.expect("openssl makes a key");
    KeyPair::from_pem(&String::from_utf8(made.stdout).unwrap()).unwrap()
}

fn port_of(address: &str) -> &str {
    address.rsplit_once(':').unwrap().1
}

/// Who is let in, and who is not and why. `kind` is the source at an address with these settings of TLS.
async fn only_the_right_ones_get_in(
    files: &Files,
    client: &str,
    address: &str,
    row: &str,
    kind: impl Fn(&str, Option<TlsSettings>) -> SourceKind,
) {
    let ask = async |address: &str, tls: Option<TlsSettings>| {
        let set = set(&[settings("it", kind(address, tls))]);
        let (shown, row) = (format!("{set:?}"), text(set.fetch(&ids("a")).await));
        assert!(
            !shown.contains("pa:ss") && !shown.contains("PRIVATE"),
            "{shown}"
        );
        row
    };
    let strangers = Files::new();
    let good = files.of_client(client);
    assert_eq!(ask(address, Some(good.clone())).await.as_deref(), Ok(row));

    let elsewhere = format!("localhost:{}", port_of(address));
    let unknown_server = TlsSettings {
        ca: strangers.of_client(client).ca,
        ..good.clone()
    };
    let unknown_client = TlsSettings {
        identity: strangers.of_client(client).identity,
        ..good.clone()
    };
    let nobody = TlsSettings {
        identity: None,
        ..good.clone()
    };
    let system = TlsSettings {
        ca: None,
        ..good.clone()
    };
    for (address, tls, cause) in [
        (elsewhere.as_str(), Some(good), "not valid for name"),
        (address, Some(unknown_server), "UnknownIssuer"),
        (address, Some(system), "UnknownIssuer"),
        (address, Some(unknown_client), ""),
        (address, Some(nobody), ""),
        (address, None, ""),
    ] {
        let (code, message) = ask(address, tls).await.expect_err(cause);
        assert_eq!(code, 102, "{message}");
        assert!(message.contains("feature source it: "), "{message}");
        assert!(message.contains(cause), "{message} without {cause}");
        assert!(!message.contains("pa:ss"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql() {
    let files = Files::new();
    let Some(server) = Database::postgresql_with_tls(&files.of_server()) else {
        return;
    };
    let mut place = PostgreSqlPlace::secured(server, &files.of_client("client"));
    let row = r#"{"x0":1.5,"x1":"text"}"#;
    let address = place.address();
    only_the_right_ones_get_in(&files, "client", &address, row, |address, tls| {
        place.kind_with(address, tls)
    })
    .await;
    contract::holds(&mut place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    let files = Files::new();
    let Some(server) = Database::mariadb_with_tls(&files.of_server()) else {
        return;
    };
    let mut place = MariaDbPlace::secured(server, &files.of_client("rsa"));
    let row = r#"{"x0":1.5,"x1":"text"}"#;
    let address = place.address();
    only_the_right_ones_get_in(&files, "rsa", &address, row, |address, tls| {
        place.kind_with(address, tls)
    })
    .await;
    contract::holds(&mut place).await;

    // Its client knows no keys of another kind: said at start, not with every call.
    let kind = place.kind_with(&address, Some(files.of_client("client")));
    let error = SourceSet::open(&[settings("it", kind)], None).unwrap_err();
    assert!(
        error.to_string().contains("it: tls.key is no RSA key"),
        "{error}"
    );
}

/// A server without TLS is not spoken to in the clear.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_falls_back_to_the_clear() {
    let files = Files::new();
    let (Some(postgresql), Some(mariadb)) = (Database::postgresql(), Database::mariadb()) else {
        return;
    };
    // Does without TLS what is asked of it, as the other tests show.
    let address = mariadb.address();
    let mariadb = MariaDbPlace::secured(mariadb, &files.of_client("rsa"));
    let tls = Some(files.of_client("rsa"));
    let postgresql_place = PostgreSqlPlace::secured(postgresql, &files.of_client("rsa"));
    for kind in [
        mariadb.kind_with(&address, tls.clone()),
        postgresql_place.kind_with(&postgresql_place.address(), tls),
    ] {
        let set = set(&[settings("it", kind)]);
        let (code, message) = text(set.fetch(&ids("a")).await).unwrap_err();
        assert_eq!(code, 102, "{message}");
        assert!(
            message.to_lowercase().contains("tls") || message.contains("SSL"),
            "{message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis() {
    let files = Files::new();
    let Some(server) = Redis::start_with_tls(&files.of_server()) else {
        return;
    };
    let kind = |address: &str, tls: Option<TlsSettings>| {
        let scheme = tls.as_ref().map_or("redis", |_| "rediss");
        let url = format!("{scheme}://{address}");
        SourceKind::Redis {
            server: ServerUrl::parse(&url, REDIS_SCHEMES).unwrap(),
            is_cluster: false,
            form: RedisForm::Hash,
            tls: tls.unwrap_or_default(),
        }
    };
    let address = format!("127.0.0.1:{}", server.port());
    let written = Command::new("redis-cli")
        .args([
            "-h",
            "127.0.0.1",
            "-p",
            port_of(&address),
            "--tls",
            "--cacert",
        ])
        .arg(files.path("ca.pem"))
        .arg("--cert")
        .arg(files.path("client.pem"))
        .arg("--key")
        .arg(files.path("client.key"))
        .args(["HSET", "k:a", "n", "1.5", "t", "text"])
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    let row = r#"{"x0":"1.5","x1":"text"}"#;
    only_the_right_ones_get_in(&files, "client", &address, row, kind).await;
}

/// TLS in front of a service in the clear; gone with its runtime.
async fn relay_to(address: String, files: &ServerFiles) -> String {
    let pem = |path: &Path| std::fs::read(path).unwrap();
    let mut clients = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem(&files.ca)) {
        clients.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(clients.into(), provider.clone());
    let chain = CertificateDer::pem_slice_iter(&pem(&files.cert_chain))
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(
            chain,
            PrivateKeyDer::from_pem_slice(&pem(&files.private_key)).unwrap(),
        );
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, address) = (acceptor.clone(), address.clone());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut service = TcpStream::connect(address).await?;
                copy_bidirectional(&mut stream, &mut service).await
            });
        }
    });
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn http() {
    let files = Files::new();
    let service = Service::start(rows);
    let relay = relay_to(service.address(), &files.of_server()).await;
    let kind = |address: &str, tls: Option<TlsSettings>| {
        let scheme = tls.as_ref().map_or("http", |_| "https");
        SourceKind::HttpBatch {
            url: format!("{scheme}://{address}/rows?token=hunter2"),
            tls: tls.unwrap_or_default(),
        }
    };
    let row = r#"{"x0":1.5,"x1":"text"}"#;
    only_the_right_ones_get_in(&files, "client", &relay, row, kind).await;
}

/// Java's `HttpAdapter`, whose URL has the scheme and whose authority is a property of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_http_adapter() {
    let files = Files::new();
    let reply = |_: &[serde_json::Value]| (200, br#"{"code":0,"data":{"x0":1}}"#.to_vec());
    let service = Service::start(reply);
    let relay = relay_to(service.address(), &files.of_server()).await;
    let ask = async |tls: TlsSettings| {
        let settings = Settings {
            http_url: Some(format!("https://{relay}/rows?token=hunter2")),
            http_tls: tls,
            ..Settings::default()
        };
        let source = single_source("HttpAdapter", &settings).unwrap();
        text(source.fetch(r#"{"ids":["a"]}"#).await)
    };
    let row = ask(files.of_client("client")).await;
    assert_eq!(row.as_deref(), Ok(r#"{"x0":1}"#));
    let (code, message) = ask(Files::new().of_client("client")).await.unwrap_err();
    assert!(
        code == 110 && message.contains("UnknownIssuer"),
        "{message}"
    );
    assert!(message.contains("POST https://127.0.0.1:"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn files_of_no_use_are_told_when_the_source_is_opened() {
    let files = Files::new();
    let good = files.of_client("client");
    files.write("empty.pem", "");
    files.write(
        "bad.pem",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    );
    let with = |certificate: &str, key: &str| TlsSettings {
        identity: Some(ClientIdentity {
            certificate: files.path(certificate),
            key: files.path(key),
        }),
        ..good.clone()
    };
    let trusting = |ca: &str| TlsSettings {
        ca: Some(files.path(ca)),
        identity: None,
    };
    for (tls, cause) in [
        (trusting("missing.pem"), "missing.pem: No such file"),
        (trusting("empty.pem"), "empty.pem: there is no certificate"),
        (
            trusting("bad.pem"),
            "bad.pem: a certificate in it cannot be read",
        ),
        (
            trusting("client.key"),
            "client.key: there is no certificate",
        ),
        (
            with("missing.pem", "client.key"),
            "missing.pem: No such file",
        ),
        (
            with("client.pem", "missing.key"),
            "missing.key: No such file",
        ),
        (
            with("client.pem", "client.pem"),
            "client.pem: there is no private key",
        ),
        (
            with("client.pem", "rsa.key"),
            "the client certificate cannot be used",
        ),
    ] {
        for url in [
            "https://h/",
            "rediss://h",
            "postgresql://u@h/d",
            "mysql://u@h/d",
        ] {
            let tls = tls.clone();
            let kind = kind_at(url, tls);
            let error = SourceSet::open(&[settings("it", kind)], None).expect_err(cause);
            let error = error.to_string();
            // MySQL's refuses another kind of key before it looks whether it fits.
            assert!(
                error.contains("it: ") && error.contains(cause),
                "{url}: {error}"
            );
            assert!(!error.contains("PRIVATE KEY"), "{error}");
        }
    }
}

fn kind_at(url: &str, tls: TlsSettings) -> SourceKind {
    let server = |schemes| ServerUrl::parse(url, schemes).unwrap();
    let table = |server| fate_features::TableSettings {
        server,
        tls: Some(tls.clone()),
        table: "t".to_owned(),
        id_column: "id".to_owned(),
    };
    match url.split(':').next().unwrap() {
        "rediss" => SourceKind::Redis {
            server: server(REDIS_SCHEMES),
            is_cluster: false,
            form: RedisForm::Hash,
            tls,
        },
        "postgresql" => SourceKind::PostgreSql(table(server(fate_features::POSTGRESQL_SCHEMES))),
        "mysql" => SourceKind::MySql(table(server(fate_features::MYSQL_SCHEMES))),
        _ => SourceKind::HttpBatch {
            url: url.to_owned(),
            tls,
        },
    }
}
