//! Opening connections, for gRPC channels and HTTP clients alike.

use std::io;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tower::Service;

use crate::stream::Stream;
use crate::tls::{ClientTls, TlsError};

/// Opens connections to the host and port of a URI, whatever its scheme says: in the clear, or secured.
#[derive(Debug, Clone)]
pub struct Dialer {
    secured: Option<Secured>,
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
        Self { secured: None }
    }

    /// With TLS; the peer's certificate must carry `name`, or else the host that is dialled.
    ///
    /// # Errors
    /// No certificate can carry the name.
    pub fn secured(tls: ClientTls, name: Option<&str>) -> Result<Self, TlsError> {
        let name = name.map(server_name).transpose()?;
        Ok(Self {
            secured: Some(Secured { tls, name }),
        })
    }

    /// The scheme that peers should see in requests.
    pub(crate) fn scheme(&self) -> &'static str {
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
        let secured = self.secured.clone();
        Box::pin(async move { dial(&uri, secured).await.map(TokioIo::new) })
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
