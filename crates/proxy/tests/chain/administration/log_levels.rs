//! Log levels of a proxy over HTTP (contract 04 A.2.3): from this machine, or with `admin.token` where it is set.

use fate_edge::log_levels::LogLevels;
use fate_proxy::{Config, Embedding, Proxy};
use hyper::Method;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::asking::http;

#[tokio::test]
async fn log_levels_are_changed_by_administrators() {
    let (filter, handle) = reload::Layer::<EnvFilter, Registry>::new(EnvFilter::new("info"));
    let levels = LogLevels::new("info", handle);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    for (token, headers, opens) in [
        ("", &[][..], true),
        ("open sesame", &[], false),
        ("open sesame", &[("authorization", "Bearer open")], false),
        (
            "open sesame",
            &[("authorization", "Bearer open sesame")],
            true,
        ),
    ] {
        levels.set_root("info").unwrap();
        let config = Config::from_pairs([
            ("server.port", "0"),
            ("proxy.grpc.intra.port", "0"),
            ("proxy.grpc.inter.port", "0"),
            ("proxy.bind.http", "127.0.0.1"),
            ("useZkRouter", "false"),
            ("route.table", "/nonexistent"),
            ("proxy.state.path", state),
            ("admin.token", token),
        ]);
        let embedding = Embedding {
            log_levels: Some(levels.clone()),
            ..Embedding::default()
        };
        let proxy = Proxy::start_with(config.unwrap(), embedding).await.unwrap();
        let address = proxy.http_addr.unwrap();
        let answer = |ok: bool| (200, if ok { "ok" } else { "failed" }.to_owned());
        let get = |path: &'static str| http(address, Method::GET, path, headers, "");
        assert_eq!(get("/proxy/alterSysLogLevel/warn").await, answer(opens));
        let package = "/proxy/alterPkgLogLevel?level=trace&pkgName=fate_proxy";
        assert_eq!(get(package).await, answer(opens));
        assert_eq!(get("/proxy/alterSysLogLevel/loud").await, answer(false));
        let changed = format!("{levels:?}").contains("warn");
        assert_eq!(changed, opens);
        proxy.drain().await;
    }
    drop(filter);
}
