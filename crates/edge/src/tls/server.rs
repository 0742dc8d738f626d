//! A listener's side: mutual TLS, nothing else.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::pem::PemFile;
use super::watched::Watched;
use super::{Identity, TlsError, provider};

/// The files of a listener.
#[derive(Debug, Clone)]
pub struct ServerFiles {
    /// What the listener shows.
    pub identity: Identity,
    /// The authorities that must have issued the certificates of those who connect, PEM.
    pub ca: PathBuf,
}

/// Mutual TLS for accepted connections.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<Watched<ServerConfig>>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ServerTls")
    }
}

impl ServerTls {
    /// Reads the files and goes on watching them. Must be called inside a tokio runtime; reads files.
    ///
    /// # Errors
    /// A file cannot be read, is not what it should be, or certificate and key do not belong together.
    pub fn open(files: &ServerFiles) -> Result<Self, TlsError> {
        let paths = vec![
            files.identity.cert_chain.clone(),
            files.identity.private_key.clone(),
            files.ca.clone(),
        ];
        Ok(Self {
            config: Watched::open(paths, config)?,
        })
    }

    /// Shakes hands; a peer without a certificate of the authorities is refused.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config.current())
            .accept(stream)
            .await
    }
}

fn config(files: &[PemFile]) -> Result<ServerConfig, TlsError> {
    let [chain, key, ca] = files else {
        return Err(TlsError::setup("three files are needed"));
    };
    let peers =
        WebPkiClientVerifier::builder_with_provider(Arc::new(ca.authorities()?), provider())
            .build()
            .map_err(|cause| ca.wrong(cause.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::setup)?
        .with_client_cert_verifier(peers)
        .with_single_cert(chain.certificates()?, key.private_key()?)
        .map_err(|cause| chain.wrong(format!("with the key {}: {cause}", key.path.display())))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would not look at the peer's certificate again. Connections live long, so little is lost.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
