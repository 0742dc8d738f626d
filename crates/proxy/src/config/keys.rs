//! The one table of keys of the proxy's `application.properties` (contract 04 A.10 and ours).

use fate_edge::config::{ANY_INT, COUNT, Fallback, Key, Kind, MILLIS, Treatment, honoured, key};

use fate_edge::{log_settings, trace};

use Fallback::{Is, Unset};

const NO_THREAD_POOL: Treatment = Treatment::Ignored(
    "there is no thread per call; calls in flight are bounded by proxy.max.inflight",
);
const NO_HTTP_POOL: Treatment = Treatment::Ignored(
    "HTTP routes share no pool; proxy.peer.max.inflight bounds them and httpclient.config.* their times",
);
const NO_WAITING: Treatment = Treatment::Ignored(
    "no call waits for a connection; one more than proxy.peer.max.inflight is refused at once",
);
const UNUSED_IN_JAVA: Treatment = Treatment::Ignored("the Java proxy does not use it either");
const NO_CLIENT_DEFAULT: Treatment =
    Treatment::Ignored("unused since 2.1.0; the identity towards a peer is in the route table");

/// Keys that exist only here.
pub const OURS: &[&str] = &[
    "admin.token",
    "admin.token.grpc",
    "permission.enforce",
    "proxy.bind.http",
    "proxy.bind.intra",
    "proxy.bind.inter",
    "proxy.max.inflight",
    "proxy.peer.max.inflight",
    "proxy.max.message.bytes",
    "proxy.max.body.bytes",
    "proxy.drain.timeout",
    "proxy.state.path",
    "log.path",
    "log.format",
    "log.level",
    "print.mask",
    "trace.otlp.endpoint",
    "trace.sample.ratio",
    "register.ip",
];

/// Correct spellings of keys that Java misspells; the misspelled name is the one in [`KEYS`].
#[rustfmt::skip]
pub const ALIASES: &[(&str, &str)] = &[
    ("httpclient.config.connection.req.timeout", "httpclinet.config.connection.req.timeout"),
    ("httpclient.config.socket.timeout", "httpclient.config.sockect.timeout"),
    ("httpclient.init.pool.def.max.per.route", "httpclient.init.pool.def.max.pre.route"),
    ("httpclient.init.pool.socket.timeout", "httpclient.init.pool.sockect.timeout"),
    ("httpclient.tran.socket.timeout", "httpclient.tran.sockect.timeout"),
];

/// Keys of ports and what listens there.
pub(super) const PORTS: &[(&str, &str)] = &[
    ("proxy.grpc.inter.port", "other parties"),
    ("proxy.grpc.intra.port", "servers of this party"),
    ("server.port", "HTTP"),
];

/// The keys that SIGHUP puts in force; all others wait for a restart.
pub(super) const RELOADABLE: &[&str] = &[
    "proxy.grpc.inference.timeout",
    "proxy.grpc.batch.inference.timeout",
    "proxy.grpc.unaryCall.timeout",
    "proxy.async.timeout",
    "proxy.max.inflight",
    "proxy.drain.timeout",
    "admin.token",
    "admin.token.grpc",
    "health.check.allow",
    "log.format",
    "log.level",
    "print.input.data",
    "print.output.data",
    "print.mask",
    trace::Settings::RELOADABLE,
];

