//! The kinds of `sources` against real servers and files: one contract for all of them, and what each has of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod contract;
mod http;
mod mysql;
mod postgresql;
mod redis;
mod snapshot;
mod tls;
