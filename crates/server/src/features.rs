//! The host's feature sources, from the configuration.

use std::sync::Arc;

use fate_features::FeatureSource;

use crate::config::Config;

/// The single and the batch source. An unknown or unusable name leaves the source out, and calls that need it answer
/// 116 as the Java server does (contract 01 §8).
pub(crate) fn sources(
    config: &Config,
) -> (
    Option<Arc<dyn FeatureSource>>,
    Option<Arc<dyn FeatureSource>>,
) {
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
