//! What a server needs to speak TLS.

use std::path::PathBuf;

/// PEM files of a server that speaks TLS only.
#[derive(Debug, Clone)]
pub struct ServerFiles {
    pub cert_chain: PathBuf,
    pub private_key: PathBuf,
    /// Whose clients it knows.
    pub ca: PathBuf,
    /// Whether it takes only clients that show a certificate of that authority.
    pub asks_for_clients: bool,
}
