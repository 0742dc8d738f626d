//! The serving-server role: its gRPC services and HTTP paths, configuration, life cycle.
//!
//! May depend on every crate below it; what every role has at its ports is `fate-edge`. Promises:
//!
//! * every call gets an answer: refused ones at once (124, 111), broken ones as code 110, never a dead connection;
//! * what unanswered requests hold is bounded in bytes; a gRPC body over that, or too slow, ends with a gRPC status,
//!   because no request has been read yet that could be answered;
//! * the port opens only after all models are restored and tried; a drain answers what is in flight;
//! * no model call can take a place from inference;
//! * no secret and no payload reaches a log unless the operator asks for payloads.

mod answers;
mod caller;
pub mod config;
mod doctor;
mod features;
mod flow_rules;
mod gates;
mod grpc;
mod handle;
mod health_check;
mod http;
mod lifecycle;
mod node;
mod peer;
mod readiness;
mod registration;
mod reload;
mod result_cache;
mod source_meters;
mod sync;
mod telemetry;
mod traced_source;
mod transport;

pub use config::{Config, ConfigError};
pub use doctor::examine;
pub use fate_edge::log_levels::LogLevels;
pub use fate_federation::{CallError, HostTransport};
pub use features::{LookedUp, look_up};
pub use handle::ServerHandle;
pub use lifecycle::{Embedding, PreparedServer, RunningServer, Server, StartError, run};
