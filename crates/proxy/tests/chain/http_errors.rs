//! The bodies of contract 04 A.2.4, byte by byte.

use hyper::Method;
use serde_json::{Value, json};

use crate::asking::{http, post};
use crate::lone_proxy::LoneProxy;

const INFERENCE: &str = "/federation/v1/inference";
const SYSTEM_ERROR: &str = r#"{"code":110,"message":"SYSTEM_ERROR"}"#;
const ASKING: &str = r#"{"head":{"serviceId":"s"},"body":{"featureData":{}}}"#;

/// A port where nobody listens.
async fn closed_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
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
    let put = http(address, Method::PUT, INFERENCE, &[], ASKING).await;
    assert_eq!(put, (200, SYSTEM_ERROR.to_owned()));
    let unknown = r#"{"retcode":122,"retmsg":"SERVICE_NOT_FOUND","data":{},"flag":0}"#;
    for call in ["nothing", "unaryCall", "commonService", "NotFound"] {
        let path = format!("/federation/v1/{call}");
        assert_eq!(post(address, &path, ASKING).await, unknown, "{call}");
    }
    let (status, text) = http(address, Method::GET, "/nowhere", &[], "").await;
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, document["path"].as_str()), (404, Some("/nowhere")));
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

#[tokio::test]
async fn packets_as_json() {
    let alone = LoneProxy::start(&json!({"1": {}}), &[]).await;
    let address = alone.proxy.http_addr.unwrap();
    let body = |text: String| -> String {
        let packet: Value = serde_json::from_str(&text).unwrap();
        use base64::Engine as _;
        let value = packet["body"]["value"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(value);
        String::from_utf8(bytes.unwrap()).unwrap()
    };
    for unreadable in ["", "x", r#"{"unknown":1}"#] {
        let answer = post(address, "/unary", unreadable).await;
        let expected = r#"{"retcode":134,"retmsg":"invalid http param"}"#;
        assert_eq!(body(answer), expected, "{unreadable}");
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
        assert_eq!(body(answer), expected, "{packet}");
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
