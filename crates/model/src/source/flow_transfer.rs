//! FATE-Flow's model transfer (contract 01 §3.7, contract 03 §5.6): one POST, the buffers come back as JSON.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fate_domain::model_key::ModelKey;
use fate_inference::Buffers;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;

use super::buffers_json::{self, EncodedBuffers};
use super::tls;
use super::url_policy::TransferUrl;

/// How much of an answer that is not FATE-Flow's is quoted in an error.
const QUOTED_CHARS: usize = 200;

/// What FATE-Flow sent back, not yet judged.
#[derive(Debug)]
pub(crate) struct TransferAnswer {
    url: String,
    status: StatusCode,
    body: Bytes,
}

/// Asks for one model. Redirects are not followed; the whole exchange must end within `timeout`.
pub(crate) async fn post(
    url: &TransferUrl,
    key: &ModelKey,
    ca: Option<&Path>,
    timeout: Duration,
    max_bytes: u64,
) -> Result<TransferAnswer, String> {
    let exchange = exchange(url, key, ca, buffers_json::max_text_bytes(max_bytes));
    match tokio::time::timeout(timeout, exchange).await {
        Ok(answer) => answer.map_err(|cause| format!("POST {}: {cause}", url.text())),
        Err(_) => Err(format!(
            "POST {}: no complete answer within {timeout:?}",
            url.text()
        )),
    }
}

async fn exchange(
    url: &TransferUrl,
    key: &ModelKey,
    ca: Option<&Path>,
    max_body: u64,
) -> Result<TransferAnswer, String> {
    let question =
        serde_json::json!({"name": key.table_name, "namespace": key.namespace}).to_string();
    let request = Request::builder()
        .method(Method::POST)
        .uri(url.uri().clone())
        .header(CONTENT_TYPE, "application/json;charset=UTF-8")
        .header(ACCEPT, "application/json")
        .body(Full::new(Bytes::from(question)))
        .map_err(|cause| cause.to_string())?;
    let response = send(request, url.is_https(), ca).await?;
    let status = response.status();
    if status.is_redirection() {
        return Err(format!("HTTP {status}: redirects are not followed"));
    }
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| format!("HTTP {status}, then {}", chain(&cause)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if (bytes.len() + data.len()) as u64 > max_body {
            return Err(format!(
                "HTTP {status}: the answer is larger than {max_body} bytes"
            ));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(TransferAnswer {
        url: url.text().to_owned(),
        status,
        body: bytes.freeze(),
    })
}

async fn send(
    request: Request<Full<Bytes>>,
    is_https: bool,
    ca: Option<&Path>,
) -> Result<Response<Incoming>, String> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(0);
    let response = if is_https {
        builder.build(tls_connector(ca).await?).request(request)
    } else {
        builder.build(HttpConnector::new()).request(request)
    };
    response.await.map_err(|cause| chain(&cause))
}

/// The system's authorities are hundreds of files: they are not read on a thread that serves requests.
async fn tls_connector(ca: Option<&Path>) -> Result<HttpsConnector<HttpConnector>, String> {
    let ca = ca.map(Path::to_owned);
    tokio::task::spawn_blocking(move || tls::connector(ca.as_deref()))
        .await
        .unwrap_or_else(|cause| Err(format!("reading the authorities was broken off: {cause}")))
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    retcode: Option<Value>,
    #[serde(default)]
    retmsg: Option<Value>,
    #[serde(default)]
    data: Option<EncodedBuffers>,
}

/// The same without the buffers: an error answer may carry anything in `data`.
#[derive(Deserialize)]
struct Outcome {
    #[serde(default)]
    retcode: Option<Value>,
    #[serde(default)]
    retmsg: Option<Value>,
}

impl TransferAnswer {
    /// Like Java we judge by the JSON `retcode`, not by the HTTP status: 1.4 answers 200 on errors.
    pub(crate) fn buffers(self, max_bytes: u64) -> Result<Buffers, String> {
        let said = |what: String| format!("POST {}: HTTP {}, {what}", self.url, self.status);
        if self.body.is_empty() {
            return Err(said("empty answer".to_owned()));
        }
        let answer: Answer = match serde_json::from_slice(&self.body) {
            Ok(answer) => answer,
            Err(cause) => return Err(said(self.why_unreadable(&cause))),
        };
        if !is_success(answer.retcode.as_ref()) {
            return Err(said(refused(
                answer.retcode.as_ref(),
                answer.retmsg.as_ref(),
            )));
        }
        let EncodedBuffers(buffers) = answer
            .data
            .ok_or_else(|| said("the answer has no data".to_owned()))?;
        buffers_json::check(buffers, max_bytes).map_err(said)
    }

    fn why_unreadable(&self, cause: &serde_json::Error) -> String {
        match serde_json::from_slice::<Outcome>(&self.body) {
            Ok(outcome) if !is_success(outcome.retcode.as_ref()) => {
                refused(outcome.retcode.as_ref(), outcome.retmsg.as_ref())
            }
            Ok(_) => format!("the answer's data cannot be read: {cause}"),
            Err(_) => format!(
                "the answer is not FATE-Flow's JSON ({cause}): {:?}",
                self.quote()
            ),
        }
    }

    fn quote(&self) -> String {
        let shown = self.body.get(..QUOTED_CHARS * 4).unwrap_or(&self.body);
        String::from_utf8_lossy(shown)
            .chars()
            .take(QUOTED_CHARS)
            .collect()
    }
}

/// An absent retcode is success; a present one must be the number 0.
fn is_success(retcode: Option<&Value>) -> bool {
    retcode.is_none_or(|code| code.as_i64() == Some(0))
}

fn refused(retcode: Option<&Value>, retmsg: Option<&Value>) -> String {
    let code = retcode.map_or_else(|| "missing".to_owned(), Value::to_string);
    let text = match retmsg {
        Some(Value::String(text)) => text.chars().take(QUOTED_CHARS * 4).collect(),
        Some(other) => other.to_string().chars().take(QUOTED_CHARS).collect(),
        None => String::new(),
    };
    format!("retcode {code}: {text}")
}

/// hyper keeps the interesting part ("Connection refused") in the sources of an error.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
