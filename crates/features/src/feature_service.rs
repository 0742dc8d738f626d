//! The HTTP exchange with a foreign feature service: one POST of a row's ids, bounded in time, bytes and number.
//!
//! Whatever keeps the answer from arriving is 110 (contract 01 §8.1). What the answer means is the sources' matter.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::http::uri::Scheme;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::name_lookup::NameLookup;
use crate::registry::Error;
use crate::{Settings, TlsSettings, tls};

/// Unused connections are closed after this time, before the usual services close them (5 s and more).
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

type FeatureClient = Client<HttpsConnector<HttpConnector<NameLookup>>, Full<Bytes>>;

#[derive(Debug)]
pub(crate) struct FeatureService {
    url: Uri,
    /// The URL without its query, which may carry a secret.
    shown_url: String,
    client: FeatureClient,
    calls: Semaphore,
    limits: Limits,
}

#[derive(Debug, Clone)]
struct Limits {
    calls: usize,
    wait_for_call: Duration,
    connect: Duration,
    answer: Duration,
    answer_bytes: usize,
}

/// A complete answer, not yet judged.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Why an attempt gave no answer.
enum Failure {
    /// The service closed the connection before it began to answer, as happens to a kept connection that it just gave up.
    Closed(String),
    Final(String),
}

/// A 110 with its cause.
pub(crate) fn fault(message: impl Into<String>) -> Fault {
    Fault::new(ReturnCode::SYSTEM, message)
}

impl FeatureService {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// [`Error::Setting`] under `source_name` when the URL is missing or cannot be asked, or a limit is 0.
    pub(crate) fn open(source_name: &'static str, settings: &Settings) -> Result<Self, Error> {
        let setting = |reason: String| Error::Setting {
            source_name,
            reason,
        };
        let url = settings.http_url.as_deref().unwrap_or_default();
        Self::at(url, "http.adapter.url", settings).map_err(setting)
    }

    /// The service at a URL that stands under `key`.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub(crate) fn at(text: &str, key: &str, settings: &Settings) -> Result<Self, String> {
        let url = url(text, key)?;
        let limits = limits(settings)?;
        // The system's authorities are read only where they are needed.
        let tls = (url.scheme() == Some(&Scheme::HTTPS)).then_some(&settings.http_tls);
        Ok(Self {
            shown_url: shown(&url),
            url,
            client: client(&limits, tls)?,
            calls: Semaphore::new(limits.calls),
            limits,
        })
    }

    /// Posts `ids` as they are and waits for the whole answer, whatever its HTTP status; redirects are not followed.
    ///
    /// # Errors
    /// 110 when there is no complete answer within the limits.
    pub(crate) async fn ask(&self, ids: &str) -> Result<Answer, Fault> {
        let asked = async {
            let _call = self.may_call().await?;
            self.exchange(Bytes::copy_from_slice(ids.as_bytes())).await
        };
        let answer: Result<Answer, String> = asked.await;
        answer.map_err(|cause| fault(format!("POST {}: {cause}", self.shown_url)))
    }

    async fn may_call(&self) -> Result<SemaphorePermit<'_>, String> {
        let Limits {
            calls,
            wait_for_call,
            ..
        } = self.limits;
        match tokio::time::timeout(wait_for_call, self.calls.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(closed)) => Err(closed.to_string()),
            Err(_) => Err(format!(
                "all of the {calls} calls were taken for {wait_for_call:?}"
            )),
        }
    }

    async fn exchange(&self, body: Bytes) -> Result<Answer, String> {
        let whole = self.limits.connect.saturating_add(self.limits.answer);
        match tokio::time::timeout(whole, self.attempts(body)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no complete answer within {whole:?}")),
        }
    }

    /// Asks again, once, when the connection turns out to be closed: looking up features twice does no harm.
    async fn attempts(&self, body: Bytes) -> Result<Answer, String> {
        let answer = match self.attempt(body.clone()).await {
            Err(Failure::Closed(_)) => self.attempt(body).await,
            answer => answer,
        };
        answer.map_err(|(Failure::Closed(cause) | Failure::Final(cause))| cause)
    }

    async fn attempt(&self, body: Bytes) -> Result<Answer, Failure> {
        let mut request = self.request(body)?;
        let mut connection = capture_connection(&mut request);
        let mut response = pin!(self.client.request(request));
        let early = tokio::select! {
            biased;
            result = &mut response => Some(result),
            () = async { drop(connection.wait_for_connection_metadata().await) } => None,
            () = tokio::time::sleep(self.limits.connect) => {
                return Err(Failure::Final(format!("no connection within {:?}", self.limits.connect)));
            }
        };
        let answer = async {
            let result = match early {
                Some(result) => result,
                None => response.await,
            };
            self.read(result.map_err(|cause| Failure::of(&cause))?)
                .await
        };
        match tokio::time::timeout(self.limits.answer, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Final(format!(
                "no complete answer within {:?}",
                self.limits.answer
            ))),
        }
    }

    /// Java adds `Content-Encoding: UTF-8`, which is no encoding: services that heed the header refuse the call.
    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, "application/json;charset=UTF-8")
            .header(ACCEPT, "application/json")
            .body(Full::new(body))
            .map_err(|cause| Failure::Final(cause.to_string()))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Answer, Failure> {
        let (head, body) = response.into_parts();
        let most = self.limits.answer_bytes;
        match Limited::new(body, most).collect().await {
            Ok(body) => Ok(Answer {
                status: head.status,
                body: body.to_bytes(),
            }),
            Err(cause) if cause.is::<LengthLimitError>() => Err(Failure::Final(format!(
                "the answer is larger than {most} bytes"
            ))),
            Err(cause) => Err(Failure::Final(format!(
                "HTTP {}, then {}",
                head.status,
                chain(&*cause)
            ))),
        }
    }
}

