//! The one table of keys of `serving-server.properties` (contract 01 §9.2 and ours).

use fate_edge::config::{ANY_INT, COUNT, Fallback, Key, Kind, MILLIS, Treatment, honoured, key};

const ONE_CONNECTION: Treatment =
    Treatment::Ignored("one connection to each Redis carries all questions at the same time");
const NO_THREAD_POOL: Treatment = Treatment::Ignored(
    "there is no thread per request; calls in flight are bounded by serving.max.inflight",
);
const NO_SPLITTING: Treatment =
    Treatment::Ignored("rows are computed in blocks of the server's own choice");
const NO_SHARED_HTTP_POOL: Treatment = Treatment::Ignored(
    "there is no shared HTTP pool; http.* bounds feature calls and model.transfer.timeout model transfers",
);

use fate_edge::{log_settings, trace};

use Fallback::{Is, Processors, Unset};

/// The keys that exist only in this implementation.
#[cfg(test)]
pub(super) const OURS: &[&str] = &[
    "listen.address",
    "federation.hosts",
    "zk.session.timeout",
    "register.ip",
    "registry.cache.path",
    "serving.max.inflight",
    "serving.adaptive",
    "serving.model.share",
    "serving.max.message.bytes",
    "serving.max.body.bytes",
    "batch.inference.guest.max",
    "serving.drain.timeout",
    "feature.sources",
    "host.data.file",
    "model.transfer.allow",
    "http.adapter.ca",
    "model.transfer.ca",
    "model.transfer.timeout",
    "model.import.path",
    "model.max.bytes",
    "model.semantics",
    "sync.on.start",
    "sync.peers",
    "federation.compact",
    "remote.coalesce.window",
    "remote.coalesce.max",
    "response.details",
    "min.feature.hit.rate",
    "local.cache.max.bytes",
    "admin.token",
    "limit.caller.qps",
    "limit.caller.header",
    "log.path",
    "log.format",
    "log.level",
    "print.mask",
    "trace.otlp.endpoint",
    "trace.sample.ratio",
    "redis.tls",
    "redis.tls.ca",
];

/// The keys that SIGHUP puts in force; all others wait for a restart.
pub(super) const RELOADABLE: &[&str] = &[
    "serving.max.inflight",
    "serving.adaptive",
    "serving.model.share",
    "federation.compact",
    "remote.coalesce.window",
    "remote.coalesce.max",
    "single.inference.rpc.timeout",
    "batch.inference.rpc.timeout",
    "batch.inference.max",
    "batch.inference.guest.max",
    "grpc.timeout",
    "serving.drain.timeout",
    "response.details",
    "min.feature.hit.rate",
    "admin.token",
    "limit.caller.qps",
    "limit.caller.header",
    "health.check.allow",
    "log.format",
    "log.level",
    "print.input.data",
    "print.output.data",
    "print.mask",
    trace::Settings::RELOADABLE,
];

