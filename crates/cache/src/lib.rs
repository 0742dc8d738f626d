//! Where a guest remembers what hosts answered before (contract 01 §6): in this process, or in a Redis that Java nodes
//! and ours share.
//!
//! Both are a [`fate_federation::ResultCache`], which alone knows keys and values. Only the module `redis_cache` names
//! the crate `redis`. May depend on `fate-federation`. Promises:
//!
//! * bounded: entries and bytes of the local cache, bytes that wait to be written to Redis;
//! * no request waits for Redis longer than `redis.timeout`, and none fails because of it: while it is away, or slow,
//!   it is left alone, and said so once;
//! * a password is in no log.

#![forbid(unsafe_code)]

mod local;
mod redis_cache;

pub use local::{Clock, LocalCache, LocalSettings};
pub use redis_cache::{RedisCache, RedisError, RedisNodes, RedisSettings, RedisTls};
