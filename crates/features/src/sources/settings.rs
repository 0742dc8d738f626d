//! What a source of a set needs to know.

use std::path::PathBuf;

use super::columns::ColumnMapping;
use super::gate::ReadSettings;
use super::key_template::KeyTemplate;
use super::server_url::ServerUrl;
use super::snapshot::SnapshotSettings;

/// One source of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// Unique in its set; for logs and meters.
    pub name: String,
    pub kind: SourceKind,
    pub key: KeyTemplate,
    pub columns: ColumnMapping,
    /// Whether a row fails when this source does. Otherwise it goes on without these features.
    pub required: bool,
    pub reads: ReadSettings,
}

/// Where the rows are, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    Redis {
        server: ServerUrl,
        form: RedisForm,
        /// PEM file of the authority that is trusted by `rediss://`, instead of the system's.
        tls_ca: Option<PathBuf>,
    },
    Snapshot(SnapshotSettings),
}

/// How a row lies under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisForm {
    /// A hash: fields are columns, values are texts.
    Hash,
    /// The text of a JSON object.
    Json,
}

/// The schemes of Redis addresses: in the clear, and over TLS.
pub const REDIS_SCHEMES: &[&str] = &["redis", "rediss"];

impl SourceKind {
    /// Where the rows are, without anything secret; `None` for what is on no server.
    pub fn shown_address(&self) -> Option<String> {
        match self {
            Self::Redis { server, .. } => Some(server.to_string()),
            Self::Snapshot(_) => None,
        }
    }
}
