//! Whole ways through real processes' parts: client → guest's proxy → guest's server → guest's proxy → hosts' proxies →
//! hosts' servers, all in this process on loopback ports, with route tables only, and
//! with a ZooKeeper for each party.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod administration;
mod asking;
mod certificates;
mod dead_peers;
mod fake_peer;
mod golden;
mod hostile;
mod http_errors;
mod lone_proxy;
mod own_server;
mod packets;
mod parties;
mod publishing;
mod raw;
mod registered;
mod scraped;
mod securing;
mod signed;
mod tables;
mod wire_errors;
