use super::*;

/// Every key of the Java server's own table, contract 01 §9.2.
const JAVA_KEYS: &[&str] = &[
    "port",
    "server.port",
    "serviceRoleName",
    "proxy",
    "useRegister",
    "useZkRouter",
    "zk.url",
    "acl.enable",
    "acl.username",
    "acl.password",
    "serving.core.pool.size",
    "serving.max.pool.size",
    "serving.pool.alive.time",
    "serving.pool.queue.size",
    "single.inference.rpc.timeout",
    "batch.inference.rpc.timeout",
    "batch.inference.max",
    "batch.split.size",
    "lr.use.parallel",
    "lr.split.size",
    "feature.single.adaptor",
    "feature.batch.adaptor",
    "feature.batch.single.adaptor",
    "http.adapter.url",
    "http.connect.request.timeout",
    "http.connect.timeout",
    "http.socket.timeout",
    "http.max.pool.size",
    "model.transfer.url",
    "model.cache.path",
    "model.synchronize",
    "grpc.timeout",
    "remoteModelInferenceResultCacheSwitch",
    "cache.type",
    "local.cache.maxsize",
    "local.cache.expire",
    "local.cache.interval",
    "redis.ip",
    "redis.port",
    "redis.password",
    "redis.cluster.nodes",
    "redis.timeout",
    "redis.expire",
    "redis.maxTotal",
    "redis.maxIdle",
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
];

fn read(text: &str) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serving-server.properties");
    std::fs::write(&path, text).unwrap();
    Config::from_file(&path)
}

fn notes_of(config: &Config, level: Level) -> Vec<&str> {
    let of_level = config.notes().iter().filter(|note| note.level == level);
    of_level.map(|note| note.text.as_str()).collect()
}

#[test]
fn the_table_holds_every_key_of_the_java_server_and_ours() {
    for name in JAVA_KEYS {
        assert!(KEYS.iter().any(|key| key.name == *name), "{name}");
        assert!(!keys::OURS.contains(name), "{name}");
    }
    assert_eq!(KEYS.len(), JAVA_KEYS.len() + keys::OURS.len());
    for (position, key) in KEYS.iter().enumerate() {
        assert!(!key.doc.is_empty(), "{}", key.name);
        let twin = KEYS[..position].iter().find(|other| other.name == key.name);
        assert!(twin.is_none(), "{} is in the table twice", key.name);
    }
}

#[test]
fn every_default_is_a_valid_value() {
    for key in KEYS {
        if let Fallback::Is(text) = key.fallback {
            assert!(matches!(key.kind.read(text), Ok(Some(_))), "{}", key.name);
        }
    }
}

#[test]
fn an_empty_file_gives_the_java_defaults() {
    let config = read("").unwrap();
    assert_eq!((config.grpc_port, config.http_port), (8000, Some(8080)));
    assert_eq!(config.single_timeout, Duration::from_secs(3));
    assert_eq!(config.batch_max, 300);
    assert_eq!(config.grpc_timeout, Duration::from_secs(5));
    assert_eq!(config.transfer_timeout, Duration::from_secs(60));
    assert_eq!(config.service_role_name, "serving");
    assert!(config.health_check && !config.synchronize && config.proxy.is_none());
    assert_eq!((config.details, config.min_hit_rate), (false, None));
}

/// The texts the 2.1.7 release ships with, `port` with its trailing blank included.
const SHIPPED: &str = "\
#gRPC
port=8000 \n\
server.port=8185
#useRegister=true
feature.single.adaptor=com.webank.ai.fate.serving.adaptor.dataaccess.MockAdapter
feature.batch.adaptor=com.webank.ai.fate.serving.adaptor.dataaccess.MockBatchAdapter
feature.batch.single.adaptor=com.webank.ai.fate.serving.adaptor.dataaccess.HttpAdapter
http.adapter.url=http://127.0.0.1:9380/v1/http/adapter/getFeature
model.transfer.url=http://127.0.0.1:9380/v1/model/transfer
zk.url=localhost:2181,localhost:2182,localhost:2183
";

#[test]
fn the_shipped_file_is_read_without_a_warning() {
    let config = read(SHIPPED).unwrap();
    assert_eq!((config.grpc_port, config.http_port), (8000, Some(8185)));
    assert_eq!(
        config.transfer_url.as_deref(),
        Some("http://127.0.0.1:9380/v1/model/transfer")
    );
    assert_eq!(notes_of(&config, Level::Warning), Vec::<&str>::new());
    let registry = config.registry.unwrap();
    assert_eq!(
        registry.addresses.to_string(),
        "localhost:2181,localhost:2182,localhost:2183"
    );
}

