//! The cache in Redis, one server or a cluster. Java nodes read what is written here and the other way round: plain
//! strings under the same keys, `SET … EX redis.expire`.

mod keeper;
mod link;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fate_federation::{ResultCache, ResultKey};
use futures::future::BoxFuture;
use tokio::task::JoinSet;

use self::keeper::Circuit;
use self::link::Dialer;
use self::writer::Writes;

/// Larger values are neither written nor taken.
const MAX_VALUE_BYTES: usize = 4 << 20;

/// Which servers there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisNodes {
    /// One, by host and port.
    Single(String, u16),
    /// Some of a cluster's; the others are learned from them.
    Cluster(Vec<(String, u16)>),
}

impl fmt::Display for RedisNodes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = match self {
            Self::Single(host, port) => return write!(out, "{host}:{port}"),
            Self::Cluster(nodes) => nodes,
        };
        for (position, (host, port)) in nodes.iter().enumerate() {
            let separator = if position > 0 { "," } else { "" };
            write!(out, "{separator}{host}:{port}")?;
        }
        Ok(())
    }
}

/// How the servers are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// PEM file of the authority that is trusted; unset: the system's.
    pub ca: Option<PathBuf>,
}

/// A Redis.
#[derive(Clone)]
pub struct RedisSettings {
    pub nodes: RedisNodes,
    pub password: Option<String>,
    /// `None` for the clear.
    pub tls: Option<RedisTls>,
    /// For one question.
    pub timeout: Duration,
    /// How long after it was written an entry ends; `None` for never.
    pub expire: Option<Duration>,
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RedisSettings")
            .field("nodes", &self.nodes)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("tls", &self.tls)
            .field("timeout", &self.timeout)
            .field("expire", &self.expire)
            .finish()
    }
}

/// Why a Redis cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// The authority's file.
    #[error("the authority of Redis cannot be read from {}: {cause}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Something else of the settings.
    #[error("Redis cannot be used as configured: {0}")]
    Settings(String),
}

/// A cache in Redis. It need not be there: as long as it is not, nothing is remembered.
pub struct RedisCache {
    circuit: Arc<Circuit>,
    writes: Writes,
    timeout: Duration,
    /// End with the cache.
    _tasks: JoinSet<()>,
}

impl RedisCache {
    /// Connects in the background. Needs a tokio runtime.
    ///
    /// # Errors
    /// The settings cannot lead to a connection, whatever the servers do.
    pub fn start(settings: &RedisSettings) -> Result<Self, RedisError> {
        let dialer = Dialer::new(settings)?;
        let circuit = Arc::new(Circuit::default());
        let (writes, queue) = writer::queue();
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper::keep(dialer, Arc::clone(&circuit)));
        tasks.spawn(writer::write(
            queue,
            Arc::clone(&circuit),
            settings.timeout,
            settings.expire,
        ));
        Ok(Self {
            circuit,
            writes,
            timeout: settings.timeout,
            _tasks: tasks,
        })
    }

    /// Whether it answers now.
    pub fn is_connected(&self) -> bool {
        self.circuit.link().is_some()
    }

    async fn values(&self, keys: &[ResultKey], patience: Duration) -> Option<Vec<Option<Bytes>>> {
        let mut link = self.circuit.link()?;
        let limit = self.timeout.min(patience);
        match tokio::time::timeout(limit, link.values(keys)).await {
            Ok(Ok(values)) => Some(values),
            Ok(Err(error)) => {
                self.circuit.open(&link, error.to_string());
                None
            }
            Err(_) => {
                let text = format!("no answer within {} ms", limit.as_millis());
                self.circuit.open(&link, text);
                None
            }
        }
    }
}

impl ResultCache for RedisCache {
    fn get<'a>(
        &'a self,
        keys: &'a [ResultKey],
        patience: Duration,
    ) -> BoxFuture<'a, Vec<Option<Bytes>>> {
        Box::pin(async move {
            let mut values = self.values(keys, patience).await.unwrap_or_default();
            values.resize(keys.len(), None);
            let fits = |value: &Bytes| value.len() <= MAX_VALUE_BYTES;
            values.into_iter().map(|value| value.filter(fits)).collect()
        })
    }

    fn put(&self, entries: Vec<(ResultKey, Bytes)>) {
        if self.is_connected() {
            let kept = entries.into_iter().map(|(key, data)| (key, Some(data)));
            self.writes.push(kept.collect());
        }
    }

    fn forget(&self, keys: Vec<ResultKey>) {
        if self.is_connected() {
            self.writes
                .push(keys.into_iter().map(|key| (key, None)).collect());
        }
    }
}

impl fmt::Debug for RedisCache {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RedisCache")
            .field("is_connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
