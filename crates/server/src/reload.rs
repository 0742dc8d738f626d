//! What a running server takes over of a properties file that is read again.

use std::sync::Arc;

use fate_edge::callers::CallerLimit;
use fate_edge::channel::MAX_MESSAGE_BYTES;
use fate_edge::config::Changes;
use fate_federation::{Guest, GuestSettings, Host, HostSettings};

use crate::config::Config;
use crate::node::Node;

impl Node {
    /// Puts a checked configuration in force, as far as that is possible without a restart. Calls in flight end as they
    /// began.
    ///
    /// # Errors
    /// Nothing has changed; the text says why.
    pub(crate) fn reload(&self, new: &Config) -> Result<Changes, String> {
        let now = self.config();
        let (config, changes) = now.reloaded(new);
        // The only part that can fail.
        if let Some(levels) = &self.log_levels {
            config.logs.apply_changes(&now.logs, levels)?;
        }
        self.gates.inference.set_limit(config.max_in_flight);
        if let Some(traces) = &config.traces {
            self.tracing.set_ratio(traces.ratio);
        }
        // A limit that stays keeps what it knows of its callers.
        if now.caller_limit != config.caller_limit {
            self.caller_limit.store(caller_limit(&config));
        }
        self.replace(config);
        Ok(changes)
    }
}

pub(crate) fn caller_limit(config: &Config) -> Option<Arc<CallerLimit>> {
    let limit = config.caller_limit.clone();
    limit.map(|(qps, header)| Arc::new(CallerLimit::new(qps, header)))
}

pub(crate) fn guest_with(guest: &Guest, config: &Config) -> Guest {
    Guest {
        settings: guest_settings(config),
        ..guest.clone()
    }
}

pub(crate) fn host_with(host: &Host, config: &Config) -> Host {
    Host {
        settings: host_settings(config),
        ..host.clone()
    }
}

pub(crate) fn guest_settings(config: &Config) -> GuestSettings {
    GuestSettings {
        single_timeout: config.single_timeout,
        batch_timeout: config.batch_timeout,
        batch_max: config.guest_batch_max,
        message_max: MAX_MESSAGE_BYTES,
        service_role_name: config.service_role_name.clone(),
        compact: config.compact,
        details: config.details,
        min_hit_rate: config.min_hit_rate,
        model_calls: config.model_calls(),
        coalescing: config.coalescing,
    }
}

pub(crate) fn host_settings(config: &Config) -> HostSettings {
    HostSettings {
        batch_max: config.batch_max,
        compact: config.compact,
        details: config.details,
        min_hit_rate: config.min_hit_rate,
        model_calls: config.model_calls(),
    }
}
