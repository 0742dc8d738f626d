//! What every role has at its ports, whichever services it answers there.
//!
//! Listeners for gRPC and HTTP, TLS in both directions, admission and the budget of bytes, flow control with its counters, traces, the parts of
//! `CommonService` that are the same everywhere, log levels, the flow log, and the mechanics of properties files.
//! Which services, paths and keys there are is the role's own affair. May depend on `domain` and `proto`; together with
//! the roles the only crate that names tonic and axum. Promises:
//!
//! * nothing waits for a place: a call enters at once or is refused at once (124, 111);
//! * what unanswered requests hold is bounded in bytes, what connections may do in number and time; a gRPC body over
//!   that, or too slow, ends with a gRPC status, because no request has been read yet that could be answered;
//! * who asks for TLS gets TLS or an error, never the clear; certificates are replaced while the process runs;
//! * a panic in a handler becomes an answer;
//! * no call waits for whoever reads the log;
//! * no secret and no payload reaches a log unless the operator asks for payloads.

pub mod adaptive;
pub mod admin_token;
pub mod admission;
pub mod alarm;
pub mod callers;
pub mod channel;
pub mod clock;
pub mod common_service;
pub mod config;
pub mod connections;
pub mod daily_file;
pub mod deadline;
pub mod dial;
pub mod doctor;
pub mod flow;
pub mod flow_log;
mod gathered;
pub mod grpc;
pub mod guard;
pub mod health_check;
pub mod http;
pub mod intake;
pub mod lane;
pub mod log_levels;
pub mod log_queue;
pub mod log_settings;
mod log_time;
pub mod managed;
mod metered;
mod other_port;
pub mod payload;
pub mod process;
pub mod prometheus;
mod served;
pub mod small_file;
pub mod stream;
mod taken;
pub mod tls;
pub mod trace;
pub mod unary;
