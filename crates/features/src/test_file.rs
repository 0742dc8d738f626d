//! `file`: all lines `name:value,name:value` of the data file together are the features of every id, read anew at each
//! call (Java's `TestFileAdapter` and `BatchTestFileAdapter`).

use std::collections::BTreeMap;
use std::sync::Arc;

use fate_domain::fault::Fault;

use crate::data_file::{self, DataFile};
use crate::registry::Error;
use crate::{BatchRows, BoxFuture, FeatureRow, FeatureSource, Settings};

#[derive(Debug)]
struct TestFile {
    file: DataFile,
    /// One reader at a time, so that calls cannot multiply the file in memory. The reading thread holds it, for a caller
    /// that gives up does not stop that thread.
    reading: Arc<tokio::sync::Mutex<()>>,
}

pub(crate) fn open(settings: &Settings) -> Result<Arc<dyn FeatureSource>, Error> {
    Ok(Arc::new(TestFile {
        file: settings.file(),
        reading: Arc::default(),
    }))
}

impl TestFile {
    async fn row(&self) -> Result<FeatureRow, Fault> {
        let reading = Arc::clone(&self.reading).lock_owned().await;
        let file = self.file.clone();
        data_file::off_thread(move || {
            let _reading = reading;
            read(&file)
        })
        .await
    }
}

fn read(file: &DataFile) -> Result<FeatureRow, Fault> {
    let text = file.read()?;
    let mut merged = BTreeMap::new();
    for (number, line) in data_file::lines(&text) {
        let features = data_file::features(line, ',');
        merged.extend(features.map_err(|reason| file.bad_line(number, &reason))?);
    }
    Ok(FeatureRow::Numbers(data_file::row(merged)))
}

impl FeatureSource for TestFile {
    fn name(&self) -> &str {
        "file"
    }

    fn fetch<'a>(&'a self, _ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(self.row())
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        Box::pin(async move {
            let row = self.row().await?;
            Ok(vec![Ok(row); ids.len()])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{batch_source, single_source};

    fn settings(directory: &tempfile::TempDir) -> Settings {
        Settings {
            data_file: directory.path().join("host_data.csv"),
            max_file_bytes: 64,
            ..Settings::default()
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

    #[tokio::test]
    async fn contract_table() {
        let directory = tempfile::tempdir().expect("directory");
        let settings = settings(&directory);
        let source = single_source("TestFileAdapter", &settings).expect("source");
        let big = "x:1,".repeat(17);
        let cases: &[(&str, Result<FeatureRow, &str>)] = &[
            ("x0:1,x1:-2.5", Ok(numbers(&[("x0", 1.0), ("x1", -2.5)]))),
            // All lines are one map, the last value of a name counts; blanks, CR and empty fields do no harm.
            (
                "a:1,b:2\r\n\n,a:3,,\n",
                Ok(numbers(&[("a", 3.0), ("b", 2.0)])),
            ),
            ("\u{feff}a:1e3", Ok(numbers(&[("a", 1000.0)]))),
            ("", Ok(numbers(&[]))),
            ("a:1\nb", Err("host_data.csv:2: 'b' is not name:value")),
            (
                "a:one",
                Err("host_data.csv:1: the value of 'a:one' is not a number"),
            ),
            // Java splits at every colon, drops empty parts and looks at the first two.
            ("a::1:2", Ok(numbers(&[("a", 1.0)]))),
            (":1", Err("host_data.csv:1: ':1' is not name:value")),
            (&big, Err("larger than 64 bytes")),
        ];
        for (content, expected) in cases {
            std::fs::write(&settings.data_file, content).expect("write");
            match (source.fetch("{\"id\":1}").await, expected) {
                (Ok(row), Ok(wanted)) => assert_eq!(&row, wanted, "{content}"),
                (Err(fault), Err(part)) => {
                    assert_eq!(fault.code.0, 102, "{content}");
                    assert!(fault.message.contains(part), "{content}: {fault}");
                }
                (got, _) => panic!("{content}: {got:?}"),
            }
        }
        std::fs::write(&settings.data_file, b"a:1\xff").expect("write");
        assert_eq!(source.fetch("{}").await.expect_err("bytes").code.0, 102);
        std::fs::remove_file(&settings.data_file).expect("remove");
        assert_eq!(source.fetch("{}").await.expect_err("no file").code.0, 102);
    }

    #[tokio::test]
    async fn a_batch_reads_once_and_fails_as_a_whole() {
        let directory = tempfile::tempdir().expect("directory");
        let settings = settings(&directory);
        let source = batch_source("BatchTestFileAdapter", &settings).expect("source");
        assert_eq!(
            source.fetch_batch(&["{}"]).await.expect_err("down").code.0,
            102
        );
        std::fs::write(&settings.data_file, "a:1").expect("write");
        let rows = source.fetch_batch(&["{}", "[]"]).await.expect("rows");
        assert_eq!(rows, vec![Ok(numbers(&[("a", 1.0)])); 2]);
    }

    #[tokio::test]
    async fn a_directory_is_not_read() {
        let directory = tempfile::tempdir().expect("directory");
        let source = single_source(
            "file",
            &Settings {
                data_file: directory.path().to_path_buf(),
                ..Settings::default()
            },
        )
        .expect("source");
        let fault = source.fetch("{}").await.expect_err("directory");
        assert!(fault.message.contains("not a regular file"), "{fault}");
    }
}
