//! What tests need around them: real servers, and a network that can fail. For tests only; no other room's production
//! code may use it, and it uses none of theirs. Blocking throughout, so that a test may use it with or without a
//! runtime.
//!
//! Promises: every server has a directory and ports of its own on 127.0.0.1, and is gone when its value is dropped. A
//! test whose server is not installed fails and says how to install it, unless `FATE_TEST_WITHOUT_SERVICES=1` allows it
//! to be left out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod collector;
mod database;
mod link;
pub mod metrics;
mod redis;
mod server_files;
mod zookeeper;

pub use collector::{CollectedSpan, Collector};
pub use database::Database;
pub use link::Link;
pub use redis::{Redis, RedisCluster};
pub use server_files::ServerFiles;
pub use zookeeper::{Ensemble, ZooKeeper};

use std::net::TcpListener;
use std::time::{Duration, Instant};

/// A port of 127.0.0.1 that nobody listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within `patience`.
#[track_caller]
pub fn wait_for<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
