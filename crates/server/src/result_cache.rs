//! The cache of hosts' results, from the configuration.

use std::sync::Arc;

use fate_cache::{LocalCache, RedisCache, RedisError};
use fate_federation::{RemoteResults, ResultCache};

use crate::config::{Config, ResultCacheConfig};

/// The configured cache, if there is one. Needs a tokio runtime; a Redis need not be there.
pub(crate) fn open(config: &Config) -> Result<Option<RemoteResults>, RedisError> {
    let cache: Arc<dyn ResultCache> = match &config.result_cache {
        None => return Ok(None),
        Some(ResultCacheConfig::Local(settings)) => Arc::new(LocalCache::new(*settings)),
        Some(ResultCacheConfig::Redis(settings)) => Arc::new(RedisCache::start(settings)?),
    };
    Ok(Some(RemoteResults::new(cache)))
}
