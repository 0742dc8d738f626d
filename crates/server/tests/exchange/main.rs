//! A guest and its host as real servers on loopback ports, asked over gRPC and HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod administrators;
mod alone;
mod callers;
mod cluster;
mod compact;
mod controllers;
mod edges;
mod example;
mod explain;
mod false_host;
mod fate_flow;
mod floods;
mod flow_lines;
mod hostile;
mod isolation;
mod registered;
mod remembered;
mod scraped;
mod sharing;
mod silent_hosts;
mod sources;
mod synchronising;
mod vectors;
