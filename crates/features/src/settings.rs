//! What the sources need to know of the node.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::data_file::DataFile;
use crate::{SourceSet, TlsSettings};

/// Settings of all sources; each takes what it needs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file of `file` and `file-pick`; Java's is `host_data.csv` in the working directory.
    pub data_file: PathBuf,
    /// Most bytes of `data_file` that are read; a larger file is 102.
    pub max_file_bytes: u64,
    /// `http.adapter.url`: an `http://` or `https://` URL, needed by `http` and `http-header` only.
    pub http_url: Option<String>,
    /// `http.adapter.ca`: what `https://` trusts.
    pub http_tls: TlsSettings,
    /// `http.connect.timeout`: until a connection stands, looking up the host's name included. No `http_*` time may be 0.
    pub http_connect_timeout: Duration,
    /// `http.connect.request.timeout`: until the request may be one of `http_max_calls`.
    pub http_connect_request_timeout: Duration,
    /// `http.socket.timeout`: from the connection until the service's answer is complete.
    pub http_socket_timeout: Duration,
    /// Calls that one source may have running at its feature service at a time; at least 1.
    pub http_max_calls: usize,
    /// Most bytes of a feature service's answer; a larger one is 110.
    pub max_response_bytes: usize,
    /// `feature.batch.single.adaptor`: the single source that `parallel` asks for every row.
    pub batch_single_source: Option<String>,
    /// Rows that `parallel` asks for at a time, over all its calls; at least 1.
    pub parallel_rows: usize,
    /// Time `parallel` gives the rows of one batch (`grpc.timeout` less 1 ms by default, as in Java).
    pub parallel_timeout: Duration,
    /// What `sources` asks (`feature.sources`).
    pub sources: Option<Arc<SourceSet>>,
}

impl Settings {
    pub(crate) fn file(&self) -> DataFile {
        DataFile {
            path: self.data_file.clone(),
            max_bytes: self.max_file_bytes,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let ten_seconds = Duration::from_secs(10);
        Self {
            data_file: PathBuf::from("host_data.csv"),
            max_file_bytes: 256 << 20,
            http_url: None,
            http_tls: TlsSettings::default(),
            http_connect_timeout: ten_seconds,
            http_connect_request_timeout: ten_seconds,
            http_socket_timeout: ten_seconds,
            http_max_calls: 500,
            max_response_bytes: 4 << 20,
            batch_single_source: None,
            parallel_rows: 100,
            parallel_timeout: Duration::from_millis(4999),
            sources: None,
        }
    }
}
