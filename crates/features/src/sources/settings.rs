//! What a source of a set needs to know.

use std::path::Path;

use super::columns::ColumnMapping;
use super::gate::ReadSettings;
use super::key_template::KeyTemplate;
use super::server_url::ServerUrl;
use super::snapshot::SnapshotSettings;
use super::table_rows::TableSettings;
use crate::TlsSettings;

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
        /// Whether the server belongs to a cluster; when it has others beside it, it does.
        is_cluster: bool,
        form: RedisForm,
        /// For `rediss://`.
        tls: TlsSettings,
    },
    Snapshot(SnapshotSettings),
    PostgreSql(TableSettings),
    MySql(TableSettings),
    /// The URL of a service that is asked for many rows at a time.
    HttpBatch {
        url: String,
        /// For `https://`.
        tls: TlsSettings,
    },
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

impl SourceSettings {
    /// Files of certificates that it needs, by setting.
    pub fn certificates(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let tls = match &self.kind {
            SourceKind::Redis { tls, .. } | SourceKind::HttpBatch { tls, .. } => Some(tls),
            SourceKind::PostgreSql(table) | SourceKind::MySql(table) => table.tls.as_ref(),
            SourceKind::Snapshot(_) => None,
        };
        let identity = tls.and_then(|tls| tls.identity.as_ref());
        let files = [
            ("tls.ca", tls.and_then(|tls| tls.ca.as_deref())),
            (
                "tls.cert",
                identity.map(|files| files.certificate.as_path()),
            ),
        ];
        files
            .into_iter()
            .filter_map(|(setting, path)| Some((setting, path?)))
    }
}

impl SourceKind {
    /// Where the rows are, without anything secret; `None` for what is on no server.
    pub fn shown_address(&self) -> Option<String> {
        match self {
            Self::Redis { server, .. } => Some(server.to_string()),
            Self::PostgreSql(table) | Self::MySql(table) => Some(table.server.to_string()),
            // What follows a `?` may be a secret.
            Self::HttpBatch { url, .. } => url.split(['?', '#']).next().map(without_user),
            Self::Snapshot(_) => None,
        }
    }
}

fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://******@{rest}"),
        _ => url.to_owned(),
    }
}