#[test]
fn every_wrong_value_is_named_with_its_line_and_key() {
    let error = read(
        "port=eighty\n# a comment\nprint.input.data=yes\nproxy=nowhere\nbatch.inference.max=0\n\
         grpc.timeout=\nmodel.transfer.url=ftp://x/y\nfederation.hosts=10000\nmodel.semantics=rust\n",
    )
    .unwrap_err();
    let mut named: Vec<_> = error
        .problems
        .iter()
        .map(|problem| (problem.line.unwrap(), problem.key.as_str()))
        .collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            (1, "port"),
            (3, "print.input.data"),
            (4, "proxy"),
            (5, "batch.inference.max"),
            (6, "grpc.timeout"),
            (7, "model.transfer.url"),
            (8, "federation.hosts"),
            (9, "model.semantics"),
        ]
    );
    let text = error.to_string();
    assert!(
        text.contains("serving-server.properties:1: port: `eighty` is not a whole number"),
        "{text}"
    );
}

#[test]
fn two_listeners_on_one_port_are_a_problem() {
    for (text, line, key) in [
        ("port=9000\nserver.port=9000\n", 2, "server.port"),
        ("server.port=8000\n", 1, "server.port"),
        ("\nport=8080\n", 2, "port"),
    ] {
        let problems = read(text).unwrap_err().problems;
        assert_eq!(problems.len(), 1, "{text}");
        assert_eq!(
            (problems[0].line, problems[0].key.as_str()),
            (Some(line), key),
            "{text}"
        );
    }
    assert!(read("port=0\nserver.port=0\n").is_ok());
    assert!(read("port=8080\nserver.port=-1\n").is_ok());
}

#[test]
fn every_allowed_prefix_is_an_address() {
    let good = read("model.transfer.allow=http://a:1/x, https://b/\n").unwrap();
    assert_eq!(good.transfer_allow, ["http://a:1/x", "https://b/"]);
    for text in [
        "flow:9380",
        "http://a/,ftp://b/",
        "http://",
        "http:///x",
        "http://u:geheim@ /",
    ] {
        let error = read(&format!("\nmodel.transfer.allow={text}\n")).unwrap_err();
        let problem = &error.problems[0];
        assert_eq!(
            (problem.line, problem.key.as_str()),
            (Some(2), "model.transfer.allow"),
            "{text}"
        );
        assert!(!error.to_string().contains("geheim"), "{error}");
    }
}

#[test]
fn only_a_regular_file_of_a_sane_size_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let large = directory.path().join("large.properties");
    std::fs::write(&large, vec![b'#'; (1 << 20) + 1]).unwrap();
    for (path, part) in [
        (Path::new("/dev/zero"), "not a regular file"),
        (directory.path(), "not a regular file"),
        (&large, "larger than"),
    ] {
        let error = Config::from_file(path).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_missing_or_malformed_file_is_named() {
    let missing = Config::from_file(Path::new("/nonexistent/x.properties")).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("/nonexistent/x.properties: ")
    );
    let malformed = read("port=8000\nproxy=\\u12\n").unwrap_err();
    assert_eq!(malformed.problems[0].line, Some(2));
}

#[test]
fn values_are_trimmed_and_the_last_one_wins() {
    let config = read("port = 1 \nport=  9000\t\nproxy= [::1]:8879 \nserver.port=\n").unwrap();
    assert_eq!((config.grpc_port, config.http_port), (9000, None));
    assert_eq!(config.proxy.unwrap().to_string(), "[::1]:8879");
    assert_eq!(read("server.port=-1").unwrap().http_port, None);
    assert_eq!(read("server.port=0").unwrap().http_port, Some(0));
}

#[test]
fn unknown_keys_are_warned_of_with_the_nearest_known_one() {
    let config =
        read("feature.single.adatpor=x\nlogging.level.root=INFO\nproxi=a:1\nzzz=1\n").unwrap();
    let warnings = notes_of(&config, Level::Warning);
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(warnings[0].ends_with("did you mean feature.single.adaptor?"));
    assert!(warnings[1].contains("Spring"));
    assert!(warnings[2].ends_with("did you mean proxy?"));
    assert!(!warnings[3].contains("did you mean"), "{}", warnings[3]);
    assert_eq!(config.notes()[1].line, Some(2));
}

