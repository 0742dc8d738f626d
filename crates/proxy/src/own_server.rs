//! The serving-server of the same process, where there is one: no socket between the two.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use fate_proto::proxy::Packet;
use futures::future::BoxFuture;

use crate::route_table::{OwnAddresses, Route, Target};

/// What a proxy asks the server in its process. Bodies are those of the server's own ports; dropping a call cancels it.
pub trait OwnServer: Send + Sync + fmt::Debug {
    /// Where others reach it.
    fn grpc_addr(&self) -> SocketAddr;

    /// Whether the host model that a packet is for is loaded.
    fn holds(&self, packet: &Packet) -> bool;

    /// Whether a service id is bound to a model that is loaded.
    fn is_bound(&self, service_id: &str) -> bool;

    /// A packet of another party.
    fn unary_call(&self, packet: Packet) -> BoxFuture<'_, Packet>;

    /// One row of an application.
    fn infer(&self, body: Bytes) -> BoxFuture<'_, Vec<u8>>;

    /// Many rows.
    fn infer_batch(&self, body: Bytes) -> BoxFuture<'_, Vec<u8>>;
}

/// That server among all routes.
#[derive(Debug)]
pub(crate) struct AtHome {
    server: Arc<dyn OwnServer>,
    addresses: OwnAddresses,
}

impl AtHome {
    pub(crate) fn new(server: Arc<dyn OwnServer>) -> Self {
        let addresses = OwnAddresses::new([server.grpc_addr()]);
        Self { server, addresses }
    }

    pub(crate) fn server(&self) -> &dyn OwnServer {
        &*self.server
    }

    pub(crate) fn route(&self) -> Route {
        Route {
            shown: self.server.grpc_addr().to_string(),
            target: Target::OwnServer,
        }
    }

