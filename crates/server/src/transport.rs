//! The way to the hosts over gRPC: through one proxy, or directly by party id.

use std::collections::BTreeMap;
use std::time::Duration;

use fate_federation::{CallError, HostTransport};
use fate_proto::proxy::Packet;
use fate_proto::proxy::data_transfer_service_client::DataTransferServiceClient;
use futures::future::BoxFuture;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::config::Address;

/// Largest message taken in either direction; Java peers accept as much.
pub(crate) const MAX_MESSAGE_BYTES: usize = 32 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A channel that connects on first use and again after a loss. Must be called inside a tokio runtime.
pub(crate) fn lazy_channel(address: &Address) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("{address} is not usable as an address: {error}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20)
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true);
    Ok(endpoint.connect_lazy())
}

/// Where packets for a party go. Built once; one connection per address.
#[derive(Debug)]
pub(crate) struct StaticRoutes {
    hosts: BTreeMap<String, Link>,
    proxy: Option<Link>,
}

#[derive(Debug, Clone)]
struct Link {
    address: Address,
    client: DataTransferServiceClient<Channel>,
}

impl StaticRoutes {
    /// Parties in `hosts` are reached directly, all others through `proxy`.
    pub(crate) fn new(
        hosts: &BTreeMap<String, Address>,
        proxy: Option<&Address>,
    ) -> Result<Self, String> {
        let hosts = hosts
            .iter()
            .map(|(party, address)| Ok((party.clone(), Link::to(address)?)))
            .collect::<Result<_, String>>()?;
        Ok(Self {
            hosts,
            proxy: proxy.map(Link::to).transpose()?,
        })
    }
}

impl HostTransport for StaticRoutes {
    fn call<'a>(
        &'a self,
        party_id: &'a str,
        packet: Packet,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Packet, CallError>> {
        let link = self.hosts.get(party_id).or(self.proxy.as_ref());
        Box::pin(async move {
            match link {
                Some(link) => link.call(packet, deadline).await,
                None => Err(CallError::NoRoute),
            }
        })
    }
}

impl Link {
    fn to(address: &Address) -> Result<Self, String> {
        let client = DataTransferServiceClient::new(lazy_channel(address)?)
            .max_decoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self {
            address: address.clone(),
            client,
        })
    }

    async fn call(&self, packet: Packet, deadline: Instant) -> Result<Packet, CallError> {
        let mut request = Request::new(packet);
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        let mut client = self.client.clone();
        // The generated call first waits for a connection, which its own time-out does not cover.
        match tokio::time::timeout_at(deadline, client.unary_call(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) if is_timeout(&status) => Err(CallError::Timeout),
            Ok(Err(status)) => Err(CallError::Unavailable(self.describe(&status))),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// `UNAVAILABLE: <what the peer or the connection said> (127.0.0.1:8879)`.
    fn describe(&self, status: &Status) -> String {
        let cause = innermost(status).unwrap_or_else(|| status.message().to_owned());
        format!("{}: {cause} ({})", status_name(status.code()), self.address)
    }
}

fn is_timeout(status: &Status) -> bool {
    let expired = status.code() == Code::Cancelled && status.message().contains("imeout");
    expired || status.code() == Code::DeadlineExceeded
}

/// The last cause of a failed connection, for example `Connection refused (os error 111)`.
fn innermost(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status)?;
    while let Some(next) = cause.source() {
        cause = next;
    }
    Some(cause.to_string())
}

/// The names gRPC itself uses.
fn status_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(hosts: &[(&str, String)], proxy: Option<String>) -> StaticRoutes {
        let hosts = hosts
            .iter()
            .map(|(party, address)| ((*party).to_owned(), address.parse().unwrap()))
            .collect();
        let proxy: Option<Address> = proxy.map(|address| address.parse().unwrap());
        StaticRoutes::new(&hosts, proxy.as_ref()).unwrap()
    }

    async fn error(routes: &StaticRoutes, party: &str, limit: Duration) -> CallError {
        let deadline = Instant::now() + limit;
        routes
            .call(party, Packet::default(), deadline)
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn a_party_without_a_route_is_told_apart() {
        let routes = routes(&[("10000", "127.0.0.1:1".to_owned())], None);
        let error = error(&routes, "10001", Duration::from_secs(1)).await;
        assert!(matches!(error, CallError::NoRoute), "{error:?}");
    }

    #[tokio::test]
    async fn a_closed_port_is_unavailable_at_once_and_names_the_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let routes = routes(&[], Some(address.clone()));
        let error = error(&routes, "10000", Duration::from_secs(30)).await;
        let CallError::Unavailable(text) = error else {
            panic!("{error:?}")
        };
        assert!(text.starts_with("UNAVAILABLE: "), "{text}");
        assert!(text.ends_with(&format!("({address})")), "{text}");
    }

    #[tokio::test]
    async fn a_peer_that_never_speaks_costs_no_more_than_the_deadline() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let routes = routes(&[], Some(listener.local_addr().unwrap().to_string()));
        let started = Instant::now();
        let error = error(&routes, "10000", Duration::from_millis(200)).await;
        assert!(matches!(error, CallError::Timeout), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