#[test]
fn a_registry_needs_its_address() {
    let silent = read("").unwrap();
    assert!(silent.registry.is_none() && notes_of(&silent, Level::Warning).is_empty());
    let asked = read("useRegister=true\nuseZkRouter=false\n").unwrap();
    let warnings = notes_of(&asked, Level::Warning);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("useRegister asks for the ZooKeeper registry, but zk.url"));
    assert!(asked.registry.is_none());
    assert!(
        read("useRegister=false\nzk.url=h:2181\n")
            .unwrap()
            .registry
            .is_none()
    );
}

#[test]
fn the_registrys_keys() {
    let plain = read("zk.url= h1:2181, h2:2181/x\n")
        .unwrap()
        .registry
        .unwrap();
    assert_eq!(plain.addresses.to_string(), "h1:2181,h2:2181");
    assert!(plain.routes && plain.login.is_none() && plain.host.is_none());
    assert_eq!(plain.session_timeout, Duration::from_secs(20));
    assert!(plain.directory.ends_with(".fate"));
    let text = "zk.url=h:1\nuseZkRouter=false\nacl.enable=true\nacl.username=fate\nacl.password=secret\nregister.ip=::1\nregistry.cache.path=/x\n";
    let full = read(text).unwrap().registry.unwrap();
    let login = full.login.unwrap();
    assert_eq!(
        (login.user.as_str(), login.password.as_str()),
        ("fate", "secret")
    );
    assert_eq!((full.routes, full.host.as_deref()), (false, Some("::1")));
    assert_eq!(full.directory, Path::new("/x"));
    let incomplete = read("zk.url=h:1\nacl.enable=true\nacl.username=fate\n").unwrap();
    assert!(notes_of(&incomplete, Level::Warning)[0].starts_with("acl.enable needs"));
    assert!(incomplete.registry.unwrap().login.is_none());

    let wrong = read("zk.url=nowhere\nregister.ip=http://x\n").unwrap_err();
    let mut keys: Vec<(&str, Option<usize>)> = wrong
        .problems
        .iter()
        .map(|one| (one.key.as_str(), one.line))
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, [("register.ip", Some(2)), ("zk.url", Some(1))]);
}

#[test]
fn a_node_without_routes_is_told_so() {
    let text = "neither proxy nor federation.hosts is set";
    let has_note = |config: &Config| config.notes().iter().any(|note| note.text.contains(text));
    assert!(has_note(&read("").unwrap()));
    assert!(!has_note(
        &read("federation.hosts=10000=127.0.0.1:8001").unwrap()
    ));
    assert!(!has_note(&read("proxy=127.0.0.1:8879").unwrap()));
    assert!(!has_note(&read("zk.url=127.0.0.1:2181").unwrap()));
}

