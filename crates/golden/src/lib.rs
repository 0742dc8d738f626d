//! Golden sets: a federated model on disk, with rows of every party and FATE's offline scores for them.
//! `model verify`, `model inspect`, the demo and the tests read them; the sets themselves are in `models/`.
//!
//! ```text
//! <set>/manifest.json               optional: names the label column
//! <set>/predictions.csv             id,label,predict_result,predict_score,predict_detail
//! <set>/<role>_<party>/index.json   role, party_id, namespace, name and the list of buffers
//! <set>/<role>_<party>/model/*.pb   one buffer each, with size and SHA-256 in the index
//! <set>/<role>_<party>/features.csv rows: the id first, then features; the guest's also have the label. Where the party's
//!                                   data component reads tag or sparse tables: id,name:value,… or id,name,…
//! ```
//!
//! May depend on `fate-domain` and `fate-proto` (messages only); synchronous I/O, nothing is compiled or scored here.
//!
//! Promises: what was read is what the index says (sizes, checksums, no file outside the party's directory); ids,
//! names and cells are the text of the file, not trimmed, not folded, not renumbered; an error names file and line.

#![forbid(unsafe_code)]

mod error;
mod index;
mod layout;
mod predictions;
mod set;
mod table;

pub use error::Error;
pub use index::PartyModel;
pub use predictions::{Expected, Predictions};
pub use set::{Party, Set, models_in, models_in_with, sets_below};
pub use table::{Row, Table};
