//! FATE-Flow as a source: what is sent, what comes back, what goes wrong.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use fate_model::LoadedModel;
use tokio::sync::Semaphore;

use crate::endpoint::{Endpoint, Reply};
use crate::golden::{guest, host, load_request, transfer_json};
use crate::{code_and_text, node, open};

const NO_DATA: &str = "model initialization error, please check if the model exists and the configuration of the \
                       FATEFLOW load model process is correct.";

fn good() -> Reply {
    Reply::Json(transfer_json(&guest().buffers))
}

#[tokio::test]
async fn the_request_is_fate_flows() {
    let endpoint = Endpoint::fixed(good()).await;
    let (_folder, settings) = node();
    let models = open(&settings).await;
    // As FATE-Flow sends it, and form-encoded.
    for file_path in [
        endpoint.url(),
        endpoint.url().replace(':', "%3A").replace('/', "%2F"),
    ] {
        let loaded = models
            .load(&load_request(&guest(), "FATEFLOW", &file_path))
            .await
            .unwrap();
        assert_eq!(loaded.resource_address, Some(endpoint.address()));
        assert_eq!(loaded.note, None);
    }
    // Without a type the address is not remembered.
    let loaded = models
        .load(&load_request(&guest(), "", &endpoint.url()))
        .await
        .unwrap();
    assert_eq!(loaded.resource_address, None);
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].request_line, "POST /v1/model/transfer HTTP/1.1");
    let header =
        |line: &String| line.eq_ignore_ascii_case("content-type: application/json;charset=UTF-8");
    assert!(seen[0].headers.iter().any(header), "{:?}", seen[0].headers);
    let body: serde_json::Value = serde_json::from_str(&seen[0].body).unwrap();
    let key = guest().key;
    assert_eq!(
        body,
        serde_json::json!({"name": key.table_name, "namespace": key.namespace})
    );
}

#[tokio::test]
async fn a_blank_file_path_leads_to_the_configured_url() {
    let endpoint = Endpoint::fixed(good()).await;
    let (_folder, mut settings) = node();
    settings.transfer_url = Some(endpoint.url());
    let models = open(&settings).await;
    let loaded = models
        .load(&load_request(&guest(), "FATEFLOW", " "))
        .await
        .unwrap();
    assert_eq!(loaded.resource_address, Some(endpoint.address()));
    assert_eq!(endpoint.seen().len(), 1);
}

