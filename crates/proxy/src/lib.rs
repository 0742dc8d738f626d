//! The serving-proxy role: parties reach each other, applications reach the guest.
//!
//! May depend on `domain`, `proto`, `edge` and `registry`. The way of a packet:
//!
//! 1. A port receives it: `Intra` from this party's servers, `Inter` from other parties, over gRPC or HTTP.
//! 2. [`forward::Forwarder::packet`] decides, without waiting: both parties are named (110),
//! 3. [`auth::Auth::check`] knows the signature of another party's packet (129),
//! 4. the registry has a server for the model of another party's packet, or [`route_table::RouteTable`] an address for
//!    the receiver; in both the permission rules let the sender reach it (128, 110),
//! 5. [`auth::Auth::sign`] signs what leaves this party. Header and body stay the bytes they were ([`WirePacket`]).
//! 6. The peer is called; its answer goes back as it came, a failure as a packet with the code plus 500.
//!
//! The ports are in `grpc` and `http`, what both call in `node`, `unary` and `inference`, connections in `peers`.
//!
//! An application's request goes the same way without signatures: [`forward::Forwarder::inference`] finds the server of
//! its service id.
//!
//! Where the server runs in the same process, [`OwnServer`] and [`ProxyHandle`] are the two ways between them.
//!
//! Promises: a bad file never replaces what is in force; nothing goes in the clear that should be secured, nor back to
//! this proxy; codes and texts are those of the Java proxy, with causes where it has none; no secret reaches a log.

pub mod auth;
mod call;
pub mod config;
mod doctor;
mod flow_line;
pub mod forward;
mod gates;
mod grpc;
mod handle;
mod health_check;
mod http;
mod inference;
pub mod lenient_json;
mod lifecycle;
mod node;
mod own_server;
pub mod packet_json;
mod peers;
mod registration;
pub mod route_table;
mod telemetry;
mod unary;
mod watched_file;
mod wire_packet;

pub use config::Config;
pub use doctor::{about_files, examine};
pub use handle::{NoAnswer, ProxyHandle};
pub use lifecycle::{Embedding, PreparedProxy, Proxy, RunningProxy, StartError};
pub use own_server::OwnServer;
pub use wire_packet::WirePacket;
