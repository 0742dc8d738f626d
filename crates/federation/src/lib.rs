//! The exchange between parties: what a guest asks its hosts, what a host answers, and the answer to the client.
//!
//! * [`Guest`] turns the body of an inference request into the body of an answer: look the model up, ask all hosts at
//!   the same time under one deadline, compute the guest's part meanwhile, merge (contract 01 §4.1 to §4.4).
//! * [`Host`] turns a guest's packet into the reply packet: model, features, partial (contract 01 §1.5, §4.5, §4.6).
//!
//! May depend on `fate-domain`, `fate-proto` (messages only), `fate-inference`, `fate-model` and `fate-features`; how
//! packets travel ([`HostTransport`]), how calls are limited ([`Admission`]) and where results are remembered
//! ([`ResultCache`]) is the server's affair.
//!
//! Promises: every call ends, with an answer that carries the contract's code; a failed, late or silent host never
//! becomes a score; the bytes that Java peers compare are those of contract 01 §2; what a row brought along is told to
//! those who ask, without a feature's value, and costs nothing when nobody does.

#![forbid(unsafe_code)]

mod admission;
mod base64_text;
mod claim;
mod compact;
mod explain;
mod flights;
mod guest;
mod hit_rate;
mod host;
mod java_json;
mod packet;
mod record;
mod reply;
mod request;
mod result_cache;
mod row_list;
mod transport;
mod watch;

pub use admission::Admission;
pub use guest::{Coalescing, Gatherings, Guest, GuestSettings};
pub use host::{Host, HostSettings};
pub use record::{Answer, CallRecord, Laps, Stage};
pub use reply::{Shape, failed_reply};
pub use result_cache::{RemoteResults, ResultCache, ResultKey};
pub use transport::{CallError, HostTransport};