#[test]
fn listed_properties_have_native_types_and_no_secrets() {
    let config = read(
        "port=1234\nacl.password=open sesame\nredis.password=hunter2\nmodel.synchronize=true\nproxy=p:1\n\
         http.adapter.url=http://user:secret@h/x\n",
    )
    .unwrap();
    let listed = config.listed("", 4321);
    assert_eq!(listed["server.port"], 4321);
    assert_eq!(listed["currentVersion"], 216);
    assert_eq!(listed["model.synchronize"], true);
    assert_eq!(listed["grpc.timeout"], 5000);
    assert_eq!(listed["proxy"], "p:1");
    assert!(listed.contains_key("httpclinet.config.connection.req.timeout"));
    assert!(!listed.contains_key("zk.url"), "unset texts are missing");
    for text in [
        serde_json::to_string(&listed).unwrap(),
        format!("{config:?}"),
    ] {
        for secret in ["open sesame", "hunter2", "user:secret"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let filtered = config.listed("GRPC", 1);
    assert_eq!(filtered.keys().collect::<Vec<_>>(), ["grpc.timeout"]);
}

#[test]
fn transfers_are_bounded_by_our_key_first() {
    let config = read("httpclient.tran.sockect.timeout=7000\n").unwrap();
    assert_eq!(config.transfer_timeout, Duration::from_secs(7));
    let config = read("httpclient.tran.sockect.timeout=7000\nmodel.transfer.timeout=9000").unwrap();
    assert_eq!(config.transfer_timeout, Duration::from_secs(9));
}

#[test]
fn an_unusable_feature_source_is_warned_of() {
    let config =
        read("port=1\nfeature.single.adaptor=nobody.knows.It\nfeature.batch.adaptor=mock\n")
            .unwrap();
    let note = config
        .notes()
        .iter()
        .find(|note| note.text.contains("nobody.knows.It"))
        .unwrap();
    assert_eq!((note.level, note.line), (Level::Warning, Some(2)));
    assert!(note.text.ends_with("will answer 116"), "{}", note.text);
}

#[test]
fn a_cache_is_off_unless_it_is_switched_on() {
    let cache = |text: &str| read(text).unwrap().result_cache;
    assert!(cache("cache.type=redis\n").is_none());
    let on = "remoteModelInferenceResultCacheSwitch=true\n";
    let Some(ResultCacheConfig::Local(local)) = cache(on) else {
        panic!("not local")
    };
    assert_eq!((local.max_entries, local.max_bytes), (10_000, 64 << 20));
    assert_eq!(local.expire, Some(Duration::from_secs(30)));
    let text = format!("{on}local.cache.expire=0\n");
    let Some(ResultCacheConfig::Local(local)) = cache(&text) else {
        panic!("not local")
    };
    assert_eq!(local.expire, None);
}

#[test]
fn the_keys_of_redis() {
    let on = "remoteModelInferenceResultCacheSwitch=true\ncache.type=redis\n";
    let redis = |text: &str| match read(&format!("{on}{text}")).unwrap().result_cache {
        Some(ResultCacheConfig::Redis(settings)) => settings,
        other => panic!("{other:?}"),
    };
    let one = redis("redis.ip=r\nredis.port=6379\nredis.password=hunter2\nredis.expire=-1\n");
    assert_eq!(
        one.nodes,
        fate_cache::RedisNodes::Single("r".to_owned(), 6379)
    );
    assert_eq!((one.timeout, one.expire), (Duration::from_secs(2), None));
    assert_eq!(one.password.as_deref(), Some("hunter2"));
    assert!(!format!("{one:?}").contains("hunter2"));
    let many = redis("redis.cluster.nodes=a:1, b:2\nredis.tls=true\nredis.tls.ca=/ca.pem\n");
    let nodes = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
    assert_eq!(many.nodes, fate_cache::RedisNodes::Cluster(nodes));
    assert_eq!(many.tls.unwrap().ca.as_deref(), Some(Path::new("/ca.pem")));

    for (text, key, line) in [
        ("", "cache.type", 2),
        ("redis.cluster.nodes=a:1,b\n", "redis.cluster.nodes", 3),
        ("redis.ip=r\nredis.port=0\n", "redis.port", 4),
    ] {
        let problems = read(&format!("{on}{text}")).unwrap_err().problems;
        assert_eq!(problems.len(), 1, "{text}");
        assert_eq!(
            (problems[0].key.as_str(), problems[0].line),
            (key, Some(line))
        );
    }
}

#[test]
fn clients_are_limited_and_told_apart_by_a_header() {
    let limit = |text: &str| read(text).unwrap().caller_limit;
    assert_eq!(limit(""), None);
    let (qps, header) = limit("limit.caller.qps=20\n").unwrap();
    assert_eq!((qps, header.as_str()), (20.0, "appkey"));
    let named = limit("limit.caller.qps=1\nlimit.caller.header=X-App\n").unwrap();
    assert_eq!(named.1.as_str(), "x-app");
    let wrong = read("\nlimit.caller.header=a b\n").unwrap_err();
    assert_eq!(wrong.problems[0].line, Some(2));
    assert!(read("limit.caller.qps=0\n").is_err());
}

#[test]
fn a_sources_password_is_named_when_it_changes_and_never_shown() {
    let text = |password: &str| {
        format!(
            "feature.sources=user\nfeature.source.user.type=redis\n\
             feature.source.user.url=redis://:{password}@127.0.0.1:1\n\
             feature.source.user.key=user:${{id}}\nfeature.source.user.columns=age=x0\n"
        )
    };
    let (now, new) = (
        read(&text("hunter2")).unwrap(),
        read(&text("hunter3")).unwrap(),
    );
    let (reloaded, changes) = now.reloaded(&new);
    assert_eq!(changes.after_restart, ["feature.source.user.url"]);
    assert!(changes.applied.is_empty());
    assert!(!format!("{reloaded:?} {changes:?}").contains("hunter"));
    assert_eq!(now.reloaded(&now).1, Changes::default());
}

#[test]
fn single_calls_share_packets_only_when_they_may_wait() {
    let coalescing = |text: &str| read(text).unwrap().coalescing;
    assert_eq!(coalescing(""), None);
    assert_eq!(coalescing("remote.coalesce.max=10\n"), None);
    let on = coalescing("remote.coalesce.window=2\n").unwrap();
    assert_eq!((on.window, on.max_calls), (Duration::from_millis(2), 64));
    for wrong in [
        "remote.coalesce.window=101\n",
        "remote.coalesce.max=1\n",
        "remote.coalesce.max=301\n",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
