//! What PEM files hold.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// A file's content at one moment.
pub(super) struct PemFile {
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl PemFile {
    /// All certificates, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = CertificateDer::pem_slice_iter(&self.bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| self.wrong(format!("it is not PEM: {cause}")))?;
        if found.is_empty() {
            return Err(self.wrong("there is no certificate in it".to_owned()));
        }
        Ok(found)
    }

    /// The first private key.
    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        // The cause may be a piece of the file: it stays out of the text.
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|_| {
            self.wrong(
                "there is no private key in it; it must be PEM (PKCS#8, PKCS#1 or SEC1) and not encrypted".to_owned(),
            )
        })
    }

    /// All certificates as authorities.
    pub(super) fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in self.certificates()? {
            store
                .add(certificate)
                .map_err(|cause| self.wrong(cause.to_string()))?;
        }
        Ok(store)
    }

    pub(super) fn wrong(&self, cause: String) -> TlsError {
        TlsError::file(&self.path, cause)
    }
}
