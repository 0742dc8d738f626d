//! The serving-server role: gRPC and HTTP edges, admission, flow control, configuration, life cycle.
//!
//! May depend on every crate below it; the only crate of the server side that names tonic and axum. Promises:
//!
//! * every call gets an answer: refused ones at once (124, 111), broken ones as code 110, never a dead connection;
//! * what unanswered requests hold is bounded in bytes; a gRPC body over that, or too slow, ends with a gRPC status,
//!   because no request has been read yet that could be answered;
//! * the port opens only after all models are restored and tried; a drain answers what is in flight;
//! * no model call can take a place from inference;
//! * no secret and no payload reaches a log unless the operator asks for payloads.

mod admission;
mod answers;
pub mod config;
mod connections;
mod features;
mod flow;
mod flow_log;
mod grpc;
mod guard;
mod health_check;
mod http;
mod intake;
mod lifecycle;
mod log_levels;
mod node;
mod peer;
mod process;
mod transport;

pub use config::{Config, ConfigError};
pub use flow::FlowControl;
pub use lifecycle::{Embedding, RunningServer, Server, StartError, run};
pub use log_levels::LogLevels;