    /// A way over the network to the server that is here anyway is not taken.
    pub(crate) fn shortened(&self, route: Route) -> Route {
        match &route.target {
            Target::Grpc { address, tls: None }
                if self.addresses.contains(&address.host, address.port) =>
            {
                Route {
                    target: Target::OwnServer,
                    ..route
                }
            }
            _ => route,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use fate_domain::fault::Fault;
    use fate_proto::proxy::{Data, Metadata, Topic};
    use fate_registry::{Registry, Snapshot};
    use serde_json::json;

    use super::*;
    use crate::config::Config;
    use crate::forward::{Arrival, Forwarder};
    use crate::route_table::RunningTable;
    use crate::wire_packet::WirePacket;

    /// Holds the models of packets with the body `held`, and the service id `bound`.
    #[derive(Debug)]
    struct Fake;

    impl OwnServer for Fake {
        fn grpc_addr(&self) -> SocketAddr {
            "127.0.0.1:8000".parse().unwrap()
        }

        fn holds(&self, packet: &Packet) -> bool {
            packet.body.as_ref().unwrap().value == "held"
        }

        fn is_bound(&self, service_id: &str) -> bool {
            service_id == "bound"
        }

        fn unary_call(&self, packet: Packet) -> BoxFuture<'_, Packet> {
            Box::pin(std::future::ready(packet))
        }

        fn infer(&self, body: Bytes) -> BoxFuture<'_, Vec<u8>> {
            Box::pin(std::future::ready(body.to_vec()))
        }

        fn infer_batch(&self, body: Bytes) -> BoxFuture<'_, Vec<u8>> {
            Box::pin(std::future::ready(body.to_vec()))
        }
    }

    /// A node of party 10000 with this file as its table; none: there is no file.
    fn node(table: Option<&serde_json::Value>, registry: Option<Registry>) -> Forwarder {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("route_table.json");
        if let Some(table) = table {
            std::fs::write(&path, table.to_string()).unwrap();
        }
        let config = Config::from_pairs([("coordinator", "10000"), ("useZkRouter", "false")]);
        let table = RunningTable::load(path, OwnAddresses::default());
        Forwarder::new(&config.unwrap(), table, registry).with_own_server(Arc::new(Fake))
    }

    fn table(routes: serde_json::Value, default_allow: bool) -> serde_json::Value {
        json!({"route_table": routes, "permission": {"default_allow": default_allow}})
    }

    fn packet(to: &str, body: &str) -> WirePacket {
        let topic = |party_id: &str| Topic {
            name: "n".to_owned(),
            party_id: party_id.to_owned(),
            role: "serving".to_owned(),
            callback: None,
        };
        WirePacket::encoded(Packet {
            header: Some(Metadata {
                src: Some(topic("9999")),
                dst: Some(topic(to)),
                operator: "216".to_owned(),
                ..Metadata::default()
            }),
            body: Some(Data {
                key: String::new(),
                value: body.to_owned().into(),
            }),
            auth: None,
        })
    }

    const HOME: Target = Target::OwnServer;

    fn target(outcome: Result<Route, Fault>) -> Result<Target, i32> {
        outcome
            .map(|route| route.target)
            .map_err(|fault| fault.code.0)
    }

    fn sent(node: &Forwarder, arrival: Arrival, to: &str, body: &str) -> Result<Target, i32> {
        target(
            node.packet(arrival, packet(to, body))
                .map(|(route, _)| route),
        )
    }

    #[test]
    fn a_held_model_is_asked_at_home_whatever_registry_and_table_say() {
        let elsewhere = "grpc://b:1/serving/e/unaryCall?version=216".to_owned();
        let registry = Registry::fixed(Snapshot::of_list([(
            "serving",
            "e",
            "unaryCall",
            elsewhere,
        )]));
        let routes = table(
            json!({"10000": {"serving": [{"ip": "a", "port": 1}]}}),
            true,
        );
        for node in [
            node(Some(&routes), Some(registry)),
            node(Some(&routes), None),
        ] {
            assert_eq!(sent(&node, Arrival::Inter, "10000", "held"), Ok(HOME));
            // Another server of this party has it.
            let other = sent(&node, Arrival::Inter, "10000", "other").unwrap();
            assert!(matches!(other, Target::Grpc { .. }), "{other:?}");
        }
    }

    #[test]
    fn rules_guard_the_server_at_home() {
        for routes in [
            json!({}),
            json!({"10000": {"serving": [{"ip": "127.0.0.1", "port": 8000}]}}),
        ] {
            let node = node(Some(&table(routes, false)), None);
            for body in ["held", "other"] {
                assert_eq!(
                    sent(&node, Arrival::Inter, "10000", body),
                    Err(128),
                    "{body}"
                );
            }
        }
    }

    #[test]
    fn the_own_party_needs_no_line_in_the_table() {
        let others = table(
            json!({"default": {"default": [{"ip": "a", "port": 1}]}}),
            true,
        );
        for node in [node(Some(&others), None), node(None, None)] {
            for arrival in [Arrival::Inter, Arrival::Intra] {
                assert_eq!(sent(&node, arrival, "10000", "other"), Ok(HOME));
            }
            assert_eq!(target(node.inference("nobody", "inference")), Ok(HOME));
        }
        // A table that cannot be read may forbid it.
        let bad = node(Some(&json!([])), None);
        assert_eq!(sent(&bad, Arrival::Inter, "10000", "other"), Err(128));
        let other = sent(&node(Some(&others), None), Arrival::Intra, "10001", "other").unwrap();
        assert!(matches!(other, Target::Grpc { .. }), "{other:?}");
    }

    #[test]
    fn a_line_with_its_address_leads_home_without_a_connection() {
        let own = table(
            json!({"10000": {"serving": [{"ip": "127.0.0.1", "port": 8000}]}}),
            true,
        );
        let node = node(Some(&own), None);
        assert_eq!(sent(&node, Arrival::Inter, "10000", "other"), Ok(HOME));
        assert_eq!(target(node.inference("bound", "inference")), Ok(HOME));
        assert_eq!(target(node.inference("nobody", "inference")), Ok(HOME));
        let home = node.inference("bound", "inference").unwrap();
        assert_eq!(node.another_server("bound", "inference", &[home]), None);
    }

    #[test]
    fn where_servers_register_an_unbound_service_id_is_told() {
        let registry = Registry::fixed(Snapshot::of_list([]));
        let node = node(Some(&table(json!({}), true)), Some(registry));
        assert_eq!(target(node.inference("bound", "inference")), Ok(HOME));
        let fault = node.inference("nobody", "inference").unwrap_err();
        assert!(fault.message.contains("is not bound"), "{fault:?}");
    }
}