/// Every key the proxy knows.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    // Party and listeners.
    honoured("coordinator", Kind::Number { min: 0, max: i32::MAX as i64 }, Is("9999"), "own party id"),
    honoured("inference.service.name", Kind::Text, Is("serving"), "role of the route table that HTTP inference is sent to"),
    honoured("server.port", Kind::OptionalPort, Is("8059"), "HTTP port; 0 takes any free port, blank or -1 switches HTTP off"),
    honoured("server.servlet.context-path", Kind::Text, Unset, "path in front of every HTTP path"),
    honoured("proxy.grpc.intra.port", Kind::Port, Is("8879"), "gRPC port for the servers of this party, never secured"),
    honoured("proxy.grpc.inter.port", Kind::Port, Is("8869"), "gRPC port for the proxies of other parties"),
    honoured("proxy.bind.http", Kind::Text, Is("0.0.0.0"), "IP address that the HTTP port is bound to"),
    honoured("proxy.bind.intra", Kind::Text, Is("0.0.0.0"), "IP address that the intra port is bound to: whoever reaches it speaks for this party"),
    honoured("proxy.bind.inter", Kind::Text, Is("0.0.0.0"), "IP address that the inter port is bound to"),

    // Routes.
    honoured("route.table", Kind::Text, Is("conf/route_table.json"), "the route table, relative to the working directory"),
    honoured("routeType", Kind::Text, Is("random"), "choice among several addresses: random, consistent (the first), round_robin"),
    honoured("permission.enforce", Kind::List, Is("zk,table"), "routes that the permission rules guard: zk (of other parties' calls), table, or none"),

    // Authentication between proxies.
    honoured("auth.open", Kind::Flag, Is("false"), "whether packets are signed and signatures checked"),
    honoured("auth.file", Kind::Text, Is("conf/auth_config.json"), "keys of the proxies, relative to the working directory"),

    // TLS of the inter port.
    honoured("proxy.grpc.inter.negotiationType", Kind::Choice(&["PLAINTEXT", "TLS"]), Is("PLAINTEXT"), "PLAINTEXT, or TLS with certificates on both sides"),
    honoured("proxy.grpc.inter.CA.file", Kind::Text, Unset, "PEM file of the authorities of the other parties' certificates"),
    honoured("proxy.grpc.inter.server.certChain.file", Kind::Text, Unset, "PEM file of this proxy's certificate"),
    honoured("proxy.grpc.inter.server.privateKey.file", Kind::Text, Unset, "PEM file of this proxy's key"),
    key("proxy.grpc.inter.client.certChain.file", Kind::Text, Unset, NO_CLIENT_DEFAULT, "certificate towards other parties"),
    key("proxy.grpc.inter.client.privateKey.file", Kind::Text, Unset, NO_CLIENT_DEFAULT, "key towards other parties"),

    // Times.
    honoured("proxy.grpc.inference.timeout", MILLIS, Is("3000"), "ms for a single inference of this party's server"),
    honoured("proxy.grpc.batch.inference.timeout", MILLIS, Is("10000"), "ms for a batch"),
    honoured("proxy.grpc.unaryCall.timeout", MILLIS, Is("3000"), "ms for a packet to be answered"),
    honoured("proxy.async.timeout", MILLIS, Is("5000"), "ms for the body of an HTTP request to arrive; never cuts an inference short"),
    key("proxy.grpc.inference.async.timeout", ANY_INT, Is("1000"), UNUSED_IN_JAVA, "ms"),
    key("httpclinet.config.connection.req.timeout", MILLIS, Is("500"), NO_WAITING, "HTTP routes: ms to wait for a free connection"),
    honoured("httpclient.config.connection.timeout", MILLIS, Is("500"), "HTTP routes: ms to connect"),
    honoured("httpclient.config.sockect.timeout", MILLIS, Is("2000"), "HTTP routes: ms for the answer"),

    // Limits.
    honoured("proxy.max.inflight", COUNT, Is("512"), "calls of one service handled at the same time; one more is answered 124 (624) at once"),
    honoured("proxy.peer.max.inflight", COUNT, Is("256"), "calls to one peer at the same time; one more is answered 124 (624) at once"),
    honoured("proxy.max.message.bytes", Kind::Number { min: 1024, max: 1 << 30 }, Is("33554432"), "largest message that is read, gRPC or HTTP"),
    honoured("proxy.max.body.bytes", Kind::Number { min: 1024, max: 1 << 40 }, Is("268435456"), "bytes of requests held at the same time, from arrival to answer"),
    honoured("proxy.drain.timeout", Kind::Number { min: 0, max: 600_000 }, Is("10000"), "ms a stopping proxy waits for calls in flight"),

    // Registry.
    honoured("useZkRouter", Kind::Flag, Is("true"), "find servers through ZooKeeper and register there"),
    honoured("zk.url", Kind::List, Unset, "ZooKeeper addresses host:port,…; needed with useZkRouter"),
    honoured("acl.enable", Kind::Flag, Is("false"), "ZooKeeper digest ACL"),
    honoured("acl.username", Kind::Text, Unset, "ZooKeeper user"),
    honoured("acl.password", Kind::Secret, Unset, "ZooKeeper password"),
    honoured("register.ip", Kind::Text, Unset, "address to register; unset: the first that other machines can reach"),

    // Operation.
    honoured("admin.token", Kind::Secret, Unset, "what changes of log levels over HTTP have to bring along as Authorization: Bearer; unset: they come from this machine"),
    honoured("admin.token.grpc", Kind::Flag, Is("false"), "whether changes over the intra port (routes, flow rules, weights) need admin.token too; Java's admin does not bring it along"),
    trace::KEYS[0],
    trace::KEYS[1],
    log_settings::KEYS[0],
    log_settings::KEYS[1],
    log_settings::KEYS[2],
    log_settings::KEYS[3],
    log_settings::KEYS[4],
    log_settings::KEYS[5],
    honoured("health.check.allow", Kind::Flag, Is("true"), "whether checkHealthService answers"),
    honoured("proxy.state.path", Kind::Text, Is("."), "directory that holds .fate, where flow rules are kept"),

    // Threads and HTTP pools of the Java proxy.
    key("proxy.grpc.threadpool.coresize", ANY_INT, Is("50"), NO_THREAD_POOL, "gRPC threads"),
    key("proxy.grpc.threadpool.maxsize", ANY_INT, Is("100"), NO_THREAD_POOL, "gRPC threads"),
    key("proxy.grpc.threadpool.queuesize", ANY_INT, Is("10"), NO_THREAD_POOL, "calls"),
    key("proxy.async.coresize", ANY_INT, Is("10"), NO_THREAD_POOL, "HTTP threads"),
    key("proxy.async.maxsize", ANY_INT, Is("100"), NO_THREAD_POOL, "HTTP threads"),
    key("httpclient.init.pool.maxtotal", ANY_INT, Is("500"), NO_HTTP_POOL, "connections"),
    key("httpclient.init.pool.def.max.pre.route", ANY_INT, Is("200"), NO_HTTP_POOL, "connections"),
    key("httpclient.init.pool.sockect.timeout", ANY_INT, Is("10000"), NO_HTTP_POOL, "ms"),
    key("httpclient.init.pool.connection.timeout", ANY_INT, Is("10000"), NO_HTTP_POOL, "ms"),
    key("httpclient.init.pool.connection.req.timeout", ANY_INT, Is("10000"), NO_HTTP_POOL, "ms"),
    key("httpclient.tran.connection.req.timeout", ANY_INT, Is("60000"), UNUSED_IN_JAVA, "ms"),
    key("httpclient.tran.connection.timeout", ANY_INT, Is("60000"), UNUSED_IN_JAVA, "ms"),
    key("httpclient.tran.sockect.timeout", ANY_INT, Is("60000"), UNUSED_IN_JAVA, "ms"),
    key("http.connect.request.timeout", ANY_INT, Is("10000"), UNUSED_IN_JAVA, "ms"),
    key("http.connect.timeout", ANY_INT, Is("10000"), UNUSED_IN_JAVA, "ms"),
    key("http.socket.timeout", ANY_INT, Is("10000"), UNUSED_IN_JAVA, "ms"),
    key("http.max.pool.size", ANY_INT, Is("50"), UNUSED_IN_JAVA, "connections"),
    key("http.adapter.url", Kind::Text, Unset, UNUSED_IN_JAVA, "address of a feature service"),
];
