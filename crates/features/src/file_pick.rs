//! `file-pick`: one line `id,name:value;name:value` of the data file per id (Java's `TestFilePickAdapter`, which looks up
//! `id`, and `BatchTestFilePickAdapter`, which looks up `device_id`).
//!
//! The file is read at the first call and again when its size or time has changed. Unlike Java's, a bad line leaves no
//! half table behind: until the file changes every call is 102.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_domain::return_code::ReturnCode;

use crate::data_file::{self, DataFile, Stamp};
use crate::registry::Error;
use crate::{BatchRows, BoxFuture, FeatureRow, FeatureSource, Settings, ids};

type Table = HashMap<Box<str>, FeatureRow>;

#[derive(Debug)]
struct FilePick {
    file: DataFile,
    loaded: parking_lot::Mutex<Option<Loaded>>,
    /// Held by the one thread that reads the file, even when its caller has given up.
    reading: Arc<tokio::sync::Mutex<()>>,
}

/// The outcome of reading one state of the file, good or bad.
#[derive(Debug)]
struct Loaded {
    stamp: Stamp,
    /// Whether a later change must show in the stamp.
    settled: bool,
    table: Result<Arc<Table>, Fault>,
}

pub(crate) fn open(settings: &Settings) -> Result<Arc<dyn FeatureSource>, Error> {
    Ok(Arc::new(FilePick {
        file: settings.file(),
        loaded: parking_lot::Mutex::default(),
        reading: Arc::default(),
    }))
}

impl FilePick {
    /// The table of the file as it is now. One caller reads, the others wait for what it finds.
    async fn table(&self) -> Result<Arc<Table>, Fault> {
        if let Some(table) = self.known()? {
            return table;
        }
        let reading = Arc::clone(&self.reading).lock_owned().await;
        if let Some(table) = self.known()? {
            return table;
        }
        let file = self.file.clone();
        let (loaded, _reading) = data_file::off_thread(move || Ok((load(&file)?, reading))).await?;
        let table = loaded.table.clone();
        *self.loaded.lock() = Some(loaded);
        table
    }

    /// What was read last, if the file has not changed since. One `stat` per call is cheaper than a change of threads.
    fn known(&self) -> Result<Option<Result<Arc<Table>, Fault>>, Fault> {
        let stamp = Stamp::of(&self.file.metadata()?);
        let loaded = self.loaded.lock();
        let fresh = loaded
            .as_ref()
            .filter(|loaded| loaded.settled && loaded.stamp == stamp);
        Ok(fresh.map(|loaded| loaded.table.clone()))
    }
}

