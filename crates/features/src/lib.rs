//! Where a host gets the features of a row: one trait, and the sources behind the Java names of
//! `feature.single.adaptor` and `feature.batch.adaptor` (contract 01 §8).
//!
//! | short name | Java, single | Java, batch | features come from |
//! |---|---|---|---|
//! | `mock` | `MockAdapter` | `MockBatchAdapter` | eleven constants |
//! | `file` | `TestFileAdapter` | `BatchTestFileAdapter` | a file, the same for every id |
//! | `file-pick` | `TestFilePickAdapter` | `BatchTestFilePickAdapter` | a file, one line per id |
//! | `http` | `HttpAdapter` | – | a feature service, judged by the answer's `code` |
//! | `http-header` | `HttpAdapterByHeader` | – | a feature service, judged by the HTTP status |
//! | `parallel` | – | `ParallelBatchToSingleFeatureAdaptor` | a single source, asked for many rows at a time |
//! | `sources` | – | – | several places, put together by key: the module `sources` |
//!
//! May depend on `fate-domain` only; knows neither models nor gRPC. Promises: every call ends, with features or with a
//! [`Fault`] that carries the contract's code:
//! * 102: a data file or one of `sources` fails, or the ids it is asked with are wrong,
//! * 110: a foreign service did not answer in time, in bounds or in its protocol,
//! * 113: the id has no features in a file or in any of `sources`, or `parallel` ran out of time,
//! * 116: a foreign service says that it has none.
//!
//! Files and answers of foreign services are hostile input, bounded in size and in time; a caller may drop a call at any
//! point. A new source is one file and one entry in the table of `registry.rs`.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use fate_domain::fault::Fault;

mod data_file;
mod feature_service;
mod file_pick;
mod http;
mod http_header;
mod ids;
mod mock;
mod name_lookup;
mod parallel;
mod registry;
mod settings;
mod sources;
mod test_file;
#[cfg(test)]
mod test_service;
mod tls;

pub use registry::{Error, batch_source, single_source};
pub use settings::Settings;
pub use sources::{
    ColumnMapping, FetchMeter, KeyTemplate, MYSQL_SCHEMES, MemorySettings, POSTGRESQL_SCHEMES,
    REDIS_SCHEMES, ReadSettings, RedisForm, ServerUrl, SnapshotForm, SnapshotSettings, SourceKind,
    SourceReport, SourceSet, SourceSettings, TableSettings,
};
pub use tls::{ClientIdentity, TlsSettings};

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

    /// The features of one row, or the code of their absence: see the crate's list (contract 01 §8).
    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>>;

    /// The features of many rows, one result for each of `ids` in their order.
    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows>;
}

/// A batch of a source that can only be asked for one row at a time; `parallel` is the quicker way.
fn one_by_one<'a>(source: &'a dyn FeatureSource, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
    Box::pin(async move {
        let mut rows = Vec::with_capacity(ids.len());
        for ids in ids {
            rows.push(source.fetch(ids).await);
        }
        Ok(rows)
    })
}
