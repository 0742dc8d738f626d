use fate_features::{
    ColumnMapping, FeatureSource as _, POSTGRESQL_SCHEMES, ServerUrl, SourceKind, SourceSet,
    TableSettings, TlsSettings,
};
use fate_testkit::Database;
use tokio_postgres::{Client, NoTls};

use crate::contract::{self, Place, ids, set, settings, text};

const ROWS: &str = r#"
    CREATE SCHEMA "odd name";
    CREATE TABLE "odd name".rows (id text, n float8, t text, "o ""dd" int);
    CREATE INDEX ON "odd name".rows (id);
    INSERT INTO "odd name".rows VALUES ('k:a', 1.5, 'text', 1), ('k:b', -2, '', 2),
        ('k:twice', 1, '', 1), ('k:twice', 2, '', 1), ('k:huge', 1, repeat('x', 2000000), 1);
    CREATE TABLE types (id bigint PRIMARY KEY, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, num numeric,
        b bool, d date, s char(5), j json);
    INSERT INTO types VALUES (7, -1, 2, 9007199254740993, 0.5, 0.1, 123.4500, true, '2020-02-29', 'ab', '{"a":1}'),
        (8, null, null, null, null, 'NaN', 'NaN', null, null, null, null), (9, null, null, null, null, '-Infinity', null, null, null, '', null);
    CREATE TABLE by_uuid (id uuid, n int); INSERT INTO by_uuid VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 1);
    CREATE TABLE by_char (id char(4), n int); INSERT INTO by_char VALUES ('ab', 2);
    CREATE TABLE by_date (id date, n int);"#;

async fn client(server: &Database) -> Client {
    let url = server.url(&server.address());
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn start() -> Option<Database> {
    let server = Database::postgresql()?;
    let client = client(&server).await;
    client.batch_execute(ROWS).await.unwrap();
    Some(server)
}

fn kind(server: &Database, address: &str, table: &str) -> SourceKind {
    secured(server, address, table, None)
}

fn secured(server: &Database, address: &str, table: &str, tls: Option<TlsSettings>) -> SourceKind {
    SourceKind::PostgreSql(TableSettings {
        tls,
        server: ServerUrl::parse(&server.url(address), POSTGRESQL_SCHEMES).unwrap(),
        table: table.to_owned(),
        id_column: "id".to_owned(),
    })
}

pub(crate) struct PostgreSqlPlace {
    server: Database,
    tls: Option<TlsSettings>,
}

impl PostgreSqlPlace {
    pub(crate) fn secured(server: Database, tls: &TlsSettings) -> Self {
        server.run_statements(ROWS);
        let tls = Some(tls.clone());
        Self { server, tls }
    }

    pub(crate) fn kind_with(&self, address: &str, tls: Option<TlsSettings>) -> SourceKind {
        secured(&self.server, address, "odd name.rows", tls)
    }
}

impl Place for PostgreSqlPlace {
    fn address(&self) -> String {
        self.server.address()
    }

    fn kind(&self, address: &str) -> SourceKind {
        self.kind_with(address, self.tls.clone())
    }

    fn numbers(&self) -> [&'static str; 2] {
        ["1.5", "-2.0"]
    }

    fn poisoned(&self) -> Vec<(&'static str, &'static str)> {
        vec![("huge", "larger than"), ("twice", "several rows")]
    }

    fn stop(&mut self) {
        self.server.kill();
    }

    fn start_again(&mut self) {
        self.server.restart();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_the_contract() {
    let Some(server) = start().await else { return };
    contract::holds(&mut PostgreSqlPlace { server, tls: None }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_have_the_types_of_their_columns() {
    let Some(server) = start().await else { return };
    let of = |table: &str, columns: &[&str]| -> SourceSet {
        let mut settings = settings("t", kind(&server, &server.address(), table));
        settings.key = "${id}".parse().unwrap();
        settings.columns = ColumnMapping::of(columns.iter().copied()).unwrap();
        set(&[settings])
    };
    let types = of("types", &[]);
    let row = async |set: &SourceSet, id: &str| text(set.fetch(&ids(id)).await);
    assert_eq!(
        row(&types, "7").await.as_deref(),
        Ok(
            r#"{"i2":-1,"i4":2,"i8":9007199254740993,"f4":0.5,"f8":0.1,"num":123.4500,"b":true,"d":"2020-02-29","s":"ab","j":"{\"a\":1}"}"#
        )
    );
    assert_eq!(
        row(&types, "8").await.as_deref(),
        Ok(r#"{"f8":"nan","num":"NaN"}"#)
    );
    assert_eq!(row(&types, "9").await.as_deref(), Ok(r#"{"f8":"-inf"}"#));
    for id in ["07", "7.0", "x", "99999999999999999999", "7 "] {
        assert_eq!(row(&types, id).await.unwrap_err().0, 113, "{id}");
    }
    let by_uuid = of("by_uuid", &[]);
    let known = row(&by_uuid, "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11").await;
    assert_eq!(known.as_deref(), Ok(r#"{"n":1}"#));
    assert_eq!(row(&by_uuid, "no uuid").await.unwrap_err().0, 113);
    assert_eq!(
        row(&of("by_char", &[]), "ab").await.as_deref(),
        Ok(r#"{"n":2}"#)
    );
    for (table, columns, cause) in [
        ("by_date", &[][..], "neither whole numbers"),
        ("nowhere", &[], "does not exist"),
        ("types", &["none"], "no column none"),
    ] {
        let (code, message) = row(&of(table, columns), "1").await.unwrap_err();
        assert!(code == 102 && message.contains(cause), "{message}");
        assert!(!message.contains("pa:ss"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_table_is_prepared_anew_and_a_nul_is_no_key() {
    let Some(server) = start().await else { return };
    let mut settings = settings("t", kind(&server, &server.address(), "odd name.rows"));
    settings.columns = ColumnMapping::of(["n"]).unwrap();
    let set = set(&[settings]);
    let row = async |id: &str| text(set.fetch(&ids(id)).await);
    assert_eq!(row("a").await.as_deref(), Ok(r#"{"n":1.5}"#));
    assert_eq!(row("a\\u0000").await.unwrap_err().0, 113);
    let change = r#"ALTER TABLE "odd name".rows ALTER COLUMN n TYPE int"#;
    client(&server).await.batch_execute(change).await.unwrap();
    let changed = row("b").await.unwrap();
    assert!(
        changed == r#"{"n":-2}"# || changed == r#"{"n":-2.0}"#,
        "{changed}"
    );
}
