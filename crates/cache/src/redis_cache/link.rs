//! A connection to Redis and the few commands that are sent over it.

use std::time::Duration;

use bytes::Bytes;
use fate_federation::ResultKey;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo, RedisConnectionInfo, RedisResult, TlsCertificates,
};

use super::writer::Entry;
use super::{RedisError, RedisNodes, RedisSettings};

/// Commands under way at the same time, of those that cannot share a round trip.
const AT_ONCE: usize = 64;

/// Opens connections.
pub(super) struct Dialer {
    client: Dialled,
    timeout: Duration,
}

enum Dialled {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

/// A connection. Copies share it.
#[derive(Clone)]
pub(super) struct Link {
    /// Tells one connection from the next.
    pub(super) number: u64,
    connection: Connection,
}

#[derive(Clone)]
enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Dialer {
    pub(super) fn new(settings: &RedisSettings) -> Result<Self, RedisError> {
        let wrong = |error: redis::RedisError| RedisError::Settings(error.to_string());
        let root_cert = match settings.tls.as_ref().and_then(|tls| tls.ca.as_ref()) {
            None => None,
            Some(path) => Some(std::fs::read(path).map_err(|cause| RedisError::Authority {
                path: path.clone(),
                cause,
            })?),
        };
        let certificates = settings.tls.as_ref().map(|_| TlsCertificates {
            client_tls: None,
            root_cert,
        });
        let client = match &settings.nodes {
            RedisNodes::Single(host, port) => single(settings, host, *port, certificates)
                .map(|client| Dialled::Single(Box::new(client)))
                .map_err(wrong)?,
            RedisNodes::Cluster(nodes) => cluster(settings, nodes, certificates)
                .map(|client| Dialled::Cluster(Box::new(client)))
                .map_err(wrong)?,
        };
        Ok(Self {
            client,
            timeout: settings.timeout,
        })
    }

    /// A connection that answers.
    pub(super) async fn dial(&self, number: u64) -> RedisResult<Link> {
        let connection = match &self.client {
            Dialled::Single(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.timeout))
                    .set_response_timeout(Some(self.timeout));
                let opened = client.get_multiplexed_async_connection_with_config(&config);
                Connection::Single(opened.await?)
            }
            Dialled::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        };
        let mut link = Link { number, connection };
        link.try_it().await?;
        Ok(link)
    }
}

fn single(
    settings: &RedisSettings,
    host: &str,
    port: u16,
    certificates: Option<TlsCertificates>,
) -> RedisResult<Client> {
    let info = info(settings, host, port)?;
    match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    }
}

fn cluster(
    settings: &RedisSettings,
    nodes: &[(String, u16)],
    certificates: Option<TlsCertificates>,
) -> RedisResult<ClusterClient> {
    let nodes: Vec<ConnectionInfo> = nodes
        .iter()
        .map(|(host, port)| info(settings, host, *port))
        .collect::<RedisResult<_>>()?;
    let mut builder = ClusterClientBuilder::new(nodes)
        .retries(1)
        .connection_timeout(settings.timeout)
        .response_timeout(settings.timeout);
    if let Some(password) = &settings.password {
        builder = builder.password(password);
    }
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    builder.build()
}

fn info(settings: &RedisSettings, host: &str, port: u16) -> RedisResult<ConnectionInfo> {
    let host = host.to_owned();
    let address = match &settings.tls {
        None => ConnectionAddr::Tcp(host, port),
        Some(_) => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        },
    };
    let mut session = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = &settings.password {
        session = session.set_password(password);
    }
    Ok(address.into_connection_info()?.set_redis_settings(session))
}

impl Link {
    /// The values of keys, in their order: one round trip, in a cluster one to each server that holds some of them.
    pub(super) async fn values(&mut self, keys: &[ResultKey]) -> RedisResult<Vec<Option<Bytes>>> {
        let mut question = redis::cmd("MGET");
        for key in keys {
            question.arg(&key.as_bytes()[..]);
        }
        let values: Vec<Option<Vec<u8>>> = self.ask(&question).await?;
        Ok(values
            .into_iter()
            .map(|value| value.map(Bytes::from))
            .collect())
    }

    /// Writes and removes values.
    pub(super) async fn store(
        &mut self,
        entries: &[Entry],
        expire: Option<Duration>,
    ) -> RedisResult<()> {
        let command = |(key, data): &Entry| {
            let Some(data) = data else {
                let mut command = redis::cmd("DEL");
                command.arg(&key.as_bytes()[..]);
                return command;
            };
            let mut command = redis::cmd("SET");
            command.arg(&key.as_bytes()[..]).arg(&data[..]);
            if let Some(expire) = expire {
                command.arg("EX").arg(expire.as_secs().max(1));
            }
            command
        };
        let commands: Vec<Cmd> = entries.iter().map(command).collect();
        match &mut self.connection {
            Connection::Single(connection) => {
                let mut pipeline = redis::pipe();
                for command in commands {
                    pipeline.add_command(command).ignore();
                }
                pipeline.query_async(connection).await
            }
            // A cluster's pipeline may not leave its slot.
            Connection::Cluster(connection) => {
                let sent = stream::iter(commands).map(|command| {
                    let mut connection = connection.clone();
                    async move { command.exec_async(&mut connection).await }
                });
                sent.buffer_unordered(AT_ONCE).try_collect().await
            }
        }
    }

    /// Whether it can be worked with.
    async fn try_it(&mut self) -> RedisResult<()> {
        if let Connection::Single(_) = self.connection {
            let _: String = self.ask(&redis::cmd("PING")).await?;
            return Ok(());
        }
        let state: String = self.ask(redis::cmd("CLUSTER").arg("INFO")).await?;
        if state.contains("cluster_state:ok") {
            return Ok(());
        }
        Err((ErrorKind::Client, "the cluster's state is not ok").into())
    }

    async fn ask<T: redis::FromRedisValue>(&mut self, question: &Cmd) -> RedisResult<T> {
        match &mut self.connection {
            Connection::Single(connection) => question.query_async(connection).await,
            Connection::Cluster(connection) => question.query_async(connection).await,
        }
    }
}
