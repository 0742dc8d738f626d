//! What the operator decides about models.

use std::path::PathBuf;
use std::time::Duration;

use fate_inference::Semantics;

/// Everything [`crate::Models::open`] needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `model.cache.path`: the store is `<cache_path>/.fate/serving`, a Java node's files are in `<cache_path>/.fate`.
    pub cache_path: PathBuf,
    /// The user's home: only looked at to report left-over files of FATE-Serving 1.2 (contract 01 §3.9).
    pub home: PathBuf,
    /// `model.transfer.url`: where to ask when a load request names no URL.
    pub transfer_url: Option<String>,
    /// `model.transfer.allow`: URL prefixes a load request may name; empty: any http(s) URL of FATE-Flow's
    /// `/v1/model/transfer`.
    pub transfer_allow: Vec<String>,
    /// `model.transfer.ca`: PEM file of authorities trusted for https transfers besides the system's.
    pub transfer_ca: Option<PathBuf>,
    /// `model.import.path`: folders that FILE and CACHE loads may read from; empty: none.
    pub import_path: Vec<PathBuf>,
    /// Time for one whole transfer. FATE-Flow asks again after 30 s, so stay well below.
    pub transfer_timeout: Duration,
    /// Largest sum of a model's buffers, in bytes.
    pub max_model_bytes: u64,
    /// Semantics of newly published models.
    pub default_semantics: Semantics,
}

impl Settings {
    /// Defaults for a store below `cache_path`: transfer within 25 s, models up to 512 MiB, imports from the
    /// working directory.
    pub fn new(cache_path: impl Into<PathBuf>) -> Self {
        Settings {
            cache_path: cache_path.into(),
            home: std::env::home_dir().unwrap_or_default(),
            transfer_url: None,
            transfer_allow: Vec::new(),
            transfer_ca: None,
            import_path: std::env::current_dir().into_iter().collect(),
            transfer_timeout: Duration::from_secs(25),
            max_model_bytes: 512 << 20,
            default_semantics: Semantics::default(),
        }
    }
}
