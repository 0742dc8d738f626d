//! Properties files: a table of keys, read, checked and typed. The table itself belongs to the role.

mod file;
mod key;
mod notes;
mod reload;
mod value;
mod values;

pub use file::{ConfigError, Problem, pair_entries, read_entries};
pub use key::{ANY_INT, COUNT, Fallback, Key, MILLIS, Treatment, find, honoured, key};
pub use notes::{Level, Note, about_entry, line_of, say};
pub use reload::Changes;
pub use value::{Address, Kind, MASK, Value};
pub use values::{Entry, Values, one_port_twice};
