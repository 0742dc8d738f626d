//! Connections to a Redis, or to a cluster of them, and commands over those.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo as _, RedisConnectionInfo, RedisError, RedisResult, TlsCertificates, Value,
};

use super::super::server_url::ServerUrl;
use crate::tls::{TlsFiles, TlsSettings};

const DEFAULT_PORT: u16 = 6379;
/// Commands under way in a cluster at the same time, which cannot share a round trip.
const AT_ONCE: usize = 64;
/// A command to a server that has given its keys away is sent again, soon.
const RETRIES: u32 = 2;
const RETRY_WAIT_MS: u64 = 20;

/// Opens connections.
pub(super) enum Dialer {
    Single(Box<Client>, Duration),
    Cluster(Box<ClusterClient>),
}

/// An open one.
pub(crate) enum Link {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Dialer {
    /// Opens no connection.
    pub(super) fn new(
        server: &ServerUrl,
        is_cluster: bool,
        tls: &TlsSettings,
        timeout: Duration,
    ) -> Result<Self, String> {
        let session = session(server)?;
        let certificates = certificates(server, tls)?;
        let wrong = |error: RedisError| error.to_string();
        if is_cluster || !server.others.is_empty() {
            let client = cluster(server, &session, certificates, timeout);
            return Ok(Self::Cluster(Box::new(client?)));
        }
        let info = info(server, &session, &server.host, server.port).map_err(wrong)?;
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        };
        Ok(Self::Single(Box::new(client.map_err(wrong)?), timeout))
    }

    pub(super) async fn dial(&self) -> RedisResult<Link> {
        match self {
            Self::Single(client, timeout) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(*timeout))
                    .set_response_timeout(Some(*timeout));
                let opened = client.get_multiplexed_async_connection_with_config(&config);
                Ok(Link::Single(opened.await?))
            }
            Self::Cluster(client) => Ok(Link::Cluster(client.get_async_connection().await?)),
        }
    }
}

impl Link {
    /// One answer for each command, in their order; what a server says against a command is its answer. One round trip,
    /// in a cluster one for each command, many at a time.
    pub(super) async fn ask(&mut self, commands: Vec<Cmd>) -> RedisResult<Vec<RedisResult<Value>>> {
        match self {
            Self::Single(connection) => {
                let mut question = redis::pipe();
                for command in commands {
                    question.add_command(command);
                }
                question.ignore_errors();
                let values: Vec<Value> = question.query_async(connection).await?;
                let said = |value| match value {
                    Value::ServerError(error) => Err(RedisError::from(error)),
                    value => Ok(value),
                };
                Ok(values.into_iter().map(said).collect())
            }
            Self::Cluster(connection) => {
                let sent = stream::iter(commands).map(|command| {
                    let mut connection = connection.clone();
                    async move { command.query_async(&mut connection).await }
                });
                let values: Vec<RedisResult<Value>> = sent.buffered(AT_ONCE).collect().await;
                // A server that cannot be reached, or no longer knows where the keys are, answers none of them.
                let mut lost = values.iter().filter_map(|value| value.as_ref().err());
                match lost.find(|error| error.code().is_none() || error.is_cluster_error()) {
                    Some(error) => Err(error.clone()),
                    None => Ok(values),
                }
            }
        }
    }
}

fn session(server: &ServerUrl) -> Result<RedisConnectionInfo, String> {
    let mut session = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = &server.user {
        session = session.set_username(user);
    }
    if let Some(password) = &server.password {
        session = session.set_password(password);
    }
    if let Some(database) = &server.database {
        let number = database.parse::<u16>();
        let number = number.map_err(|_| "the name behind the host is no number of a database")?;
        session = session.set_db(number.into());
    }
    Ok(session)
}

/// `None` in the clear.
fn certificates(server: &ServerUrl, tls: &TlsSettings) -> Result<Option<TlsCertificates>, String> {
    if !is_secured(server) {
        return Ok(None);
    }
    let files = TlsFiles::read(tls)?;
    // Tells here and not with every connection that certificate and key do not fit.
    files.client_config()?;
    Ok(Some(TlsCertificates {
        client_tls: files.identity.map(|identity| ClientTlsConfig {
            client_cert: identity.certificate_pem,
            client_key: identity.key_pem,
        }),
        root_cert: files.authority_pem,
    }))
}

fn is_secured(server: &ServerUrl) -> bool {
    server.scheme == "rediss"
}

fn info(
    server: &ServerUrl,
    session: &RedisConnectionInfo,
    host: &str,
    port: Option<u16>,
) -> RedisResult<ConnectionInfo> {
    let (host, port) = (host.to_owned(), port.unwrap_or(DEFAULT_PORT));
    let address = if is_secured(server) {
        ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let info = address.into_connection_info()?;
    Ok(info.set_redis_settings(session.clone()))
}

fn cluster(
    server: &ServerUrl,
    session: &RedisConnectionInfo,
    certificates: Option<TlsCertificates>,
    timeout: Duration,
) -> Result<ClusterClient, String> {
    if server.database.as_deref().is_some_and(|name| name != "0") {
        return Err("a cluster has no databases but 0".to_owned());
    }
    let first = (server.host.clone(), server.port);
    let nodes = std::iter::once(&first).chain(&server.others);
    let nodes = nodes.map(|(host, port)| info(server, session, host, *port));
    let nodes: RedisResult<Vec<ConnectionInfo>> = nodes.collect();
    let wrong = |error: RedisError| error.to_string();
    let mut builder = ClusterClientBuilder::new(nodes.map_err(wrong)?)
        .retries(RETRIES)
        .min_retry_wait(RETRY_WAIT_MS)
        .max_retry_wait(RETRY_WAIT_MS)
        .connection_timeout(timeout)
        .response_timeout(timeout);
    if let Some(user) = &server.user {
        builder = builder.username(user);
    }
    if let Some(password) = &server.password {
        builder = builder.password(password);
    }
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    builder.build().map_err(wrong)
}
