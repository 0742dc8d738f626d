//! The serving-proxy role: parties reach each other, applications reach the guest.
//!
//! May depend on `domain`, `proto`, `edge` and `registry`. What it promises is in the modules.

pub mod auth;
pub mod config;
pub mod lenient_json;
pub mod packet_json;
pub mod route_table;
mod watched_file;

pub use config::Config;