impl Failure {
    fn of(error: &legacy::Error) -> Self {
        let text = chain(error);
        if !error.is_connect() && causes(error).any(is_closed) {
            Self::Closed(text)
        } else {
            Self::Final(text)
        }
    }
}

fn is_closed(cause: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    let by_hyper = cause
        .downcast_ref::<hyper::Error>()
        .is_some_and(|error| error.is_incomplete_message() || error.is_closed());
    let by_system = cause.downcast_ref::<std::io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionReset
        )
    });
    by_hyper || by_system
}

/// hyper keeps the interesting part ("Connection refused") in the sources of an error.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.join(": ")
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |cause| cause.source())
}

/// Without `tls`, one for the clear only.
fn client(limits: &Limits, tls: Option<&TlsSettings>) -> Result<FeatureClient, String> {
    let mut connector = HttpConnector::new_with_resolver(NameLookup::new());
    connector.set_connect_timeout(Some(limits.connect));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let config = match tls {
        Some(tls) => tls::client_config(tls)?,
        None => tls::trusting_nobody()?,
    };
    let builder = HttpsConnectorBuilder::new().with_tls_config(config);
    let builder = match tls {
        Some(_) => builder.https_only(),
        None => builder.https_or_http(),
    };
    let connector = builder.enable_http1().wrap_connector(connector);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_CONNECTION)
        .pool_max_idle_per_host(limits.calls)
        .build(connector);
    Ok(client)
}

fn limits(settings: &Settings) -> Result<Limits, String> {
    let times = [
        ("http.connect.timeout", settings.http_connect_timeout),
        (
            "http.connect.request.timeout",
            settings.http_connect_request_timeout,
        ),
        ("http.socket.timeout", settings.http_socket_timeout),
    ];
    for (key, time) in times {
        if time.is_zero() {
            return Err(format!(
                "{key} is 0, which would wait for ever in Java; set the milliseconds to wait"
            ));
        }
    }
    if settings.http_max_calls == 0 {
        return Err("no call may run at a time; allow 1 or more".to_owned());
    }
    Ok(Limits {
        calls: settings.http_max_calls.min(Semaphore::MAX_PERMITS),
        wait_for_call: settings.http_connect_request_timeout,
        connect: settings.http_connect_timeout,
        answer: settings.http_socket_timeout,
        answer_bytes: settings.max_response_bytes,
    })
}

fn url(text: &str, key: &str) -> Result<Uri, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(format!(
            "{key} is not set; it names the feature service, http://… or https://…"
        ));
    }
    let url: Uri = text
        .parse()
        .map_err(|cause| format!("{key} is not a URL: {cause}"))?;
    match url.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err(format!("{key} does not begin with http:// or https://")),
    }
    let authority = url
        .authority()
        .filter(|authority| !authority.host().is_empty());
    let authority = authority.ok_or_else(|| format!("{key} names no host"))?;
    if authority.as_str().contains('@') {
        return Err(format!("{key}: a user name is not supported"));
    }
    Ok(url)
}

fn shown(url: &Uri) -> String {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let scheme = url.scheme_str().unwrap_or_default();
    format!("{scheme}://{authority}{}", url.path())
}
