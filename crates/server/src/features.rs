//! The host's feature sources, from the configuration.

use std::sync::Arc;
use std::time::Duration;

use fate_features::{Error, FeatureSource, Settings};

use crate::config::Config;

type Configured = Option<Arc<dyn FeatureSource>>;

/// The single and the batch source. An unknown or unusable name leaves the source out, and calls that need it answer
/// 116 as the Java server does (contract 01 §8).
pub(crate) fn sources(config: &Config) -> (Configured, Configured) {
    let settings = settings(config);
    let single = config.single_source.as_deref().and_then(|name| {
        named(
            "feature.single.adaptor",
            name,
            fate_features::single_source(name, &settings),
        )
    });
    let batch = config.batch_source.as_deref().and_then(|name| {
        named(
            "feature.batch.adaptor",
            name,
            fate_features::batch_source(name, &settings),
        )
    });
    (single, batch)
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

/// The source that `key` names, or an error in the log and none.
fn named(key: &str, name: &str, opened: Result<Arc<dyn FeatureSource>, Error>) -> Configured {
    match opened {
        Ok(source) => Some(source),
        Err(error) => {
            tracing::error!(key, name, %error, "no feature source: calls that need it answer 116");
            None
        }
    }
}
