//! `file-pick`: one line `id,name:value;name:value` of the data file per id (Java's `TestFilePickAdapter`, which looks up
//! `id`, and `BatchTestFilePickAdapter`, which looks up `device_id`).
//!
//! The file is read at the first call and again when its size or time has changed. Unlike Java's, a bad line leaves no
//! half table behind: until the file changes every call is 102.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fate_domain::fault::Fault;
use fate_domain::java_number;
use fate_domain::return_code::ReturnCode;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use crate::data_file::{self, DataFile};
use crate::registry::Error;
use crate::{BatchRows, BoxFuture, FeatureRow, FeatureSource, Settings};

/// A file changed less than this before it was read may change again under the same time stamp.
const STAMP_STEP: Duration = Duration::from_millis(100);

type Table = HashMap<Box<str>, FeatureRow>;

#[derive(Debug)]
struct FilePick {
    file: DataFile,
    loaded: Mutex<Option<Loaded>>,
}

/// The outcome of reading one state of the file, good or bad.
#[derive(Debug, Clone)]
struct Loaded {
    stamp: Stamp,
    /// Whether a later change must show in the stamp.
    settled: bool,
    table: Result<Arc<Table>, Fault>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

pub(crate) fn open(settings: &Settings) -> Result<Arc<dyn FeatureSource>, Error> {
    Ok(Arc::new(FilePick {
        file: settings.file(),
        loaded: Mutex::default(),
    }))
}

impl FilePick {
    /// The table of the file as it is now. One caller reads, the others wait for what it finds.
    async fn table(&self) -> Result<Arc<Table>, Fault> {
        let mut loaded = self.loaded.lock().await;
        let file = self.file.clone();
        let known = loaded.take();
        let current = data_file::off_thread(move || current(&file, known)).await?;
        let table = current.table.clone();
        *loaded = Some(current);
        table
    }
}

fn current(file: &DataFile, known: Option<Loaded>) -> Result<Loaded, Fault> {
    let metadata = file.metadata()?;
    let stamp = Stamp {
        bytes: metadata.len(),
        modified: metadata.modified().ok(),
    };
    if let Some(known) = known
        && known.settled
        && known.stamp == stamp
    {
        return Ok(known);
    }
    let settled = stamp
        .modified
        .and_then(|modified| modified.elapsed().ok())
        .is_some_and(|age| age > STAMP_STEP);
    Ok(Loaded {
        stamp,
        settled,
        table: read(file).map(Arc::new),
    })
}

fn read(file: &DataFile) -> Result<Table, Fault> {
    let text = file.read()?;
    let mut table = Table::new();
    for (number, line) in data_file::lines(&text) {
        let (id, features) = parse_line(line).map_err(|reason| file.bad_line(number, &reason))?;
        table.insert(id.into(), FeatureRow::Numbers(data_file::row(features)));
    }
    Ok(table)
}

fn parse_line(line: &str) -> Result<(&str, BTreeMap<Box<str>, f64>), String> {
    let mut fields = data_file::fields(line, ',');
    let (Some(id), Some(features), None) = (fields.next(), fields.next(), fields.next()) else {
        return Err("the line is not id,name:value;name:value".to_owned());
    };
    Ok((id, data_file::features(features, ';')?))
}

impl FeatureSource for FilePick {
    fn name(&self) -> &str {
        "file-pick"
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(async move {
            let id =
                lookup(ids, &["id"])?.ok_or_else(|| data_file::fault("the request has no id"))?;
            pick(&*self.table().await?, &id)
        })
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        Box::pin(async move {
            let table = self.table().await?;
            let row = |ids: &&str| match lookup(ids, &["device_id", "id"])? {
                Some(id) => pick(&table, &id),
                None => Err(not_found("the row has neither device_id nor id".to_owned())),
            };
            Ok(ids.iter().map(row).collect())
        })
    }
}

fn pick(table: &Table, id: &str) -> Result<FeatureRow, Fault> {
    table.get(id).cloned().ok_or_else(|| {
        let shown: String = id.chars().take(80).collect();
        not_found(format!("cannot find features for {shown}"))
    })
}

fn not_found(message: String) -> Fault {
    Fault::new(ReturnCode::HOST_FEATURE_NOT_EXIST, message)
}

/// The value of the first of `keys` that is there and not null, as the text Java makes of it.
fn lookup(ids: &str, keys: &[&str]) -> Result<Option<String>, Fault> {
    let members: HashMap<String, &RawValue> = serde_json::from_str(ids)
        .map_err(|error| data_file::fault(format!("the ids are not a JSON object: {error}")))?;
    let value = keys
        .iter()
        .filter_map(|key| members.get(*key))
        .map(|value| value.get())
        .find(|value| *value != "null");
    value.map(text_of).transpose()
}

fn text_of(value: &str) -> Result<String, Fault> {
    match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str(value)
            .map_err(|error| data_file::fault(format!("the id is not text: {error}"))),
        Some(b'{' | b'[') => Err(data_file::fault("the id is neither a text nor a number")),
        // Java reads a number with fraction or exponent as a double and shows it as such.
        Some(b'-' | b'0'..=b'9') if value.contains(['.', 'e', 'E']) => {
            java_number::parse_double(value)
                .map(java_number::double_to_string)
                .ok_or_else(|| data_file::fault("the id is not a number"))
        }
        _ => Ok(value.to_owned()),
    }
}
