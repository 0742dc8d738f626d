//! Inference over HTTP/1.1.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use fate_server::config::Address;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{Call, MAX_ANSWER_BYTES, late};

/// A client with a kept-alive connection.
pub(crate) struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
    address: Address,
    timeout: Duration,
    admin_token: Option<String>,
}

/// Without the token.
impl std::fmt::Debug for HttpClient {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("HttpClient")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl HttpClient {
    /// Connects with the first call; `timeout` holds for each call.
    pub(crate) fn new(address: Address, timeout: Duration) -> HttpClient {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        HttpClient {
            client: Client::builder(TokioExecutor::new()).build(connector),
            address,
            timeout,
            admin_token: None,
        }
    }

    /// The same, bringing along what the server's `admin.token` asks for.
    pub(crate) fn with_admin_token(self, admin_token: Option<String>) -> HttpClient {
        HttpClient {
            admin_token,
            ..self
        }
    }

    /// The paths that take the gRPC body as it is.
    pub(crate) async fn call(&self, call: Call, body: Bytes) -> anyhow::Result<Bytes> {
        let path = match call {
            Call::Single => "/v1/inference",
            Call::Batch => "/v1/batchInference",
        };
        self.post(path, body).await
    }

    /// Posts JSON; any status but 200 is an error.
    pub(crate) async fn post(&self, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        tokio::time::timeout(self.timeout, self.exchange(path, body))
            .await
            .map_err(|_| anyhow::anyhow!(late(self.timeout)))
            .and_then(|answered| answered)
            .with_context(|| format!("http://{}{path}", self.address))
    }

    async fn exchange(&self, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", self.address))
            .header(header::CONTENT_TYPE, "application/json");
        let request = match &self.admin_token {
            Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        };
        let request = request.body(Full::new(body))?;
        let answer = self.client.request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|cause| anyhow::anyhow!("the answer breaks off: {cause}"))?
            .to_bytes();
        anyhow::ensure!(status.is_success(), "HTTP {status}{}", reason(&body));
        Ok(body)
    }
}

/// What an error's body says, shortened.
fn reason(body: &Bytes) -> String {
    let text: String = String::from_utf8_lossy(body)
        .chars()
        .filter(|char| !char.is_control())
        .take(300)
        .collect();
    match text.trim() {
        "" => String::new(),
        text => format!(": {text}"),
    }
}
