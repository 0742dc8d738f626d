//! TLS in both directions: rustls with ring, TLS 1.2 and 1.3, certificates and keys as PEM (contract 04 A.1, A.5.3, A.10).
//!
//! Whoever asks for TLS gets TLS or an error; nothing here ever falls back to the clear (F.1, S14). Files are looked at
//! every few seconds: what they hold takes effect for new connections without a restart, and files that cannot be used
//! leave in force what was there before.

mod client;
mod pem;
mod server;
mod watched;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use client::{ClientFiles, ClientTls, Protocol};
pub use server::{ServerFiles, ServerTls};

/// A certificate chain and its private key, both PEM; the key as PKCS#8, PKCS#1 or SEC1, not encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The certificate itself first, then those that lead to the authority.
    pub cert_chain: PathBuf,
    /// The key of the first certificate.
    pub private_key: PathBuf,
}

/// Why TLS cannot be used. No text holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the files.
    #[error("{path}: {cause}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The files together.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
    /// A name that no certificate can carry.
    #[error("`{0}` is neither a host name nor an IP address")]
    ServerName(String),
}

impl TlsError {
    fn file(path: &Path, cause: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            cause: cause.into(),
        }
    }

    fn setup(cause: impl ToString) -> Self {
        Self::Setup(cause.to_string())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
