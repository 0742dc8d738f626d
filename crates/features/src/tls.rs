//! TLS to the servers that features come from: what is trusted, and who we are. Names and addresses are always checked
//! against the server's certificate; nothing falls back to the clear.
//!
//! Files are read once, when a source is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

/// What a connection over TLS trusts and shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file of the authorities that are trusted, instead of the system's.
    pub ca: Option<PathBuf>,
    /// For servers that ask who we are.
    pub identity: Option<ClientIdentity>,
}

/// PEM files of a certificate with its chain, and of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What the files hold, known to be usable.
pub(crate) struct TlsFiles {
    /// PEM, as clients with a TLS of their own want it; `None`: the system's authorities.
    pub(crate) authority_pem: Option<Vec<u8>>,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    pub(crate) identity: Option<Identity>,
}

pub(crate) struct Identity {
    pub(crate) certificate_pem: Vec<u8>,
    pub(crate) key_pem: Vec<u8>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl TlsFiles {
    /// # Errors
    /// A file cannot be read or holds nothing of use; the text names it and nothing that stands in it.
    pub(crate) fn read(settings: &TlsSettings) -> Result<Self, String> {
        let authority_pem = settings.ca.as_deref().map(bytes_of).transpose()?;
        let authorities = match (&settings.ca, &authority_pem) {
            (Some(path), Some(pem)) => certificates(path, pem)?,
            // Certificates of the system that cannot be read are those nobody uses.
            _ => rustls_native_certs::load_native_certs().certs,
        };
        let identity = settings.identity.as_ref().map(Identity::read).transpose()?;
        Ok(Self {
            authority_pem,
            authorities,
            identity,
        })
    }

    /// # Errors
    /// Certificate and key do not fit, or there is nobody to trust.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, String> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.authorities.iter().cloned());
        if store.is_empty() {
            return Err("there is no authority to trust: tls.ca names one".to_owned());
        }
        let config = builder()?.with_root_certificates(store);
        match &self.identity {
            None => Ok(config.with_no_client_auth()),
            Some(identity) => config
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|cause| format!("the client certificate cannot be used: {cause}")),
        }
    }
}

/// For clients that are only asked for what is in the clear.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, String> {
    let config = builder()?.with_root_certificates(RootCertStore::empty());
    Ok(config.with_no_client_auth())
}

/// The configuration of the settings' files.
pub(crate) fn client_config(settings: &TlsSettings) -> Result<ClientConfig, String> {
    TlsFiles::read(settings)?.client_config()
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| format!("TLS cannot be set up: {cause}"))
}

impl Identity {
    fn read(files: &ClientIdentity) -> Result<Self, String> {
        let certificate_pem = bytes_of(&files.certificate)?;
        let key_pem = bytes_of(&files.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| {
            let path = files.key.display();
            format!("{path}: there is no private key in it (PEM, without a password)")
        })?;
        Ok(Self {
            chain: certificates(&files.certificate, &certificate_pem)?,
            certificate_pem,
            key_pem,
            key,
        })
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|cause| format!("{}: {cause}", path.display()))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let named = |cause: &str| format!("{}: {cause}", path.display());
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| named("it is not PEM"))?;
    if certificates.is_empty() {
        return Err(named("there is no certificate in it"));
    }
    let mut store = RootCertStore::empty();
    let readable = store.add_parsable_certificates(certificates.iter().cloned());
    if readable.1 > 0 {
        return Err(named("a certificate in it cannot be read"));
    }
    Ok(certificates)
}
