//! Where a host gets the features of a row: one trait, and the sources behind the Java names of
//! `feature.single.adaptor` and `feature.batch.adaptor` (contract 01 §8).
//!
//! May depend on `fate-domain` only; knows neither models nor gRPC. Promises: every call ends, with features or with a
//! [`Fault`] that carries the contract's code (102, 110, 113, 116); files and answers of foreign services are hostile
//! input, bounded in size and in time. A new source is one file and one entry in the table of `registry.rs`.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use fate_domain::fault::Fault;

mod data_file;
mod file_pick;
mod mock;
mod registry;
mod settings;
mod test_file;

pub use registry::{Error, batch_source, single_source};
pub use settings::Settings;

/// A future of a trait object's method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a batch call gives: the call's own fault, or one result per row in the order of the ids.
pub type BatchRows = Result<Vec<Result<FeatureRow, Fault>>, Fault>;

/// The host's features of one row.
#[derive(Debug, Clone, PartialEq)]
pub enum FeatureRow {
    /// Features by name, shared by all calls that get the same row.
    Numbers(Arc<[(Box<str>, f64)]>),
    /// The text of one JSON object: features as a foreign service sent them.
    Json(String),
}

/// A source of a host's features.
///
/// `ids` is the JSON text of a row's `sendToRemoteFeatureData`, as the guest sent it.
pub trait FeatureSource: Send + Sync + Debug {
    /// The short name of the source, for logs.
    fn name(&self) -> &str;

    /// The features of one row. An id without features is 113 (contract 01 §8).
    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>>;

    /// The features of many rows, one result for each of `ids` in their order.
    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows>;
}
