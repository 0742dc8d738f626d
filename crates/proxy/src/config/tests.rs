#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fate_edge::config::{Fallback, Level, Treatment, find};

use super::*;

/// Contract 04 A.10, one name each.
const JAVA_KEYS: &[&str] = &[
    "coordinator",
    "server.port",
    "inference.service.name",
    "routeType",
    "route.table",
    "auth.file",
    "auth.open",
    "useZkRouter",
    "zk.url",
    "acl.enable",
    "acl.username",
    "acl.password",
    "proxy.grpc.intra.port",
    "proxy.grpc.inter.port",
    "proxy.grpc.inference.timeout",
    "proxy.grpc.inference.async.timeout",
    "proxy.grpc.batch.inference.timeout",
    "proxy.grpc.unaryCall.timeout",
    "proxy.grpc.threadpool.coresize",
    "proxy.grpc.threadpool.maxsize",
    "proxy.grpc.threadpool.queuesize",
    "proxy.async.timeout",
    "proxy.async.coresize",
    "proxy.async.maxsize",
    "proxy.grpc.inter.negotiationType",
    "proxy.grpc.inter.CA.file",
    "proxy.grpc.inter.server.certChain.file",
    "proxy.grpc.inter.server.privateKey.file",
    "proxy.grpc.inter.client.certChain.file",
    "proxy.grpc.inter.client.privateKey.file",
    "print.input.data",
    "print.output.data",
    "health.check.allow",
    "httpclinet.config.connection.req.timeout",
    "httpclient.config.connection.timeout",
    "httpclient.config.sockect.timeout",
    "httpclient.init.pool.maxtotal",
    "httpclient.init.pool.def.max.pre.route",
    "httpclient.init.pool.sockect.timeout",
    "httpclient.init.pool.connection.timeout",
    "httpclient.init.pool.connection.req.timeout",
    "httpclient.tran.connection.req.timeout",
    "httpclient.tran.connection.timeout",
    "httpclient.tran.sockect.timeout",
    "http.connect.request.timeout",
    "http.connect.timeout",
    "http.socket.timeout",
    "http.max.pool.size",
    "http.adapter.url",
];

/// Named in A.10 as worth honouring, though Spring's.
const SPRING_KEYS: &[&str] = &["server.servlet.context-path"];

fn shipped() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/application.properties")
}

fn problems(pairs: &[(&str, &str)]) -> Vec<String> {
    let given = pairs.iter().map(|(key, _)| *key);
    let given: BTreeSet<_> = given.collect();
    let zk = (!given.contains("useZkRouter")).then_some(("useZkRouter", "false"));
    match Config::from_pairs(pairs.iter().copied().chain(zk)) {
        Ok(_) => Vec::new(),
        Err(error) => error
            .problems
            .into_iter()
            .map(|problem| problem.key)
            .collect(),
    }
}

fn config(pairs: &[(&str, &str)]) -> Config {
    Config::from_pairs(pairs.iter().copied().chain([("useZkRouter", "false")])).unwrap()
}

#[test]
fn the_table_holds_every_key_of_the_java_proxy_and_ours() {
    let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    let distinct: BTreeSet<&str> = known.iter().copied().collect();
    assert_eq!(distinct.len(), known.len());
    let expected = [JAVA_KEYS, SPRING_KEYS, OURS].concat();
    assert_eq!(distinct, expected.into_iter().collect());
    for (alias, name) in ALIASES {
        assert!(
            find(KEYS, alias).is_none() && find(KEYS, name).is_some(),
            "{alias}"
        );
    }
}

#[test]
fn defaults_are_those_of_java() {
    let config = config(&[]);
    assert_eq!(config.coordinator, "9999");
    assert_eq!(config.inference_role, "serving");
    assert_eq!(
        (config.http.unwrap().1, config.intra.1, config.inter.1),
        (8059, 8879, 8869)
    );
    assert_eq!(config.route_table, Path::new("conf/route_table.json"));
    assert_eq!(config.auth_file, Path::new("conf/auth_config.json"));
    assert_eq!(config.route_type, RouteType::Random);
    assert!(!config.auth_open && config.inter_tls.is_none() && config.health_check);
    assert_eq!(
        config.enforce,
        Enforce {
            registry: true,
            table: true
        }
    );
    let ms = Duration::from_millis;
    assert_eq!(
        config.timeouts,
        Timeouts {
            inference: ms(3000),
            batch: ms(10000),
            unary: ms(3000),
            http: ms(5000),
            http_route_connect: ms(500),
            http_route_answer: ms(2000),
        }
    );
}

#[test]
fn the_shipped_file_explains_every_key_with_its_default() {
    let text = std::fs::read_to_string(shipped()).unwrap();
    let mut shown: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some((key, value)) = line.split_once('=').filter(|(key, _)| !key.contains(' ')) {
            assert_eq!(shown.insert(key, value), None, "{key} is there twice");
        }
    }
    let expected: BTreeSet<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(shown.keys().copied().collect::<BTreeSet<_>>(), expected);
    for key in KEYS {
        // zk.url has no default, but a file without it does not start.
        let default = match key.fallback {
            Fallback::Is(text) => text,
            _ if key.name == "zk.url" => continue,
            _ => "",
        };
        assert_eq!(shown[key.name], default, "{}", key.name);
    }
    for (alias, _) in ALIASES {
        assert!(text.contains(alias), "{alias} is not mentioned");
    }
}