fn load(file: &DataFile) -> Result<Loaded, Fault> {
    let stamp = Stamp::of(&file.metadata()?);
    Ok(Loaded {
        settled: stamp.is_settled(),
        table: read(file).map(Arc::new),
        stamp,
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
    let members = Members::whole(ids)
        .map_err(|error| data_file::fault(format!("the ids are not a JSON object: {error}")))?;
    let value = keys
        .iter()
        .filter_map(|key| members.get(key))
        .find(|value| *value != "null");
    value
        .map(|value| ids::text(value).map_err(data_file::fault))
        .transpose()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::registry::{batch_source, single_source};

    struct Fixture {
        settings: Settings,
        _directory: tempfile::TempDir,
    }

    fn fixture(content: &str) -> Fixture {
        let directory = tempfile::tempdir().expect("directory");
        let data_file = directory.path().join("host_data.csv");
        std::fs::write(&data_file, content).expect("write");
        Fixture {
            settings: Settings {
                data_file,
                max_file_bytes: 1024,
                ..Settings::default()
            },
            _directory: directory,
        }
    }

    impl Fixture {
        /// Replaces the file with a chosen time stamp, so that no test depends on the clock's step.
        fn rewrite(&self, content: &str, age_secs: u64) {
            std::fs::write(&self.settings.data_file, content).expect("write");
            let file = std::fs::File::options()
                .write(true)
                .open(&self.settings.data_file)
                .expect("open");
            let modified = SystemTime::now() - Duration::from_secs(age_secs);
            file.set_modified(modified).expect("time stamp");
        }

        fn single(&self) -> Arc<dyn FeatureSource> {
            single_source("TestFilePickAdapter", &self.settings).expect("source")
        }
    }

    fn numbers(pairs: &[(&str, f64)]) -> FeatureRow {
        FeatureRow::Numbers(
            pairs
                .iter()
                .map(|(name, value)| ((*name).into(), *value))
                .collect(),
        )
    }

    fn code(result: &Result<FeatureRow, Fault>) -> i32 {
        result.as_ref().err().map_or(0, |fault| fault.code.0)
    }

    const DATA: &str = "1,x300:1;x301:2\n2,x300:-3.25;x1000:0.5\r\n1.5,a:1\n,true,,b:2,\n";

    #[tokio::test]
    async fn single_looks_up_id() {
        let fixture = fixture(DATA);
        let source = fixture.single();
        let first = numbers(&[("x300", 1.0), ("x301", 2.0)]);
        for (ids, expected) in [
            (r#"{"id":"1"}"#, Ok(first.clone())),
            (r#"{"id":1,"device_id":"2"}"#, Ok(first.clone())),
            (r#"{"id":"2","id":"1"}"#, Ok(first)),
            (
                r#"{"id":2}"#,
                Ok(numbers(&[("x1000", 0.5), ("x300", -3.25)])),
            ),
            (r#"{"id":15e-1}"#, Ok(numbers(&[("a", 1.0)]))),
            (r#"{"id":true}"#, Ok(numbers(&[("b", 2.0)]))),
            (r#"{"id":1.0}"#, Err(113)),
            (r#"{"id":"3"}"#, Err(113)),
            (r#"{"id":99999999999999999999999999}"#, Err(113)),
            (r#"{"id":null}"#, Err(102)),
            (r#"{"id":{}}"#, Err(102)),
            (r#"{"device_id":"1"}"#, Err(102)),
            ("{}", Err(102)),
            ("[1]", Err(102)),
            (r#"{"id":"1""#, Err(102)),
        ] {
            let got = source.fetch(ids).await;
            assert_eq!(got.map_err(|fault| fault.code.0), expected, "{ids}");
        }
    }

    #[tokio::test]
    async fn batch_looks_up_device_id_and_then_id() {
        let fixture = fixture(DATA);
        let source = batch_source("BatchTestFilePickAdapter", &fixture.settings).expect("source");
        let ids = [
            r#"{"device_id":"1","id":"2"}"#,
            r#"{"device_id":2}"#,
            r#"{"id":"2"}"#,
            r#"{"device_id":"9","id":"2"}"#,
            "{}",
            "nonsense",
        ];
        let rows = source.fetch_batch(&ids).await.expect("batch");
        assert_eq!(
            rows.iter().map(code).collect::<Vec<_>>(),
            [0, 0, 0, 113, 113, 102]
        );
        assert_eq!(rows[0], Ok(numbers(&[("x300", 1.0), ("x301", 2.0)])));
        assert_eq!(rows[1], rows[2]);
    }

    #[tokio::test]
    async fn a_bad_file_is_102_for_every_id_and_applies_nothing() {
        let big = "1,a:1\n".repeat(200);
        for (content, part) in [
            ("1,a:1\n2", ":2: the line is not id"),
            ("1,a:1\n2,b:1,c:2", ":2: the line is not id"),
            ("1,a:1\n2,b:x", "the value of 'b:x' is not a number"),
            ("1,a:1\n2,b", "'b' is not name:value"),
            (big.as_str(), "larger than 1024 bytes"),
        ] {
            let fixture = fixture(content);
            let source = fixture.single();
            for _ in 0..2 {
                let fault = source.fetch(r#"{"id":"1"}"#).await.expect_err(part);
                assert_eq!(fault.code.0, 102, "{part}");
                assert!(fault.message.contains(part), "{part}: {fault}");
            }
            let batch = batch_source("file-pick", &fixture.settings).expect("source");
            assert_eq!(
                batch.fetch_batch(&["{}"]).await.expect_err(part).code.0,
                102
            );
        }
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again() {
        let fixture = fixture("1,a:1");
        let source = fixture.single();
        let ids = r#"{"id":1}"#;
        fixture.rewrite("1,a:1", 50);
        assert_eq!(source.fetch(ids).await, Ok(numbers(&[("a", 1.0)])));
        // Same stamp: what was read stays, which shows that calls do not read the file.
        let stamp = std::fs::metadata(&fixture.settings.data_file)
            .and_then(|metadata| metadata.modified())
            .expect("stamp");
        std::fs::write(&fixture.settings.data_file, "1,a:9").expect("write");
        std::fs::File::options()
            .write(true)
            .open(&fixture.settings.data_file)
            .and_then(|file| file.set_modified(stamp))
            .expect("stamp");
        assert_eq!(source.fetch(ids).await, Ok(numbers(&[("a", 1.0)])));
        // Time, then length, then damage, then repair, then gone.
        fixture.rewrite("1,a:2", 40);
        assert_eq!(source.fetch(ids).await, Ok(numbers(&[("a", 2.0)])));
        fixture.rewrite("1,a:33", 40);
        assert_eq!(source.fetch(ids).await, Ok(numbers(&[("a", 33.0)])));
        fixture.rewrite("1,a:4\nbroken", 30);
        assert_eq!(code(&source.fetch(ids).await), 102);
        fixture.rewrite("1,a:5", 20);
        assert_eq!(source.fetch(ids).await, Ok(numbers(&[("a", 5.0)])));
        std::fs::remove_file(&fixture.settings.data_file).expect("remove");
        assert_eq!(code(&source.fetch(ids).await), 102);
        // A file written within the step of the clock is never taken for settled.
        for value in 6..9 {
            std::fs::write(&fixture.settings.data_file, format!("1,a:{value}")).expect("write");
            let expected = numbers(&[("a", f64::from(value))]);
            assert_eq!(source.fetch(ids).await, Ok(expected));
        }
    }
}