/// Every key the server knows.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    // Listeners.
    honoured("listen.address", Kind::Ip, Is("0.0.0.0"), "IP address of both listeners; :: takes IPv6 and, where the system does so, IPv4"),
    honoured("port", Kind::Port, Is("8000"), "gRPC port; 0 takes any free port"),
    honoured("server.port", Kind::OptionalPort, Is("8080"), "HTTP port; 0 takes any free port, blank or -1 switches HTTP off"),
    honoured("serving.max.inflight", COUNT, Is("512"), "inference calls handled at the same time; one more is answered 124 at once"),
    honoured("serving.adaptive", Kind::Flag, Is("true"), "whether fewer are handled while the process's own threads are late, that is, overloaded; hosts and feature sources that are slow do not count"),
    honoured("serving.model.share", Kind::Share, Unset, "part of serving.max.inflight, 0 to 1, that the calls of one model may take, but one call at least; one more is answered 124 at once; unset: all of it"),
    honoured("serving.max.message.bytes", Kind::Number { min: 1024, max: 1 << 30 }, Is("33554432"), "largest request that is read, gRPC message or HTTP body"),
    honoured("serving.max.body.bytes", Kind::Number { min: 1024, max: 1 << 40 }, Is("268435456"), "bytes of requests held at the same time, from arrival to answer; what would exceed them is refused at once"),
    honoured("serving.drain.timeout", Kind::Number { min: 0, max: 600_000 }, Is("10000"), "ms a stopping server waits for calls in flight"),

    // Federation.
    honoured("serviceRoleName", Kind::Text, Is("serving"), "role written into the topics of packets"),
    honoured("proxy", Kind::Address, Unset, "host:port of the serving-proxy that reaches the other parties"),
    honoured("federation.hosts", Kind::HostTable, Unset, "partyId=host:port,… of serving-servers reached without a proxy"),
    honoured("federation.compact", Kind::Flag, Is("true"), "guest: hosts may answer tree models in bits; host: guests that offer it are answered so; Java peers always get and send JSON"),
    honoured("remote.coalesce.window", Kind::Number { min: 0, max: 100 }, Is("0"), "guest: ms that single inferences wait for each other, to ask a far host in one packet; 0: each has its own. Hosts answer them from feature.batch.adaptor"),
    honoured("remote.coalesce.max", Kind::Number { min: 2, max: 300 }, Is("64"), "guest: single inferences in one packet; not more than the hosts' batch.inference.max"),
    honoured("single.inference.rpc.timeout", MILLIS, Is("3000"), "ms for all hosts of a single inference together"),
    honoured("batch.inference.rpc.timeout", MILLIS, Is("3000"), "ms for all hosts of a batch together"),
    honoured("batch.inference.max", COUNT, Is("300"), "rows a host accepts in one batch"),
    honoured("batch.inference.guest.max", COUNT, Is("10000"), "rows a guest accepts in one batch"),
    key("batch.split.size", ANY_INT, Is("100"), NO_SPLITTING, "rows per sub task"),
    key("lr.use.parallel", Kind::Flag, Is("false"), NO_SPLITTING, "parallel linear models on the host"),
    key("lr.split.size", ANY_INT, Is("500"), NO_SPLITTING, "features per sub task"),
    honoured("grpc.timeout", MILLIS, Is("5000"), "ms for calls to other servers: model transfer, management over HTTP"),

    // Host features.
    honoured("feature.single.adaptor", Kind::Text, Unset, "source of a host's features, single: Java class name or mock, file, file-pick, http, http-header, sources"),
    honoured("feature.batch.adaptor", Kind::Text, Unset, "source of a host's features, batch: Java class name or mock, file, file-pick, parallel, sources"),
    honoured("feature.batch.single.adaptor", Kind::Text, Unset, "the single source that the parallel batch source asks"),
    honoured("feature.sources", Kind::List, Unset, "names of the sources that `sources` puts a row together from, the first with precedence; each has keys feature.source.NAME.…"),
    honoured("host.data.file", Kind::Text, Is("host_data.csv"), "file of the file and file-pick sources"),
    honoured("http.adapter.url", Kind::Url, Unset, "address that the http sources ask for features"),
    honoured("http.adapter.ca", Kind::Text, Unset, "PEM file of the authority that the http sources trust at an https address, instead of the system's"),
    honoured("http.connect.request.timeout", MILLIS, Is("10000"), "ms, http sources: waiting for a free connection"),
    honoured("http.connect.timeout", MILLIS, Is("10000"), "ms, http sources: connecting"),
    honoured("http.socket.timeout", MILLIS, Is("10000"), "ms, http sources: waiting for the answer"),
    key("http.max.pool.size", ANY_INT, Is("50"), Treatment::Ignored("unused by the Java server as well"), "connections of the http sources"),

    // Models.
    honoured("model.transfer.url", Kind::Url, Unset, "FATE-Flow's transfer address, asked when a load request names none and none is registered"),
    honoured("model.transfer.allow", Kind::UrlList, Unset, "URL prefixes models may be fetched from; unset: any http(s) URL that ends in /v1/model/transfer"),
    honoured("model.transfer.ca", Kind::Text, Unset, "PEM file of authorities that are trusted for https transfers besides the system's"),
    honoured("model.transfer.timeout", MILLIS, Unset, "ms for fetching a model; unset: httpclient.tran.sockect.timeout"),
    honoured("model.import.path", Kind::List, Unset, "directories model files may be loaded from; unset: the working directory"),
    honoured("model.max.bytes", Kind::Number { min: 1024, max: 1 << 40 }, Is("1073741824"), "largest model that is accepted"),
    honoured("model.semantics", Kind::Choice(&["fate", "java"]), Is("fate"), "numeric semantics of newly loaded models"),
    honoured("model.cache.path", Kind::Text, Unset, "directory that holds .fate, the store of models and bindings; unset: the working directory"),
    honoured("model.synchronize", Kind::Flag, Is("false"), "whether models may be fetched from and given to other servers"),
    honoured("sync.on.start", Kind::Flag, Is("false"), "whether a start copies the models and bindings of other nodes of this party before it takes calls"),
    honoured("sync.peers", Kind::AddressList, Unset, "host:port of those nodes, which need model.synchronize=true; unset: all that the registry knows"),
    honoured("httpclient.tran.sockect.timeout", MILLIS, Is("60000"), "ms for fetching a model, when model.transfer.timeout is unset"),
    key("httpclient.tran.connection.req.timeout", ANY_INT, Is("60000"), NO_SHARED_HTTP_POOL, "ms"),
    key("httpclient.tran.connection.timeout", ANY_INT, Is("60000"), NO_SHARED_HTTP_POOL, "ms"),

    // Honest scores.
    honoured("response.details", Kind::Flag, Is("false"), "guest: every answer tells what its rows brought along; host: guests that ask are told names of features, not only counts"),
    honoured("min.feature.hit.rate", Kind::Share, Unset, "part of the needed features, 0 to 1, below which a row is answered 131 instead of scored; unset: every row is scored"),

    // Operation.
    honoured("admin.token", Kind::Secret, Unset, "what changes over HTTP (/server/…) have to bring along as Authorization: Bearer; unset: nothing"),
    honoured("limit.caller.qps", COUNT, Unset, "inference calls a second of each client; one more is answered 124 at once; unset: no limit"),
    honoured("limit.caller.header", Kind::Text, Is("appKey"), "header that tells clients apart; without it, their addresses do"),
    trace::KEYS[0],
    trace::KEYS[1],
    log_settings::KEYS[0],
    log_settings::KEYS[1],
    log_settings::KEYS[2],
    log_settings::KEYS[3],
    log_settings::KEYS[4],
    log_settings::KEYS[5],
    honoured("health.check.allow", Kind::Flag, Is("true"), "whether checkHealthService answers"),

    // Registry.
    honoured("useRegister", Kind::Flag, Is("true"), "register in ZooKeeper, when zk.url is set"),
    honoured("useZkRouter", Kind::Flag, Is("true"), "find the proxy through ZooKeeper, when useRegister and zk.url are set"),
    honoured("zk.url", Kind::Text, Unset, "host:port,… of the ZooKeeper servers"),
    honoured("zk.session.timeout", Kind::Number { min: 1000, max: 600_000 }, Is("20000"), "ms after which ZooKeeper forgets a server that is silent"),
    honoured("acl.enable", Kind::Flag, Is("false"), "log in to ZooKeeper and close every node that is created"),
    honoured("acl.username", Kind::Text, Unset, "ZooKeeper user"),
    honoured("acl.password", Kind::Secret, Unset, "ZooKeeper password"),
    honoured("register.ip", Kind::Text, Unset, "address that peers are told; unset: that of the host name, else of an interface"),
    honoured("registry.cache.path", Kind::Text, Unset, "directory of the last known providers and the weights; unset: ~/.fate"),

    // Cache of remote results.
    honoured("remoteModelInferenceResultCacheSwitch", Kind::Flag, Is("false"), "guest: what hosts answered is remembered, and they are not asked again for the same ids"),
    honoured("cache.type", Kind::Choice(&["local", "redis"]), Is("local"), "where it is remembered: in this process, or in a Redis that servers share, Java's included"),
    honoured("local.cache.maxsize", COUNT, Is("10000"), "local: entries at the same time; those that were not used for longest leave"),
    honoured("local.cache.max.bytes", Kind::Number { min: 65536, max: 1 << 40 }, Is("67108864"), "local: bytes of all entries together"),
    honoured("local.cache.expire", ANY_INT, Is("30"), "local: s after which an answer is forgotten, however often it was used; 0 and less: never"),
    key("local.cache.interval", ANY_INT, Is("3"), Treatment::Ignored("an answer is forgotten at its time, without a sweep"), "s between two sweeps"),
    honoured("redis.ip", Kind::Text, Unset, "Redis: host"),
    honoured("redis.port", Kind::Port, Is("3306"), "Redis: port; Redis itself listens on 6379"),
    honoured("redis.password", Kind::Secret, Unset, "Redis: password"),
    honoured("redis.cluster.nodes", Kind::Text, Unset, "Redis: host:port,… of some servers of a cluster, instead of redis.ip and redis.port"),
    honoured("redis.tls", Kind::Flag, Is("false"), "Redis: over TLS"),
    honoured("redis.tls.ca", Kind::Text, Unset, "Redis: PEM file of the authority that is trusted, instead of the system's"),
    honoured("redis.timeout", MILLIS, Is("2000"), "Redis: ms for an answer, never more than a quarter of the hosts' time; then hosts are asked, and Redis is left alone for a while"),
    honoured("redis.expire", ANY_INT, Is("3000"), "Redis: s after which an answer is forgotten; 0 and less: never"),
    key("redis.maxTotal", ANY_INT, Is("20"), ONE_CONNECTION, "connections"),
    key("redis.maxIdle", ANY_INT, Is("2"), ONE_CONNECTION, "connections"),

    // Threads and HTTP pools of the Java server.
    key("serving.core.pool.size", ANY_INT, Processors(1), NO_THREAD_POOL, "gRPC threads"),
    key("serving.max.pool.size", ANY_INT, Processors(2), NO_THREAD_POOL, "gRPC threads"),
    key("serving.pool.alive.time", ANY_INT, Is("1000"), NO_THREAD_POOL, "ms"),
    key("serving.pool.queue.size", ANY_INT, Is("100"), NO_THREAD_POOL, "calls"),
    key("httpclinet.config.connection.req.timeout", ANY_INT, Is("500"), NO_SHARED_HTTP_POOL, "ms"),
    key("httpclient.config.connection.timeout", ANY_INT, Is("500"), NO_SHARED_HTTP_POOL, "ms"),
    key("httpclient.config.sockect.timeout", ANY_INT, Is("2000"), NO_SHARED_HTTP_POOL, "ms"),
    key("httpclient.init.pool.maxtotal", ANY_INT, Is("500"), NO_SHARED_HTTP_POOL, "connections"),
    key("httpclient.init.pool.def.max.pre.route", ANY_INT, Is("200"), NO_SHARED_HTTP_POOL, "connections"),
    key("httpclient.init.pool.sockect.timeout", ANY_INT, Is("10000"), NO_SHARED_HTTP_POOL, "ms"),
    key("httpclient.init.pool.connection.timeout", ANY_INT, Is("10000"), NO_SHARED_HTTP_POOL, "ms"),
    key("httpclient.init.pool.connection.req.timeout", ANY_INT, Is("10000"), NO_SHARED_HTTP_POOL, "ms"),
];
