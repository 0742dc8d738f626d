//! The registry against real ZooKeeper servers (contract 03; each test has a server of its own).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod acl;
mod choice;
mod hostile;
mod last_known;
mod many;
mod outages;
mod process;
mod tree;
mod world;
