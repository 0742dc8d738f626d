//! The host's feature sources, from the configuration.

use std::sync::Arc;
use std::time::Duration;

use fate_features::{Error, FeatureSource, Settings};

use crate::config::Config;

/// No source is configured, one is, or the one that is cannot be used: then the node goes without, and calls that need
/// it answer 116 as the Java server does (contract 01 §8).
type Configured = Result<Option<Arc<dyn FeatureSource>>, Error>;

/// The source of `feature.single.adaptor`.
pub(crate) fn single(config: &Config) -> Configured {
    let name = config.single_source.as_deref();
    name.map(|name| fate_features::single_source(name, &settings(config)))
        .transpose()
}

/// The source of `feature.batch.adaptor`.
pub(crate) fn batch(config: &Config) -> Configured {
    let name = config.batch_source.as_deref();
    name.map(|name| fate_features::batch_source(name, &settings(config)))
        .transpose()
}

/// What is wrong with the configured sources, by key.
pub(crate) fn problems(config: &Config) -> impl Iterator<Item = (&'static str, Error)> {
    let single = single(config).err().map(|e| ("feature.single.adaptor", e));
    let batch = batch(config).err().map(|e| ("feature.batch.adaptor", e));
    single.into_iter().chain(batch)
}

fn settings(config: &Config) -> Settings {
    Settings {
        data_file: config.host_data_file.clone(),
        http_url: config.http_adapter_url.clone(),
        http_connect_timeout: config.http_connect_timeout,
        http_connect_request_timeout: config.http_request_timeout,
        http_socket_timeout: config.http_socket_timeout,
        batch_single_source: config.batch_single_source.clone(),
        // Java gives the rows of a batch this much less than its own call time-out.
        parallel_timeout: config.grpc_timeout.saturating_sub(Duration::from_millis(1)),
        ..Settings::default()
    }
}
