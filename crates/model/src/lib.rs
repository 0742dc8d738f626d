//! The life of a model on one node: where its buffers come from, how it is checked and compiled,
//! how it is kept on disk, and the table that requests read.
//!
//! * [`Models`] is the only writer: load, bind, unload, unbind, import (contract 01 §3). One change at a time:
//!   first the disk, then the published table. What was answered with success survives `kill -9`.
//! * [`Published`] is what a request sees: one immutable snapshot, replaced whole, read without a lock.
//! * `source` fetches buffers (FATE-Flow transfer, archive, cache file), `store` keeps them in our own format,
//!   `java_store` reads the `.fate` folder of a Java node once, at take-over, and never writes to it.
//!
//! May depend on `fate-domain`, `fate-proto` (messages only) and `fate-inference`; knows nothing of gRPC, of the
//! registry or of requests. A model is compiled completely before it replaces anything or touches the stored copy.

mod error;
mod export;
mod flight;
#[doc(hidden)]
pub mod foreign;
mod identity;
mod in_use;
mod java_store;
mod java_stream;
mod lifecycle;
mod load_times;
mod published;
mod request;
mod restore;
mod semantics;
mod settings;
mod source;
mod store;

pub use error::Error;
pub use export::Export;
pub use in_use::InUse;
pub use lifecycle::Models;
pub use load_times::Way;
pub use published::{Binding, LoadedModel, Published, Remote};
pub use restore::{RestoreFailure, RestoreReport, TakeOver};
pub use semantics::{ChangeError, SemanticsChange, set_stored_semantics};
pub use settings::Settings;
pub use source::offline::{
    Stored, Unreadable, read_archive, read_cache_file, read_folder, read_stored,
};
