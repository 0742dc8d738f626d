//! Reading `host_data.csv`: bounded bytes, Java's splitting, Java's numbers. Whatever is wrong is 102 (contract 01 §8).

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fate_domain::fault::Fault;
use fate_domain::java_number;
use fate_domain::return_code::ReturnCode;

/// Where the data is, and how much of it is accepted.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    pub(crate) path: PathBuf,
    pub(crate) max_bytes: u64,
}

/// A file changed less than this before it was read may change again under the same time stamp.
const STAMP_STEP: Duration = Duration::from_millis(100);

/// What a change of a file shows in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Another file may have been put in its place.
    number: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            number: metadata.ino(),
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }

    /// Since the last change; `None` when the clocks do not tell.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.modified?.elapsed().ok()
    }

    pub(crate) fn is_settled(&self) -> bool {
        let distance = self.modified.map(|modified| match modified.elapsed() {
            Ok(age) => age,
            Err(ahead) => ahead.duration(),
        });
        distance.is_some_and(|distance| distance > STAMP_STEP)
    }
}

/// A 102 with its cause.
pub(crate) fn fault(message: impl Into<String>) -> Fault {
    Fault::new(ReturnCode::FEATURE, message)
}

/// Runs file work off the async threads.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(fault(format!("reading the data file was aborted: {error}"))),
    }
}

impl DataFile {
    /// Size and time of the last change; 102 when there is no regular file. A pipe or device could block for ever.
    pub(crate) fn metadata(&self) -> Result<std::fs::Metadata, Fault> {
        let metadata = std::fs::metadata(&self.path).map_err(|error| self.unreadable(&error))?;
        if !metadata.is_file() {
            return Err(fault(format!("{}: not a regular file", self.shown())));
        }
        Ok(metadata)
    }

    /// The whole file as text; never more than `max_bytes`, even while the file grows.
    pub(crate) fn read(&self) -> Result<String, Fault> {
        self.metadata()?;
        let file = std::fs::File::open(&self.path).map_err(|error| self.unreadable(&error))?;
        let mut bytes = Vec::new();
        file.take(self.max_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| self.unreadable(&error))?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > self.max_bytes) {
            return Err(fault(format!(
                "{}: larger than {} bytes",
                self.shown(),
                self.max_bytes
            )));
        }
        String::from_utf8(bytes).map_err(|_| fault(format!("{}: not UTF-8", self.shown())))
    }

    /// A 102 that names file and line.
    pub(crate) fn bad_line(&self, number: usize, reason: &str) -> Fault {
        fault(format!("{}:{number}: {reason}", self.shown()))
    }

    fn unreadable(&self, error: &std::io::Error) -> Fault {
        fault(format!("{}: {error}", self.shown()))
    }

    fn shown(&self) -> std::path::Display<'_> {
        Path::display(&self.path)
    }
}

/// The lines that carry something, with their numbers from 1.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim().is_empty())
}

/// Fields between `separator`; empty ones collapse, as Java's splitting has it.
pub(crate) fn fields(text: &str, separator: char) -> impl Iterator<Item = &str> {
    text.split(separator).filter(|field| !field.is_empty())
}

/// The features of `name:value` fields in the order of their names; the last value of a name counts. What follows a
/// second colon is not looked at, as in Java.
pub(crate) fn features(text: &str, separator: char) -> Result<BTreeMap<Box<str>, f64>, String> {
    fields(text, separator).map(feature).collect()
}

fn feature(field: &str) -> Result<(Box<str>, f64), String> {
    let shown = || field.chars().take(80).collect::<String>();
    let mut parts = fields(field, ':');
    let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
        return Err(format!("'{}' is not name:value", shown()));
    };
    match java_number::parse_double(value) {
        Some(value) => Ok((name.into(), value)),
        None => Err(format!("the value of '{}' is not a number", shown())),
    }
}

/// Features as a shared row.
pub(crate) fn row(features: BTreeMap<Box<str>, f64>) -> Arc<[(Box<str>, f64)]> {
    features.into_iter().collect()
}