#[test]
fn the_shipped_files_are_read_without_a_warning() {
    let config = Config::from_file(&shipped()).unwrap();
    let warnings = config
        .notes()
        .iter()
        .filter(|note| note.level == Level::Warning);
    assert_eq!(warnings.count(), 0, "{:?}", config.notes());
}

#[test]
fn a_file_of_the_java_proxy_starts() {
    let pairs = [
        ("server.port", "8059"),
        ("zk.url", "localhost:2181,loaclhost:2182"),
        ("spring.mvc.pathmatch.matching-strategy", "ANT_PATH_MATCHER"),
        ("server.tomcat.threads.max", "10"),
        ("proxy.grpc.inter.client.certChain.file", "x"),
    ];
    let config = Config::from_pairs(pairs).unwrap();
    let registry = config.registry.unwrap();
    assert_eq!(registry.servers, ["localhost:2181", "loaclhost:2182"]);
}

#[test]
fn both_spellings_are_taken_and_the_last_line_wins() {
    for (alias, name) in ALIASES {
        let key = find(KEYS, name).unwrap();
        let config = config(&[(name, "1"), (alias, "2")]);
        assert_eq!(config.listed(name, "")[*name], 2, "{alias}");
        if key.treatment == Treatment::Honoured {
            assert!(
                !config.notes().iter().any(|note| note.text.contains(alias)),
                "{alias}"
            );
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (pairs, keys) in [
        (vec![("coordinator", "guest")], vec!["coordinator"]),
        (
            vec![("proxy.grpc.unaryCall.timeout", "soon")],
            vec!["proxy.grpc.unaryCall.timeout"],
        ),
        (vec![("useZkRouter", "true")], vec!["zk.url"]),
        (
            vec![("useZkRouter", "true"), ("zk.url", "localhost")],
            vec!["zk.url"],
        ),
        (
            vec![("proxy.grpc.inter.negotiationType", "tls")],
            vec!["proxy.grpc.inter.negotiationType"],
        ),
        (
            vec![
                ("proxy.grpc.inter.negotiationType", "TLS"),
                ("proxy.grpc.inter.CA.file", "ca.pem"),
            ],
            vec![
                "proxy.grpc.inter.server.certChain.file",
                "proxy.grpc.inter.server.privateKey.file",
            ],
        ),
        (
            vec![("proxy.grpc.inter.port", "8879")],
            vec!["proxy.grpc.inter.port"],
        ),
        (vec![("server.port", "8869")], vec!["server.port"]),
        (
            vec![("permission.enforce", "zk,tabel")],
            vec!["permission.enforce"],
        ),
        (
            vec![("permission.enforce", "none,zk")],
            vec!["permission.enforce"],
        ),
        (
            vec![("permission.enforce", " ")],
            vec!["permission.enforce"],
        ),
        (
            vec![("proxy.bind.intra", "everywhere")],
            vec!["proxy.bind.intra"],
        ),
        (vec![("admin.token.grpc", "true")], vec!["admin.token"]),
    ] {
        assert_eq!(problems(&pairs), keys, "{pairs:?}");
    }
}

#[test]
fn an_acl_needs_a_user() {
    let pairs = [
        ("useZkRouter", "true"),
        ("zk.url", "h:1"),
        ("acl.enable", "true"),
    ];
    assert_eq!(problems(&pairs), ["acl.username"]);
    let more = [("acl.username", "u"), ("acl.password", "p")];
    let config = Config::from_pairs(pairs.into_iter().chain(more)).unwrap();
    assert_eq!(
        config.registry.as_ref().unwrap().acl,
        Some(("u".to_owned(), "p".to_owned()))
    );
    assert!(!format!("{:?} {:?}", config, config.registry).contains("\"p\""));
    assert_eq!(config.listed("PASSWORD", "")["acl.password"], "******");
}

#[test]
fn complete_tls_and_other_choices_are_read() {
    let config = config(&[
        ("proxy.grpc.inter.negotiationType", "TLS"),
        ("proxy.grpc.inter.CA.file", " ca.pem "),
        ("proxy.grpc.inter.server.certChain.file", "cert.pem"),
        ("proxy.grpc.inter.server.privateKey.file", "key.pem"),
        ("routeType", "Round_Robin"),
        ("permission.enforce", "none"),
        ("server.servlet.context-path", "serving/"),
        ("server.port", ""),
    ]);
    assert_eq!(config.inter_tls.unwrap().ca, Path::new("ca.pem"));
    assert_eq!(config.route_type, RouteType::RoundRobin);
    assert_eq!(
        config.enforce,
        Enforce {
            registry: false,
            table: false
        }
    );
    assert_eq!(config.context_path, "/serving");
    assert_eq!(config.http, None);
}

#[test]
fn an_unknown_route_type_is_random_and_said() {
    let config = config(&[("routeType", "weighted"), ("coordinator", "1")]);
    assert_eq!(config.route_type, RouteType::Random);
    assert!(
        config
            .notes()
            .iter()
            .any(|note| note.text.starts_with("routeType"))
    );
}

#[test]
fn properties_are_listed_with_the_table_and_the_version() {
    let config = config(&[("coordinator", "10000")]);
    let all = config.listed("", "{}");
    assert_eq!(
        (&all["currentVersion"], &all["proxy.router.table"]),
        (&216.into(), &"{}".into())
    );
    assert_eq!(config.listed("COORD", "").len(), 1);
}
