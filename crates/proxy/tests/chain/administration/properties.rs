//! `listProps`: Java's names, types of their own, no secrets.

use serde_json::Value;

use super::{Admin, Managed};
use crate::parties::More;

/// What a Java server lists (contract 01 §1.8): `n` numbers, `f` flags, `t` texts.
const OF_SERVER: &str = "
    n batch.inference.max, n redis.port, n redis.maxIdle, n redis.timeout, n redis.expire, n redis.maxTotal, n lr.split.size,
    n grpc.timeout, n serving.core.pool.size, n serving.max.pool.size, n serving.pool.queue.size, n serving.pool.alive.time,
    n local.cache.interval, n local.cache.maxsize, n local.cache.expire, n currentVersion, n single.inference.rpc.timeout,
    n batch.inference.rpc.timeout, n batch.split.size, n http.max.pool.size, n http.socket.timeout, n http.connect.timeout,
    n http.connect.request.timeout, n server.port, n httpclinet.config.connection.req.timeout,
    n httpclient.config.connection.timeout, n httpclient.config.sockect.timeout, n httpclient.init.pool.maxtotal,
    n httpclient.init.pool.def.max.pre.route, n httpclient.init.pool.sockect.timeout,
    n httpclient.init.pool.connection.timeout, n httpclient.init.pool.connection.req.timeout,
    n httpclient.tran.connection.req.timeout, n httpclient.tran.connection.timeout, n httpclient.tran.sockect.timeout,
    f lr.use.parallel, f useZkRouter, f useRegister, f health.check.allow, f model.synchronize, f acl.enable,
    f remoteModelInferenceResultCacheSwitch, f print.input.data, f print.output.data,
    t serviceRoleName, t cache.type, t model.cache.path, t model.transfer.url, t proxy, t feature.single.adaptor,
    t feature.batch.adaptor, t http.adapter.url, t zk.url, t redis.ip, t redis.password, t acl.username, t acl.password";

/// What a Java proxy lists (contract 04 A.10).
const OF_PROXY: &str = "
    n coordinator, n server.port, t inference.service.name, t routeType, t route.table, t auth.file, f auth.open, f useZkRouter,
    t zk.url, f acl.enable, t acl.username, t acl.password, n proxy.grpc.intra.port, n proxy.grpc.inter.port,
    n proxy.grpc.inference.timeout, n proxy.grpc.inference.async.timeout, n proxy.grpc.batch.inference.timeout,
    n proxy.grpc.unaryCall.timeout, n proxy.grpc.threadpool.coresize, n proxy.grpc.threadpool.maxsize,
    n proxy.grpc.threadpool.queuesize, n proxy.async.timeout, n proxy.async.coresize, n proxy.async.maxsize,
    t proxy.grpc.inter.negotiationType, f print.input.data, f print.output.data, f health.check.allow,
    n httpclinet.config.connection.req.timeout, n httpclient.config.connection.timeout, n httpclient.config.sockect.timeout,
    n httpclient.init.pool.maxtotal, n httpclient.init.pool.def.max.pre.route, n httpclient.init.pool.sockect.timeout,
    n httpclient.init.pool.connection.timeout, n httpclient.init.pool.connection.req.timeout,
    n httpclient.tran.connection.req.timeout, n httpclient.tran.connection.timeout, n httpclient.tran.sockect.timeout,
    n http.connect.request.timeout, n http.connect.timeout, n http.socket.timeout, n http.max.pool.size,
    n currentVersion, t proxy.router.table";

const SECRET: &str = "correct-horse-battery";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_properties_in_their_own_types_and_no_secrets() {
    let more = More {
        server: &[
            (
                "model.transfer.url",
                "http://user:correct-horse-battery@127.0.0.1:9/v1/model/transfer",
            ),
            ("proxy", "127.0.0.1:8879"),
            ("feature.single.adaptor", "mock"),
            ("feature.batch.adaptor", "mock"),
            ("http.adapter.url", "http://127.0.0.1:9/"),
            ("redis.ip", "127.0.0.1"),
            ("redis.password", SECRET),
            ("acl.username", "fate"),
            ("acl.password", SECRET),
            ("admin.token", SECRET),
        ],
        proxy: &[
            ("acl.username", "fate"),
            ("acl.password", SECRET),
            ("admin.token", SECRET),
        ],
    };
    let Some(managed) = Managed::start(&more).await else {
        return;
    };
    let grpc = managed.parties.guest.server.grpc_addr.port();
    let mut server = managed.server().await;
    let listed = lists(&mut server, OF_SERVER, "").await;
    assert_eq!(listed["currentVersion"], 216);
    // Java's name for it.
    assert_eq!(listed["server.port"], grpc);
    let mut proxy = managed.proxy().await;
    let listed = lists(&mut proxy, OF_PROXY, "success").await;
    assert_eq!(listed["currentVersion"], 216);
    let table: Value =
        serde_json::from_str(listed["proxy.router.table"].as_str().unwrap()).unwrap();
    assert!(table["route_table"]["10000"].is_object(), "{table}");
    managed.stop().await;
}

async fn lists(admin: &mut Admin, names: &str, message: &str) -> Value {
    let (code, told, data) = admin.properties("").await;
    assert_eq!((code, told.as_str()), (0, message));
    assert!(!data.contains(SECRET), "{data}");
    let listed: Value = serde_json::from_str(&data).unwrap();
    for name in names.split(',').map(str::trim) {
        let (kind, name) = name.split_once(' ').unwrap();
        let value = &listed[name];
        let is_as_java_s = match kind {
            "n" => value.is_i64(),
            "f" => value.is_boolean(),
            _ => value.is_string(),
        };
        assert!(is_as_java_s, "{name}: {value}");
    }
    let all = listed.as_object().unwrap();
    assert!(
        all.values()
            .all(|value| !value.is_null() && !value.is_object() && !value.is_array())
    );

    let (_, _, some) = admin.properties("TIMEOUT").await;
    let some: Value = serde_json::from_str(&some).unwrap();
    let found: Vec<&String> = some.as_object().unwrap().keys().collect();
    let expected: Vec<&String> = all.keys().filter(|name| name.contains("timeout")).collect();
    assert!(!expected.is_empty());
    assert_eq!(found, expected);
    assert_eq!(admin.properties("no such thing").await.2, "{}");
    listed
}
