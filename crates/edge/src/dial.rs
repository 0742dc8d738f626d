//! Opening connections, for gRPC channels and HTTP clients alike.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tower::Service;

use crate::stream::Stream;
use crate::tls::{ClientTls, TlsError};

/// For a connection and its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens connections to the host and port of a URI, whatever its scheme says: in the clear, or secured.
#[derive(Debug, Clone)]
pub struct Dialer {
    secured: Option<Secured>,
    timeout: Duration,
}

#[derive(Debug, Clone)]
struct Secured {
    tls: ClientTls,
    /// Instead of the host.
    name: Option<ServerName<'static>>,
}

impl Dialer {
    /// In the clear.
    pub fn plain() -> Self {
        Self {
            secured: None,
            timeout: CONNECT_TIMEOUT,
        }
    }

    /// With TLS; the peer's certificate must carry `name`, or else the host that is dialled.
    ///
    /// # Errors
    /// No certificate can carry the name.
    pub fn secured(tls: ClientTls, name: Option<&str>) -> Result<Self, TlsError> {
        let name = name.map(server_name).transpose()?;
        Ok(Self {
            secured: Some(Secured { tls, name }),
            ..Self::plain()
        })
    }

    /// With another limit for connecting and shaking hands than 2 s.
    pub fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The scheme that peers should see in requests.
    pub fn scheme(&self) -> &'static str {
        if self.secured.is_some() {
            "https"
        } else {
            "http"
        }
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(host.to_owned()).map_err(|_| TlsError::ServerName(host.to_owned()))
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Stream>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { secured, timeout } = self.clone();
        Box::pin(async move {
            let dialled = tokio::time::timeout(timeout, dial(&uri, secured)).await;
            let in_time = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            in_time.map(TokioIo::new)
        })
    }
}

async fn dial(uri: &Uri, secured: Option<Secured>) -> io::Result<Stream> {
    let host = uri
        .host()
        .ok_or_else(|| io::Error::other("the address names no host"))?;
    let host = host.trim_matches(['[', ']']);
    let default_port = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(default_port))).await?;
    // Only costs latency when it fails.
    let _ = stream.set_nodelay(true);
    let Some(Secured { tls, name }) = secured else {
        return Ok(Stream::Plain(stream));
    };
    let name = match name {
        Some(name) => name,
        None => server_name(host).map_err(io::Error::other)?,
    };
    let stream = tls.connect(name, stream).await?;
    Ok(Stream::Tls(Box::new(stream.into())))
}
