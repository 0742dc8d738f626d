//! The bodies of contract 04 A.2.4, byte by byte.

use fate_proto::inference::InferenceMessage;
use fate_proto::inference::inference_service_server::{InferenceService, InferenceServiceServer};
use hyper::Method;
use serde_json::{Value, json};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::asking::{http, post};
use crate::lone_proxy::LoneProxy;
use crate::parties::address;

const INFERENCE: &str = "/federation/v1/inference";
const SYSTEM_ERROR: &str = r#"{"code":110,"message":"SYSTEM_ERROR"}"#;
const ASKING: &str = r#"{"head":{"serviceId":"s"},"body":{"featureData":{}}}"#;

/// A port where nobody listens.
async fn closed_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// What stands in the body of a packet.
fn body_of(packet: &str) -> String {
    use base64::Engine as _;
    let packet: Value = serde_json::from_str(packet).unwrap();
    let value = packet["body"]["value"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(value);
    String::from_utf8(bytes.unwrap()).unwrap()
}

#[tokio::test]
async fn what_cannot_be_read() {
    let alone = LoneProxy::start(&json!({}), &[]).await;
    let address = alone.proxy.http_addr.unwrap();
    for body in [
        "",
        "null",
        "[]",
        r#"{"head":{},}"#,
        r#"{"head":[]}"#,
        r#"{"body":1}"#,
        r#"{"head":{"serviceId":1}}"#,
        r#"{"head":{"appid":{}}}"#,
    ] {
        assert_eq!(post(address, INFERENCE, body).await, SYSTEM_ERROR, "{body}");
    }
    for path in [INFERENCE, "/federation/v1/nothing", "/unary"] {
        for method in [Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = http(address, method.clone(), path, &[], ASKING).await;
            assert_eq!(answer, (200, SYSTEM_ERROR.to_owned()), "{method} {path}");
        }
    }
    // Services of the Java proxy that take no such requests.
    for call in ["unaryCall", "commonService", "routerTableService"] {
        let path = format!("/federation/v1/{call}");
        assert_eq!(post(address, &path, ASKING).await, SYSTEM_ERROR, "{call}");
    }
    let unknown = r#"{"retcode":122,"retmsg":"SERVICE_NOT_FOUND","data":{},"flag":0}"#;
    for call in ["nothing", "NotFound", "Inference", "%69nferences", "%FF"] {
        let path = format!("/federation/v1/{call}");
        assert_eq!(post(address, &path, ASKING).await, unknown, "{call}");
        assert_eq!(post(address, &path, "{").await, SYSTEM_ERROR, "{call}");
    }
    let (status, text) = http(address, Method::GET, "/nowhere", &[], "").await;
    let document: Value = serde_json::from_str(&text).unwrap();
    let error = (&document["status"], &document["error"], &document["path"]);
    assert_eq!(status, 404);
    assert_eq!(
        error,
        (&404.into(), &"Not Found".into(), &"/nowhere".into())
    );
    assert!(document["timestamp"].is_i64(), "{text}");
}

#[tokio::test]
async fn any_media_type_but_what_is_none() {
    let alone = LoneProxy::start(&json!({"1": {}}), &[]).await;
    let address = alone.proxy.http_addr.unwrap();
    let no_host = r#""value":"#;
    let post = |path: &'static str, content_type: &'static str, body: &'static str| {
        let headers = [("content-type", content_type)];
        async move { http(address, Method::POST, path, &headers, body).await }
    };
    for content_type in [
        "application/json",
        "application/json; charset=UTF-8",
        "text/plain",
        "application/x-www-form-urlencoded",
        "image/png",
        "*/*",
        "*",
        "",
    ] {
        let (status, text) = post(INFERENCE, content_type, ASKING).await;
        let is_read = text.starts_with(r#"{"retcode":110,"retmsg":"No available endpoint"#);
        assert!(status == 200 && is_read, "{content_type}: {text}");
        let (_, packet) = post("/unary", content_type, "{}").await;
        assert!(packet.contains(no_host), "{content_type}: {packet}");
    }
    for content_type in [
        "json",
        "application/",
        "/json",
        "a b/c",
        "text/(plain)",
        ";",
    ] {
        for path in [INFERENCE, "/unary"] {
            let answer = post(path, content_type, ASKING).await;
            assert_eq!(
                answer,
                (200, SYSTEM_ERROR.to_owned()),
                "{path} {content_type}"
            );
        }
    }
}

/// Java answers an `IllegalArgumentException` with 120 where it escapes every adaptor; as far as its controllers were
/// read, no request makes one escape. Those that adaptors throw are 110 with their text, in both families.
#[tokio::test]
async fn arguments_that_are_none_are_110_not_120() {
    let alone = LoneProxy::start(&json!({"1": {}}), &[]).await;
    let address = alone.proxy.http_addr.unwrap();
    let (_, no_host) = http(address, Method::POST, "/unary", &[], "{}").await;
    assert_eq!(
        body_of(&no_host),
        r#"{"retcode":610,"retmsg":"host id is null"}"#
    );
    let get = |path: &'static str| http(address, Method::GET, path, &[], "");
    for path in [
        "/proxy/alterSysLogLevel/nonsense",
        "/proxy/alterPkgLogLevel",
        "/proxy/alterPkgLogLevel?level=nonsense&pkgName=x",
    ] {
        let failed = "failed";
        assert_eq!(get(path).await, (200, failed.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn what_leads_nowhere() {
    let port = closed_port().await;
    let routes = json!({"9999": {"serving": [{"ip": "127.0.0.1", "port": port}]}});
    let unreachable = LoneProxy::start(&routes, &[]).await;
    let text = post(unreachable.proxy.http_addr.unwrap(), INFERENCE, ASKING).await;
    assert_eq!(text, r#"{"retcode":105,"retmsg":"remote rpc exception"}"#);

    let alone = LoneProxy::start(&json!({"1": {}}), &[]).await;
    let address = alone.proxy.http_addr.unwrap();
    let no_party = concat!(
        r#"{"retcode":110,"retmsg":"No available endpoint for the coordinator: 9999. "#,
        r#"Considering adding a default endpoint?"}"#
    );
    assert_eq!(post(address, INFERENCE, ASKING).await, no_party);
    assert_eq!(
        post(address, "/federation/v1/batchInference", ASKING).await,
        no_party
    );

    let no_table = LoneProxy::start(&json!({}), &[("route.table", "/nonexistent/table")]).await;
    assert_eq!(
        post(no_table.proxy.http_addr.unwrap(), INFERENCE, ASKING).await,
        r#"{"retcode":128,"retmsg":"serving-proxy can not find router info "}"#
    );
}

/// A server that answers every inference with this body.
#[derive(Clone)]
struct Answering(&'static str);

#[tonic::async_trait]
impl InferenceService for Answering {
    async fn inference(
        &self,
        _: Request<InferenceMessage>,
    ) -> Result<Response<InferenceMessage>, Status> {
        Ok(Response::new(InferenceMessage {
            body: self.0.into(),
            ..InferenceMessage::default()
        }))
    }

    async fn batch_inference(
        &self,
        asked: Request<InferenceMessage>,
    ) -> Result<Response<InferenceMessage>, Status> {
        self.inference(asked).await
    }
}

#[tokio::test]
async fn what_servers_answer() {
    for (answer, expected) in [
        ("", "{}"),
        ("[1]", ""),
        ("nonsense", ""),
        (
            r#"{"log":{},"retcode":0,"retmsg":"","warn":[],"caseid":"c","data":{"score":0.50,"log":1},"flag":0}"#,
            r#"{"retcode":0,"retmsg":"","data":{"score":0.50,"log":1},"flag":0}"#,
        ),
        (
            r#"{"retcode":104,"retmsg":"x"}"#,
            r#"{"retcode":104,"retmsg":"x"}"#,
        ),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let routes = json!({"9999": {"serving": [address(listener.local_addr().unwrap())]}});
        let service = InferenceServiceServer::new(Answering(answer));
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        let proxy = LoneProxy::start(&routes, &[]).await;
        let at = proxy.proxy.http_addr.unwrap();
        for call in ["inference", "batchInference"] {
            let path = format!("/federation/v1/{call}");
            assert_eq!(post(at, &path, ASKING).await, expected, "{call} {answer}");
        }
    }
}

#[tokio::test]
async fn packets_as_json() {
    let alone = LoneProxy::start(&json!({"1": {}}), &[]).await;
    let address = alone.proxy.http_addr.unwrap();
    for unreadable in ["", "x", r#"{"unknown":1}"#] {
        let answer = post(address, "/unary", unreadable).await;
        let expected = r#"{"retcode":134,"retmsg":"invalid http param"}"#;
        assert_eq!(body_of(&answer), expected, "{unreadable}");
    }
    for (packet, expected) in [
        (r#"{}"#, r#"{"retcode":610,"retmsg":"host id is null"}"#),
        (
            r#"{"header":{"dst":{"partyId":10000}}}"#,
            r#"{"retcode":610,"retmsg":"guest id is null"}"#,
        ),
    ] {
        // Java proxies send this header.
        let headers = [("content-encoding", "UTF-8")];
        let (_, answer) = http(address, Method::POST, "/unary", &headers, packet).await;
        assert_eq!(body_of(&answer), expected, "{packet}");
    }
}

#[tokio::test]
async fn health_log_levels_and_a_context_path() {
    let properties = [("server.servlet.context-path", "/fate/")];
    let alone = LoneProxy::start(&json!({}), &properties).await;
    let address = alone.proxy.http_addr.unwrap();
    let get = |path: &'static str| http(address, Method::GET, path, &[], "");
    assert_eq!(
        get("/fate/health").await,
        (200, r#"{"status":"UP"}"#.to_owned())
    );
    let (status, ready) = get("/fate/ready").await;
    assert!(
        status == 200 && ready.contains(r#""ready":true"#),
        "{ready}"
    );
    // A program that gives no access to its log levels.
    assert_eq!(
        get("/fate/proxy/alterSysLogLevel/INFO").await,
        (200, "failed".to_owned())
    );
    assert_eq!(get("/health").await.0, 404);
}

#[tokio::test]
async fn a_body_that_does_not_come() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let alone = LoneProxy::start(&json!({}), &[("proxy.async.timeout", "200")]).await;
    let mut connection = tokio::net::TcpStream::connect(alone.proxy.http_addr.unwrap())
        .await
        .unwrap();
    let head = "POST /federation/v1/inference HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let count = connection.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    assert!(answer.ends_with(SYSTEM_ERROR), "{answer}");
}
