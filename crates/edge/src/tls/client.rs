//! The side of who connects.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pem::PemFile;
use super::watched::Watched;
use super::{Identity, TlsError, provider};

/// The files of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientFiles {
    /// What is shown to the peer; without it, a peer that asks for a certificate refuses.
    pub identity: Option<Identity>,
    /// The authorities that must have issued the peer's certificate, PEM; without it, those of the system.
    pub ca: Option<PathBuf>,
}

/// What is spoken inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Http2,
    /// HTTP.
    Http1,
}

/// TLS for connections to peers.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<Watched<ClientConfig>>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ClientTls")
    }
}

impl ClientTls {
    /// Reads the files and goes on watching them. Must be called inside a tokio runtime; reads files.
    ///
    /// # Errors
    /// A file cannot be read, is not what it should be, or certificate and key do not belong together.
    pub fn open(files: &ClientFiles, protocol: Protocol) -> Result<Self, TlsError> {
        let identity = files.identity.iter();
        let identity = identity.flat_map(|own| [own.cert_chain.clone(), own.private_key.clone()]);
        let paths = identity.chain(files.ca.clone()).collect();
        let (has_identity, has_ca) = (files.identity.is_some(), files.ca.is_some());
        let build = move |files: &[PemFile]| config(files, has_identity, has_ca, protocol);
        Ok(Self {
            config: Watched::open(paths, build)?,
        })
    }

    /// Shakes hands with a peer whose certificate must carry this name.
    pub(crate) async fn connect(
        &self,
        name: ServerName<'static>,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        TlsConnector::from(self.config.current())
            .connect(name, stream)
            .await
    }
}

/// `files` are those of [`ClientFiles`] that there are: chain, key, authorities.
fn config(
    files: &[PemFile],
    has_identity: bool,
    has_ca: bool,
    protocol: Protocol,
) -> Result<ClientConfig, TlsError> {
    let authorities = match files.last() {
        Some(ca) if has_ca => ca.authorities()?,
        _ => system_authorities()?,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::setup)?
        .with_root_certificates(authorities);
    let mut config = match files {
        [chain, key, ..] if has_identity => builder
            .with_client_auth_cert(chain.certificates()?, key.private_key()?)
            .map_err(|cause| {
                chain.wrong(format!("with the key {}: {cause}", key.path.display()))
            })?,
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        Protocol::Http2 => vec![b"h2".to_vec()],
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
    };
    // Every connection shows and checks certificates, see the server's side.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    // Certificates of the system that cannot be read are those nobody uses.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        return Err(TlsError::setup(
            "no caFile is named and this system has no authorities",
        ));
    }
    Ok(store)
}
