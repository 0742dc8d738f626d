//! The words of federated serving and the Java habits that peers can see.
//!
//! Parties and roles, model keys, return codes and faults; the text of Java numbers, the order of Java hash maps, the
//! members of JSON objects, Java `.properties` files. Depends on no other room, does no I/O and knows nothing of async. Promises: every function is
//! total (no input panics) and what Java peers compare byte for byte is byte-equal.

pub mod fault;
pub mod java_hash;
pub mod java_number;
pub mod members;
pub mod model_key;
pub mod party;
pub mod plain_json;
pub mod properties;
pub mod return_code;
