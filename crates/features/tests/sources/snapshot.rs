//! Files: read at start, swapped when they change, never lost.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fate_features::{
    ColumnMapping, FeatureSource as _, SnapshotForm, SnapshotSettings, SourceKind, SourceSet,
};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::contract::{ids, set, settings, text};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file in its place, as one that was written long ago.
    fn put(&self, name: &str, content: &[u8]) {
        let new = self.path("new");
        std::fs::write(&new, content).unwrap();
        let hour = Duration::from_secs(3600);
        let file = File::options().write(true).open(&new).unwrap();
        file.set_modified(SystemTime::now() - hour).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }
}

fn source(path: &Path, form: SnapshotForm, columns: &[&str], max_bytes: u64) -> SourceSet {
    let kind = SourceKind::Snapshot(SnapshotSettings {
        path: path.to_owned(),
        form,
        id_column: "id".to_owned(),
        max_bytes,
    });
    let mut settings = settings("file", kind);
    settings.key = "${id}".parse().unwrap();
    settings.columns = ColumnMapping::of(columns.iter().copied()).unwrap();
    set(&[settings])
}

async fn one(set: &SourceSet, id: &str) -> Result<String, (i32, String)> {
    text(set.fetch(&ids(id)).await)
}

async fn until(set: &SourceSet, id: &str, expected: &str) {
    let began = std::time::Instant::now();
    while one(set, id).await.as_deref() != Ok(expected) {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{:?}",
            one(set, id).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_rows_are_found_by_key() {
    let folder = Folder::new();
    let file = "\u{feff}id,n,t,o\r\n1,1.50,\"a \"\"b\"\"\nc,\",x\r\nb,-2,,\r\nc,NaN,\u{e9},\r\n";
    folder.put("f.csv", file.as_bytes());
    let some = source(
        &folder.path("f.csv"),
        SnapshotForm::Csv,
        &["t=x1", "n=x0"],
        1 << 20,
    );
    some.start().await;
    let row = |id: &'static str| one(&some, id);
    assert_eq!(
        row("1").await.as_deref(),
        Ok(r#"{"x1":"a \"b\"\nc,","x0":"1.50"}"#)
    );
    assert_eq!(row("b").await.as_deref(), Ok(r#"{"x0":"-2"}"#));
    assert_eq!(
        row("c").await.as_deref(),
        Ok("{\"x1\":\"\u{e9}\",\"x0\":\"NaN\"}")
    );
    assert_eq!(row("none").await.unwrap_err().0, 113);
    let number = text(some.fetch(r#"{"id":1}"#).await);
    assert!(number.is_ok(), "an id that is a number");
    let ids = [ids("b"), ids("none"), ids("1")];
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rows = some.fetch_batch(&ids).await.unwrap();
    let found: Vec<bool> = rows.iter().map(Result::is_ok).collect();
    assert_eq!(found, [true, false, true]);
    let all = source(&folder.path("f.csv"), SnapshotForm::Csv, &[], 1 << 20);
    all.start().await;
    assert_eq!(one(&all, "b").await.as_deref(), Ok(r#"{"n":"-2"}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_table_is_told_and_found_when_it_is_there() {
    let huge = format!("id,n\n1,{}\n", "x".repeat(3000));
    let cases: [(&[u8], &str); 8] = [
        (b"", "no column id"),
        (b"id,n\n", "there is no row"),
        (b"key,n\n1,2\n", "no column id"),
        (b"id,m\n1,2\n", "no column n"),
        (b"id,n,n\n1,2,3\n", "there twice"),
        (b"id,n\n1,2\n1,3\n", "line 3: the key 1 is there twice"),
        (b"id,n\n1,\xff\n", "not UTF-8"),
        (huge.as_bytes(), "larger than 2048 bytes"),
    ];
    for (content, cause) in cases {
        let folder = Folder::new();
        let set = source(&folder.path("f"), SnapshotForm::Csv, &["n"], 2048);
        set.start().await;
        let (code, message) = one(&set, "1").await.unwrap_err();
        assert!(code == 102 && message.contains("No such file"), "{message}");
        assert_eq!(
            set.fetch_batch(&[r#"{"id":"1"}"#])
                .await
                .unwrap_err()
                .code
                .0,
            102
        );
        folder.put("f", content);
        let set = source(&folder.path("f"), SnapshotForm::Csv, &["n"], 2048);
        set.start().await;
        let (code, message) = one(&set, "1").await.unwrap_err();
        assert!(
            code == 102 && message.contains(cause),
            "{message} without {cause}"
        );
        folder.put("f", b"id,n\n1,5\n");
        until(&set, "1", r#"{"n":"5"}"#).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_swapped_in_and_a_bad_one_is_not() {
    let folder = Folder::new();
    folder.put("f", b"id,n\n1,1\n2,1\n");
    let set = Arc::new(source(&folder.path("f"), SnapshotForm::Csv, &[], 1 << 20));
    set.start().await;
    let asking = {
        let set = Arc::clone(&set);
        // Rows are there at every moment, whatever happens to the file.
        tokio::spawn(async move {
            loop {
                one(&set, "2").await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    };
    for number in 2..5 {
        folder.put("f", format!("id,n\n1,{number}\n2,0\n").as_bytes());
        until(&set, "1", &format!(r#"{{"n":"{number}"}}"#)).await;
    }
    for bad in [&b""[..], b"id,n\n", b"id,n\n1", b"\xff\xfe"] {
        folder.put("f", bad);
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(one(&set, "1").await.as_deref(), Ok(r#"{"n":"4"}"#));
    }
    std::fs::remove_file(folder.path("f")).unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(one(&set, "1").await.as_deref(), Ok(r#"{"n":"4"}"#));
    // Written in place, with the same number of bytes.
    std::fs::write(folder.path("f"), b"id,n\n1,5\n2,1\n").unwrap();
    until(&set, "1", r#"{"n":"5"}"#).await;
    asking.abort();
    assert!(
        asking.await.unwrap_err().is_cancelled(),
        "a row was missing"
    );
}

/// Rows with every kind of column; `id` is 1 and 2.
fn parquet_file(path: &Path) {
    let schema = "message rows {
        required int64 id; optional double d; optional float f; optional int32 i; optional int64 l;
        optional byte_array t (UTF8); optional int32 dec (DECIMAL(5,2)); optional int32 day (DATE); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .build();
    let file = File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    macro_rules! column {
        ($kind:ty, $values:expr, $levels:expr) => {
            let mut column = group.next_column().unwrap().unwrap();
            let levels: Option<&[i16]> = $levels;
            column
                .typed::<$kind>()
                .write_batch(&$values, levels, None)
                .unwrap();
            column.close().unwrap();
        };
    }
    column!(Int64Type, [1, 2], None);
    column!(DoubleType, [0.1, f64::NAN], Some(&[1, 1]));
    column!(FloatType, [0.5_f32], Some(&[1, 0]));
    column!(Int32Type, [-7], Some(&[1, 0]));
    column!(Int64Type, [9_007_199_254_740_993], Some(&[1, 0]));
    column!(ByteArrayType, [ByteArray::from("k\u{f6}ln")], Some(&[1, 0]));
    column!(Int32Type, [12345], Some(&[1, 0]));
    column!(Int32Type, [0], Some(&[1, 0]));
    group.close().unwrap();
    writer.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn parquet_rows_have_the_types_of_their_columns() {
    let folder = Folder::new();
    let path = folder.path("f.parquet");
    parquet_file(&path);
    let all = source(&path, SnapshotForm::Parquet, &[], 1 << 20);
    all.start().await;
    let first = one(&all, "1").await.unwrap();
    assert_eq!(
        first,
        "{\"d\":0.1,\"f\":0.5,\"i\":-7,\"l\":9007199254740993,\"t\":\"k\u{f6}ln\",\"dec\":123.45,\"day\":\"1970-01-01\"}"
    );
    assert_eq!(one(&all, "2").await.as_deref(), Ok(r#"{"d":"nan"}"#));
    assert_eq!(one(&all, "3").await.unwrap_err().0, 113);
    let some = source(&path, SnapshotForm::Parquet, &["i=x1", "d=x0"], 1 << 20);
    some.start().await;
    assert_eq!(
        one(&some, "1").await.as_deref(),
        Ok(r#"{"x1":-7,"x0":0.1}"#)
    );

    let whole = std::fs::read(&path).unwrap();
    let parts = (0..whole.len())
        .step_by(7)
        .map(|length| whole[..length].to_vec());
    let bent = (0..whole.len()).step_by(11).map(|place| {
        let mut bent = whole.clone();
        bent[place] ^= 0xff;
        bent
    });
    for damaged in parts.chain(bent).chain([b"PAR1".repeat(4)]) {
        folder.put("damaged", &damaged);
        let set = source(&folder.path("damaged"), SnapshotForm::Parquet, &[], 1 << 20);
        set.start().await;
        // Whatever was read of it, there is an answer.
        let _ = one(&set, "1").await;
        folder.put("damaged", &whole);
        drop(set);
    }
    let small = source(&path, SnapshotForm::Parquet, &[], 100);
    small.start().await;
    let (code, message) = one(&small, "1").await.unwrap_err();
    assert!(
        code == 102 && message.contains("larger than 100"),
        "{message}"
    );
}
