//! The host's feature sources, from the configuration.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_features::{
    Error, FeatureRow, FeatureSource, FetchMeter, Settings, SourceReport, SourceSet, TlsSettings,
};

use crate::config::Config;
use crate::source_meters::SourceMeters;

/// No source is configured, one is, or the one that is cannot be used: then the node goes without, and calls that need
/// it answer 116 as the Java server does (contract 01 §8).
type Configured = Result<Option<Arc<dyn FeatureSource>>, Error>;

/// The sources of a host.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Of `feature.single.adaptor`.
    pub(crate) single: Configured,
    /// Of `feature.batch.adaptor`.
    pub(crate) batch: Configured,
    /// What both ask when they are `sources`.
    set: Option<Arc<SourceSet>>,
    /// What the set does.
    pub(crate) meters: Arc<SourceMeters>,
}

impl Sources {
    /// Reads what the set can read beforehand.
    pub(crate) async fn start(&self) {
        if let Some(set) = &self.set {
            set.start().await;
        }
    }
}

/// Opens what is configured; connections come with the first question.
pub(crate) fn open(config: &Config) -> Sources {
    let meters = Arc::new(SourceMeters::of(&config.sources));
    let meter = Arc::clone(&meters) as Arc<dyn FetchMeter>;
    let set = match config.sources.as_slice() {
        [] => Ok(None),
        sources => SourceSet::open(sources, Some(meter)).map(|set| Some(Arc::new(set))),
    };
    let (set, broken) = match set {
        Ok(set) => (set, None),
        Err(error) => (None, Some(error)),
    };
    let settings = settings(config, set.clone());
    let named = |name: Option<&str>, open: fn(&str, &Settings) -> _| match (name, &broken) {
        (Some("sources"), Some(error)) => Err(error.clone()),
        (name, _) => name.map(|name| open(name, &settings)).transpose(),
    };
    Sources {
        single: named(
            config.single_source.as_deref(),
            fate_features::single_source,
        ),
        batch: named(config.batch_source.as_deref(), fate_features::batch_source),
        set,
        meters,
    }
}

/// What is wrong with the configured sources, by key.
pub(crate) fn problems(config: &Config) -> impl Iterator<Item = (&'static str, Error)> {
    let sources = open(config);
    let single = sources.single.err().map(|e| ("feature.single.adaptor", e));
    let batch = sources.batch.err().map(|e| ("feature.batch.adaptor", e));
    single.into_iter().chain(batch)
}

/// Keys of sources that read `host.data.file`, when that file is not there.
pub(crate) fn without_file(config: &Config) -> impl Iterator<Item = &'static str> {
    let sources = open(config);
    let reads_file = |source: &Configured| {
        let name = source.as_ref().ok().and_then(Option::as_ref);
        name.is_some_and(|source| ["file", "file-pick"].contains(&source.name()))
    };
    let readers = [
        ("feature.single.adaptor", reads_file(&sources.single)),
        ("feature.batch.adaptor", reads_file(&sources.batch)),
    ];
    let is_there = config.host_data_file.is_file();
    let readers = readers
        .into_iter()
        .filter(move |(_, reads)| *reads && !is_there);
    readers.map(|(key, _)| key)
}

/// Tries every one of `feature.sources`: its name, and what is wrong with it.
pub(crate) async fn probe(config: &Config) -> Vec<(String, Result<(), String>)> {
    let Some(set) = open(config).set else {
        return Vec::new();
    };
    set.start().await;
    set.probe().await
}

/// A row as a host of this configuration would get it.
#[derive(Debug)]
pub struct LookedUp {
    pub row: Result<FeatureRow, Fault>,
    /// What each source said, in the order of their precedence.
    pub sources: Vec<SourceReport>,
}

/// Looks one row up, without a server. `ids` is the text of a JSON object, as a guest's `sendToRemoteFeatureData`.
///
/// # Errors
/// No source is configured, or it cannot be used.
pub async fn look_up(config: &Config, ids: &str) -> Result<LookedUp, String> {
    let sources = open(config);
    let source = match sources.single.map_err(|error| error.to_string())? {
        Some(source) => source,
        None => return Err("feature.single.adaptor is not set".to_owned()),
    };
    if let Some(set) = sources.set.filter(|_| source.name() == "sources") {
        set.start().await;
        let (row, sources) = set.inspect(ids).await;
        return Ok(LookedUp { row, sources });
    }
    let began = Instant::now();
    let row = source.fetch(ids).await;
    let report = SourceReport {
        name: source.name().to_owned(),
        features: match &row {
            Ok(FeatureRow::Numbers(numbers)) => Ok(Some(numbers.len())),
            Ok(FeatureRow::Json(text)) => {
                Ok(Members::whole(text).ok().map(|row| row.iter().count()))
            }
            Err(fault)
                if fault.code == fate_domain::return_code::ReturnCode::HOST_FEATURE_NOT_EXIST =>
            {
                Ok(None)
            }
            Err(fault) => Err(fault.message.clone()),
        },
        took: began.elapsed(),
    };
    Ok(LookedUp {
        row,
        sources: vec![report],
    })
}

fn settings(config: &Config, sources: Option<Arc<SourceSet>>) -> Settings {
    Settings {
        data_file: config.host_data_file.clone(),
        http_url: config.http_adapter_url.clone(),
        http_tls: TlsSettings {
            ca: config.http_adapter_ca.clone(),
            identity: None,
        },
        http_connect_timeout: config.http_connect_timeout,
        http_connect_request_timeout: config.http_request_timeout,
        http_socket_timeout: config.http_socket_timeout,
        batch_single_source: config.batch_single_source.clone(),
        // Java gives the rows of a batch this much less than its own call time-out.
        parallel_timeout: config.grpc_timeout.saturating_sub(Duration::from_millis(1)),
        sources,
        ..Settings::default()
    }
}