#[tokio::test]
async fn failures_are_123_and_name_their_cause() {
    let json = |text: &str| Reply::Json(text.to_owned());
    let raw = |text: &str| Reply::Raw(text.as_bytes().to_vec());
    let not_found = "HTTP/1.1 404 NOT FOUND\r\nConnection: close\r\n\r\n{\"retmsg\": \"model not found\", \"retcode\": 404}";
    let redirect = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/v1/model/transfer\r\nContent-Length: 0\r\n\r\n";
    let cut_off = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"retcode\":0,";
    let cases: Vec<(Reply, &[&str])> = vec![
        (
            raw(not_found),
            &["HTTP 404", "retcode 404", "model not found"],
        ),
        (
            json(r#"{"retcode":100,"retmsg":"no such model"}"#),
            &["HTTP 200", "retcode 100: no such model"],
        ),
        (json(r#"{"retcode":"0","data":{}}"#), &["retcode \"0\""]),
        (
            json(r#"{"retcode":101,"data":[1],"retmsg":"m"}"#),
            &["retcode 101: m"],
        ),
        (
            json(r#"{"retcode":0,"retmsg":"success","data":{}}"#),
            &["there are no buffers"],
        ),
        (json(r#"{"retcode":0}"#), &["no data"]),
        (json(r#"{"retcode":0,"data":null}"#), &["no data"]),
        (
            json(r#"{"data":{"a.b:CMeta":"%%%"}}"#),
            &["a.b:CMeta", "Base64"],
        ),
        (json(r#"{"data":{"a.b:CMeta":17}}"#), &["a.b:CMeta"]),
        (
            json("<html>Bad Gateway</html>"),
            &["not FATE-Flow's JSON", "<html>"],
        ),
        (json(""), &["empty answer"]),
        (raw(redirect), &["302", "redirects are not followed"]),
        (raw(cut_off), &["HTTP 200"]),
        (raw("rubbish\r\n\r\n"), &["POST http://127.0.0.1"]),
        (raw(""), &["POST http://127.0.0.1"]),
        (Reply::Hang, &["no complete answer within"]),
        (Reply::Endless, &["larger than"]),
    ];
    for (reply, expected) in cases {
        let endpoint = Endpoint::fixed(reply.clone()).await;
        let (_folder, mut settings) = node();
        settings.transfer_timeout = Duration::from_millis(if matches!(reply, Reply::Hang) {
            100
        } else {
            20_000
        });
        settings.max_model_bytes = 1 << 20;
        let models = open(&settings).await;
        let (code, text) = code_and_text(
            models
                .load(&load_request(&guest(), "FATEFLOW", &endpoint.url()))
                .await,
        );
        assert_eq!(code, 123, "{text}");
        assert!(text.starts_with(NO_DATA), "{text}");
        for part in expected.iter().chain([&endpoint.url().as_str()]) {
            assert!(
                text.contains(part),
                "{part:?} is not in {text:?} for {reply:?}"
            );
        }
        assert_eq!(models.snapshot().models().count(), 0);
        assert_eq!(endpoint.seen().len(), 1, "asked once, {reply:?}");
    }
}

#[tokio::test]
async fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "http://{}/v1/model/transfer",
        listener.local_addr().unwrap()
    );
    drop(listener);
    let (_folder, settings) = node();
    let models = open(&settings).await;
    let (code, text) = code_and_text(models.load(&load_request(&guest(), "FATEFLOW", &url)).await);
    assert_eq!(code, 123);
    assert!(
        text.contains("onnection refused") && text.contains(&url),
        "{text}"
    );
    let (code, text) = code_and_text(models.load(&load_request(&guest(), "", "")).await);
    assert_eq!(code, 123);
    assert!(
        text.starts_with(NO_DATA) && text.contains("model.transfer.url is not set"),
        "{text}"
    );
}

#[tokio::test]
async fn a_model_larger_than_the_limit_is_refused() {
    let endpoint = Endpoint::fixed(good()).await;
    let (_folder, mut settings) = node();
    settings.max_model_bytes = 1000;
    let models = open(&settings).await;
    let (code, text) = code_and_text(
        models
            .load(&load_request(&guest(), "", &endpoint.url()))
            .await,
    );
    assert_eq!(code, 123);
    assert!(text.contains("the limit is 1000"), "{text}");
}

#[tokio::test]
async fn what_the_policy_forbids_is_never_asked_nor_replaced_by_the_stored_copy() {
    let endpoint = Endpoint::fixed(good()).await;
    let (_folder, settings) = node();
    let models = open(&settings).await;
    models
        .load(&load_request(&guest(), "", &endpoint.url()))
        .await
        .unwrap();
    let base = format!("http://{}", endpoint.address());
    for path in [
        "/v1/model/load",
        "/v1/model/transfer?x=1",
        "/v1/model/transfer/other~model/1",
        "/a?/v1/model/transfer",
    ] {
        let (code, text) = code_and_text(
            models
                .load(&load_request(&guest(), "", &format!("{base}{path}")))
                .await,
        );
        assert_eq!(code, 123, "{text}");
    }
    let https = endpoint.url().replace("http:", "https:");
    let (code, text) = code_and_text(models.load(&load_request(&host(), "", &https)).await);
    assert_eq!(code, 123);
    assert!(text.contains(&https), "no TLS is spoken here: {text}");
    assert_eq!(endpoint.seen().len(), 1);
}

#[tokio::test]
async fn the_allow_list_holds() {
    let endpoint = Endpoint::fixed(good()).await;
    let (_folder, mut settings) = node();
    settings.transfer_allow = vec![format!("http://{}/flow/", endpoint.address())];
    let models = open(&settings).await;
    let (code, text) = code_and_text(
        models
            .load(&load_request(&guest(), "", &endpoint.url()))
            .await,
    );
    assert_eq!(code, 123);
    assert!(
        text.contains("not allowed by model.transfer.allow"),
        "{text}"
    );
    let url = format!("http://{}/flow/v1/model/transfer", endpoint.address());
    models
        .load(&load_request(&guest(), "", &url))
        .await
        .unwrap();
    assert_eq!(endpoint.seen().len(), 1);
}

#[tokio::test]
async fn a_repetition_joins_the_running_load() {
    let gate = Arc::new(Semaphore::new(0));
    let endpoint = Endpoint::fixed(Reply::Gated(
        Arc::clone(&gate),
        transfer_json(&guest().buffers),
    ))
    .await;
    let (_folder, settings) = node();
    let models = open(&settings).await;
    let request = load_request(&guest(), "FATEFLOW", &endpoint.url());
    let mut first = pin!(models.load(&request));
    let mut second = pin!(models.load(&request));
    assert!(poll_once(first.as_mut()).await.is_pending());
    assert!(poll_once(second.as_mut()).await.is_pending());
    // A different request for the same model waits for its turn.
    let other = load_request(&guest(), "", &endpoint.url());
    let mut third = pin!(models.load(&other));
    assert!(poll_once(third.as_mut()).await.is_pending());
    endpoint.arrived.acquire().await.unwrap().forget();
    gate.add_permits(1);
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(endpoint.seen().len(), 1);
    gate.add_permits(1);
    let third = third.await.unwrap();
    assert!(!Arc::ptr_eq(&first, &third));
    assert_eq!(endpoint.seen().len(), 2);
    assert!(Arc::ptr_eq(
        models.snapshot().model(&guest().key).unwrap(),
        &third
    ));
    // Afterwards the same request loads again.
    gate.add_permits(1);
    models.load(&request).await.unwrap();
    assert_eq!(endpoint.seen().len(), 3);
}

#[tokio::test]
async fn a_load_ends_even_when_its_caller_goes_away() {
    let gate = Arc::new(Semaphore::new(0));
    let endpoint = Endpoint::fixed(Reply::Gated(
        Arc::clone(&gate),
        transfer_json(&guest().buffers),
    ))
    .await;
    let (_folder, settings) = node();
    let models = open(&settings).await;
    let mut changes = models.subscribe();
    let request = load_request(&guest(), "FATEFLOW", &endpoint.url());
    {
        let mut load = pin!(models.load(&request));
        assert!(poll_once(load.as_mut()).await.is_pending());
        endpoint.arrived.acquire().await.unwrap().forget();
    }
    gate.add_permits(1);
    changes.changed().await.unwrap();
    assert!(models.snapshot().model(&guest().key).is_some());
}

#[tokio::test]
async fn different_models_load_at_the_same_time() {
    let gate = Arc::new(Semaphore::new(0));
    let slow = Endpoint::fixed(Reply::Gated(
        Arc::clone(&gate),
        transfer_json(&guest().buffers),
    ))
    .await;
    let fast = Endpoint::fixed(Reply::Json(transfer_json(&host().buffers))).await;
    let (_folder, settings) = node();
    let models = open(&settings).await;
    let request = load_request(&guest(), "", &slow.url());
    let mut first = pin!(models.load(&request));
    assert!(poll_once(first.as_mut()).await.is_pending());
    models
        .load(&load_request(&host(), "", &fast.url()))
        .await
        .unwrap();
    gate.add_permits(1);
    first.await.unwrap();
    assert_eq!(models.snapshot().models().count(), 2);
}

#[tokio::test]
async fn a_failed_transfer_falls_back_to_the_stored_copy_and_says_so() {
    let gone = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_gone = Arc::clone(&gone);
    let endpoint =
        Endpoint::start(
            move |_| match is_gone.load(std::sync::atomic::Ordering::SeqCst) {
                true => Reply::Json(r#"{"retcode":404,"retmsg":"model not found"}"#.to_owned()),
                false => good(),
            },
        )
        .await;
    let (_folder, settings) = node();
    let models = open(&settings).await;
    let request = load_request(&guest(), "FATEFLOW", &endpoint.url());
    let first: Arc<LoadedModel> = models.load(&request).await.unwrap();
    gone.store(true, std::sync::atomic::Ordering::SeqCst);
    let second = models.load(&request).await.unwrap();
    let note = second.note.clone().unwrap();
    assert!(
        note.contains("model not found") && note.contains("stored copy"),
        "{note}"
    );
    assert!(second.loaded_at_ms >= first.loaded_at_ms);
    // Another model has no stored copy.
    let (code, text) = code_and_text(
        models
            .load(&load_request(&host(), "", &endpoint.url()))
            .await,
    );
    assert_eq!(code, 123);
    assert!(text.contains("model not found"), "{text}");
}

#[tokio::test]
async fn a_poisoned_model_touches_neither_table_nor_store() {
    let poisoned = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_poisoned = Arc::clone(&poisoned);
    let endpoint =
        Endpoint::start(
            move |_| match is_poisoned.load(std::sync::atomic::Ordering::SeqCst) {
                true => Reply::Json(transfer_json(&guest().broken().buffers)),
                false => good(),
            },
        )
        .await;
    let (_folder, settings) = node();
    let models = open(&settings).await;
    let request = load_request(&guest(), "", &endpoint.url());
    let first = models.load(&request).await.unwrap();
    poisoned.store(true, std::sync::atomic::Ordering::SeqCst);
    let (code, text) = code_and_text(models.load(&request).await);
    assert_eq!(code, 123, "{text}");
    assert!(!text.starts_with(NO_DATA), "the transfer worked: {text}");
    assert!(Arc::ptr_eq(
        models.snapshot().model(&guest().key).unwrap(),
        &first
    ));
    assert_eq!(models.buffers(&guest().key).await.unwrap(), guest().buffers);
    drop((first, models));
    let models = open(&settings).await;
    assert_eq!(models.buffers(&guest().key).await.unwrap(), guest().buffers);
}

#[tokio::test]
async fn a_load_answers_within_its_time() {
    let endpoint = Endpoint::fixed(Reply::Hang).await;
    let (_folder, mut settings) = node();
    settings.transfer_timeout = Duration::from_millis(200);
    let models = open(&settings).await;
    let started = Instant::now();
    code_and_text(
        models
            .load(&load_request(&guest(), "", &endpoint.url()))
            .await,
    );
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
}

pub(crate) async fn poll_once<F: Future + Unpin>(mut future: F) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut future).poll(context))).await
}
