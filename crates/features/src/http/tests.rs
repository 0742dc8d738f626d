use std::time::Duration;

use tokio::net::TcpStream;

use super::*;
use crate::registry::single_source;
use crate::test_service::{Reply, TestService};

const IDS: &str = r#"{"id":"1", "n":3.50,"name":"ü"}"#;
const GOOD: &str = r#"{"code":200,"data":{"x0":1}}"#;

async fn ask(settings: &Settings) -> Result<FeatureRow, Fault> {
    let source = single_source("HttpAdapter", settings).expect("source");
    source.fetch(IDS).await
}

/// The 110 of a broken exchange, with the part of its text that must name the cause.
async fn assert_broken(settings: &Settings, part: &str) {
    let fault = ask(settings).await.expect_err(part);
    assert_eq!(fault.code.0, 110, "{fault}");
    assert!(fault.message.contains(part), "{part}: {fault}");
    assert!(!fault.message.contains("secret"), "{fault}");
}

#[test]
fn contract_table() {
    let deep = format!("{{\"code\":0,\"data\":{}1", "[".repeat(100_000));
    let cases: &[(&str, Result<&str, i32>)] = &[
        // As documented.
        (GOOD, Ok(r#"{"x0":1}"#)),
        (r#" {"data":{"x0":1},"code":0} "#, Ok(r#"{"x0":1}"#)),
        // Numbers stay as they were written.
        (
            r#"{"code":0,"data":{"x0":1.0,"x1":12345678901234567890,"x2":"7","x3":1e400}}"#,
            Ok(r#"{"x0":1.0,"x1":12345678901234567890,"x2":"7","x3":1e400}"#),
        ),
        // As Java 2.1.7 reads them: beside the inner data, in it, both.
        (
            r#"{"code":0,"data":{"code":200,"x300":1.5,"data":{}}}"#,
            Ok(r#"{"x300":1.5}"#),
        ),
        (
            r#"{"code":0,"data":{"code":200,"data":{"x1":2,"code":200,"data":3}}}"#,
            Ok(r#"{"x1":2}"#),
        ),
        (
            r#"{"code":200,"data":{"code":"200","data":{"x1":2,"x0":9},"x0":1.50}}"#,
            Ok(r#"{"x0":1.50,"x1":2}"#),
        ),
        (
            r#"{"code":0,"data":{"code":200,"x0":1}}"#,
            Ok(r#"{"x0":1}"#),
        ),
        (
            r#"{"code":0,"data":{"code":200,"x0":1,"data":null}}"#,
            Ok(r#"{"x0":1}"#),
        ),
        (r#"{"code":0,"data":{"data":{"x0":1}}}"#, Ok(r#"{"x0":1}"#)),
        // A feature that happens to be called data.
        (
            r#"{"code":0,"data":{"data":5,"x0":1}}"#,
            Ok(r#"{"data":5,"x0":1}"#),
        ),
        // Java's int: missing and null are 0, texts and fractions are taken, the last of two counts.
        (r#"{"data":{"x0":1}}"#, Ok(r#"{"x0":1}"#)),
        (r#"{"code":null,"data":{"x0":1}}"#, Ok(r#"{"x0":1}"#)),
        (r#"{"code":"200","data":{"x0":1}}"#, Ok(r#"{"x0":1}"#)),
        (r#"{"code":200.0,"data":{"x0":1}}"#, Ok(r#"{"x0":1}"#)),
        (
            r#"{"code":404,"code":0,"data":{"x0":1}}"#,
            Ok(r#"{"x0":1}"#),
        ),
        // No features.
        (r#"{"code":404,"data":{"x0":1}}"#, Err(116)),
        (r#"{"code":500,"data":{"x0":1}}"#, Err(116)),
        (r#"{"code":-1}"#, Err(116)),
        (r#"{"code":1e300,"data":{"x0":1}}"#, Err(116)),
        (r#"{"code":0}"#, Err(116)),
        (r#"{"code":0,"data":null}"#, Err(116)),
        (r#"{"code":200,"data":{}}"#, Err(116)),
        (r#"{"code":0,"data":{"code":200,"data":{}}}"#, Err(116)),
        (r#"{"code":0,"data":{"code":200}}"#, Err(116)),
        (
            r#"{"code":0,"data":{"code":404,"data":{"x0":1}}}"#,
            Err(116),
        ),
        (r#"{"code":0,"data":{"code":"no","x0":1}}"#, Err(116)),
        (r#"{"x0":1}"#, Err(116)),
        ("{}", Err(116)),
        // No answer of this protocol.
        ("", Err(110)),
        ("null", Err(110)),
        ("[]", Err(110)),
        ("<html></html>", Err(110)),
        (r#"{"code":0,"data":{"x0":1}"#, Err(110)),
        (r#"{"code":0,"data":{"x0":NaN}}"#, Err(110)),
        (r#"{"code":true,"data":{"x0":1}}"#, Err(110)),
        (r#"{"code":"ok","data":{"x0":1}}"#, Err(110)),
        (r#"{"code":1e400,"data":{"x0":1}}"#, Err(110)),
        (r#"{"code":0,"data":[]}"#, Err(110)),
        (r#"{"code":0,"data":"x0:1"}"#, Err(110)),
        (r#"{"code":0,"data":{"code":200,"data":7}}"#, Err(110)),
        (&deep, Err(110)),
    ];
    for (body, expected) in cases {
        let got = features(body.as_bytes()).map_err(|fault| fault.code.0);
        let expected = expected.map(|text| FeatureRow::Json(text.to_owned()));
        let shown: String = body.chars().take(80).collect();
        assert_eq!(got, expected, "{shown}");
    }
    let fault = features(b"{\"code\":0,\"data\":{\"x\":\"\xff\"}}").expect_err("bytes");
    assert_eq!(fault.code.0, 110);
}

#[tokio::test]
async fn the_ids_are_posted_as_received_and_the_status_is_not_looked_at() {
    for status in [200, 302, 404, 500] {
        let service = TestService::start(Reply::answer(status, GOOD)).await;
        let row = ask(&service.settings()).await;
        assert_eq!(row, Ok(FeatureRow::Json(r#"{"x0":1}"#.to_owned())));
        let [request] = &service.requests()[..] else {
            panic!("one request, redirects are not followed");
        };
        assert_eq!(request.body, IDS);
        assert!(
            request
                .head
                .starts_with("post /features?key=secret http/1.1\r\n")
        );
        assert!(
            request
                .head
                .contains("content-type: application/json;charset=utf-8\r\n")
        );
        assert!(!request.head.contains("content-encoding"));
    }
}

#[tokio::test]
async fn calls_share_a_connection() {
    let service = TestService::start(Reply::answer(200, GOOD)).await;
    let source = single_source("http", &service.settings()).expect("source");
    let rows = source.fetch_batch(&[IDS; 20]).await.expect("rows");
    assert!(rows.iter().all(Result::is_ok), "{rows:?}");
    assert_eq!((service.requests().len(), service.connections()), (20, 1));
}

#[tokio::test]
async fn a_connection_that_the_service_gave_up_does_no_harm() {
    let service = TestService::start(Reply::AnswerAndClose(GOOD.into())).await;
    let source = single_source("http", &service.settings()).expect("source");
    let rows = source.fetch_batch(&[IDS; 50]).await.expect("rows");
    assert!(rows.iter().all(Result::is_ok), "{rows:?}");
    assert_eq!((service.requests().len(), service.connections()), (50, 50));
}

#[tokio::test]
async fn a_service_that_never_answers_is_asked_twice_at_most() {
    let service = TestService::start(Reply::Close).await;
    assert_broken(
        &service.settings(),
        "connection closed before message completed",
    )
    .await;
    assert_eq!(service.connections(), 2);
}

#[tokio::test]
async fn broken_answers() {
    let body = GOOD.as_bytes();
    let large = vec![b' '; 1025];
    for (reply, part) in [
        (Reply::Cut(body.into(), body.len() + 1), "HTTP 200 OK, then"),
        (Reply::Answer(200, large), "larger than 1024 bytes"),
        (Reply::Endless, "larger than 1024 bytes"),
        (Reply::Raw(b"no HTTP at all\r\n\r\n".into()), "invalid HTTP"),
        (
            Reply::Raw([&b"HTTP/1.1 200 x\r\nx: "[..], &[b'x'; 1 << 20][..]].concat()),
            "POST http://127.0.0.1:",
        ),
    ] {
        let service = TestService::start(reply).await;
        assert_broken(&service.settings(), part).await;
        assert_eq!(service.requests().len(), 1, "{part}: not asked again");
    }
}

#[tokio::test]
async fn an_answer_of_just_the_limit_is_taken() {
    let mut body = GOOD.as_bytes().to_vec();
    body.resize(1024, b' ');
    let service = TestService::start(Reply::Answer(200, body)).await;
    assert!(ask(&service.settings()).await.is_ok());
}

#[tokio::test]
async fn slow_services() {
    for reply in [Reply::Silence, Reply::Stall(GOOD.into(), 100)] {
        let service = TestService::start(reply).await;
        let settings = Settings {
            http_socket_timeout: Duration::from_millis(300),
            ..service.settings()
        };
        assert_broken(&settings, "no complete answer within 300ms").await;
        assert_eq!(
            service.requests().len(),
            1,
            "a slow service is not asked again"
        );
    }
}

#[tokio::test]
async fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    drop(listener);
    let settings = Settings {
        http_url: Some(format!("http://{address}/")),
        ..Settings::default()
    };
    assert_broken(&settings, "refused").await;
}

#[tokio::test]
async fn a_service_that_accepts_no_connection() {
    let socket = tokio::net::TcpSocket::new_v4().expect("socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("bind");
    let listener = socket.listen(1).expect("listen");
    let address = listener.local_addr().expect("address");
    // The system completes connections by itself until its queue is full.
    let mut queue = Vec::new();
    let brief = Duration::from_millis(200);
    while let Ok(stream) = tokio::time::timeout(brief, TcpStream::connect(address)).await {
        queue.push(stream.expect("connected"));
        assert!(queue.len() < 1000, "the queue has no end");
    }
    let settings = Settings {
        http_url: Some(format!("http://{address}/")),
        http_connect_timeout: brief,
        ..Settings::default()
    };
    let fault = ask(&settings).await.expect_err("no connection");
    assert_eq!(fault.code.0, 110, "{fault}");
    let texts = ["no connection within 200ms", "tcp connect error"];
    assert!(
        texts.iter().any(|text| fault.message.contains(text)),
        "{fault}"
    );
}

#[tokio::test]
async fn a_host_name_is_looked_up() {
    let service = TestService::start(Reply::answer(200, GOOD)).await;
    let mut settings = service.settings();
    settings.http_url = settings
        .http_url
        .map(|url| url.replace("127.0.0.1", "localhost"));
    assert!(ask(&settings).await.is_ok());
    let unknown = Settings {
        // RFC 6761: never resolves.
        http_url: Some("http://no-such-host.invalid/".to_owned()),
        http_connect_timeout: Duration::from_secs(2),
        ..Settings::default()
    };
    let fault = ask(&unknown).await.expect_err("no such host");
    assert_eq!(fault.code.0, 110, "{fault}");
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_only_so_long() {
    let service = TestService::start(Reply::Silence).await;
    let settings = Settings {
        http_max_calls: 1,
        http_connect_request_timeout: Duration::from_millis(20),
        ..service.settings()
    };
    let source = single_source("http", &settings).expect("source");
    let first = tokio::spawn({
        let source = Arc::clone(&source);
        async move { source.fetch(IDS).await }
    });
    while service.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    let fault = source.fetch(IDS).await.expect_err("no call is free");
    assert_eq!(fault.code.0, 110, "{fault}");
    assert!(fault.message.contains("all of the 1 calls"), "{fault}");
    assert_eq!(service.requests().len(), 1);
    // A caller that gives up frees its call: the next one gets through to the service.
    first.abort();
    assert!(first.await.expect_err("aborted").is_cancelled());
    let next = tokio::spawn(async move { source.fetch(IDS).await });
    while service.requests().len() < 2 {
        assert!(!next.is_finished(), "no call is free");
        tokio::task::yield_now().await;
    }
    next.abort();
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let with_url = |url: &str| Settings {
        http_url: Some(url.to_owned()),
        ..Settings::default()
    };
    let good = with_url(" http://127.0.0.1:9380/v1/http/adapter/getFeature ");
    assert!(single_source("HttpAdapter", &good).is_ok());
    let no_calls = Settings {
        http_max_calls: 0,
        ..good.clone()
    };
    let no_time = Settings {
        http_socket_timeout: Duration::ZERO,
        ..good.clone()
    };
    for (settings, part) in [
        (Settings::default(), "http.adapter.url is not set"),
        (with_url("  "), "http.adapter.url is not set"),
        (
            with_url("ftp://host/x"),
            "does not begin with http:// or https://",
        ),
        (with_url("host/x"), "http.adapter.url"),
        (with_url("/x"), "does not begin with http://"),
        (with_url("http://"), "http.adapter.url"),
        (with_url("http://:80/"), "http.adapter.url"),
        (with_url("http://user:secret@host/"), "a user name"),
        (with_url("http://a b/"), "not a URL"),
        (no_calls, "no call may run"),
        (no_time, "http.socket.timeout is 0"),
    ] {
        for name in ["http", "http-header"] {
            let error = single_source(name, &settings).expect_err(part);
            assert!(matches!(error, Error::Setting { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(part) && text.contains(name), "{part}: {text}");
        }
    }
}
