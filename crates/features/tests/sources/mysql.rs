use fate_features::{
    ColumnMapping, FeatureSource as _, MYSQL_SCHEMES, ServerUrl, SourceKind, SourceSet,
    TableSettings, TlsSettings,
};
use fate_testkit::Database;
use mysql_async::prelude::Queryable as _;

use crate::contract::{self, Place, ids, set, settings, text};

const ROWS: [&str; 4] = [
    "CREATE TABLE `odd name` (id varchar(700), n double, t longblob, `o``dd` int, KEY (id))",
    "INSERT INTO `odd name` VALUES ('k:a', 1.5, 'text', 1), ('k:b', -2, '', 2), ('k:twice', 1, '', 1), ('k:twice', 2, '', 1),
        ('k:huge', 1, REPEAT('x', 2000000), 1), ('k:bytes', 1, UNHEX('FF'), 1), ('k:CASE', 1, '', 1)",
    "CREATE TABLE types (id bigint PRIMARY KEY, i1 tinyint, u8 bigint unsigned, f4 float, f8 double, num decimal(20,4),
        d date, dt datetime, s varchar(20), e enum('x','y'))",
    "INSERT INTO types VALUES (7, -1, 18446744073709551615, 0.5, 0.1, 123.45, '2020-02-29', '2020-02-29 12:00:00', 'k\u{f6}ln', 'y'),
        (8, NULL, NULL, NULL, 1e300, NULL, NULL, NULL, '', NULL)",
];

async fn start() -> Option<Database> {
    let server = Database::mariadb()?;
    let options = mysql_async::Opts::from_url(&server.url(&server.address())).unwrap();
    let options = mysql_async::OptsBuilder::from_opts(options).prefer_socket(false);
    let mut connection = mysql_async::Conn::new(options).await.unwrap();
    for statement in ROWS {
        connection.query_drop(statement).await.unwrap();
    }
    connection.disconnect().await.unwrap();
    Some(server)
}

fn kind(server: &Database, address: &str, table: &str) -> SourceKind {
    secured(server, address, table, None)
}

fn secured(server: &Database, address: &str, table: &str, tls: Option<TlsSettings>) -> SourceKind {
    SourceKind::MySql(TableSettings {
        tls,
        server: ServerUrl::parse(&server.url(address), MYSQL_SCHEMES).unwrap(),
        table: table.to_owned(),
        id_column: "id".to_owned(),
    })
}

pub(crate) struct MariaDbPlace {
    server: Database,
    tls: Option<TlsSettings>,
}

impl MariaDbPlace {
    pub(crate) fn secured(server: Database, tls: &TlsSettings) -> Self {
        server.run_statements(&ROWS.join(";\n"));
        let tls = Some(tls.clone());
        Self { server, tls }
    }

    pub(crate) fn kind_with(&self, address: &str, tls: Option<TlsSettings>) -> SourceKind {
        secured(&self.server, address, "odd name", tls)
    }
}

impl Place for MariaDbPlace {
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
        vec![
            ("huge", "larger than"),
            ("twice", "several rows"),
            ("bytes", "not UTF-8"),
        ]
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
    contract::holds(&mut MariaDbPlace { server, tls: None }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_have_the_types_of_their_columns() {
    let Some(server) = start().await else { return };
    let of = |table: &str, key: &str, columns: &[&str]| -> SourceSet {
        let mut settings = settings("t", kind(&server, &server.address(), table));
        settings.key = key.parse().unwrap();
        settings.columns = ColumnMapping::of(columns.iter().copied()).unwrap();
        set(&[settings])
    };
    let types = of("types", "${id}", &[]);
    let row = async |set: &SourceSet, id: &str| text(set.fetch(&ids(id)).await);
    assert_eq!(
        row(&types, "7").await.as_deref(),
        Ok(
            "{\"i1\":-1,\"u8\":18446744073709551615,\"f4\":0.5,\"f8\":0.1,\"num\":123.4500,\"d\":\"2020-02-29\",\"dt\":\"2020-02-29 12:00:00\",\"s\":\"k\u{f6}ln\",\"e\":\"y\"}"
        )
    );
    assert_eq!(row(&types, "8").await.as_deref(), Ok(r#"{"f8":1e+300}"#));
    for id in ["07", "7x", "7.0", "x"] {
        assert_eq!(row(&types, id).await.unwrap_err().0, 113, "{id}");
    }
    // The database takes one for the other.
    let rows = of("odd name", "k:${id}", &["n"]);
    assert_eq!(row(&rows, "case").await.unwrap_err().0, 113);
    assert_eq!(row(&rows, "CASE").await.as_deref(), Ok(r#"{"n":1.0}"#));
    for (table, columns, cause) in [
        ("nowhere", &[][..], "doesn't exist"),
        ("types", &["none"], "no column none"),
    ] {
        let (code, message) = row(&of(table, "${id}", columns), "1").await.unwrap_err();
        assert!(code == 102 && message.contains(cause), "{message}");
        assert!(!message.contains("pa:ss"), "{message}");
    }
}
