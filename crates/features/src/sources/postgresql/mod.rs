//! `postgresql`: a row of a table for each key, a batch by `= ANY($1)`, over prepared statements.
//!
//! What a connection prepares follows the types of the columns as they are then. Any error gives the connection up: a
//! table may have been changed under a prepared statement.

mod tls_stream;

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, NoTls, Row, Socket, Statement};
use uuid::Uuid;

use super::columns::{
    Answer, ColumnMapping, MAX_ROW_BYTES, RowBuilder, decimal_token, float_token,
};
use super::connections::{AskError, Dial};
use super::table_rows::{RowsByKey, TableSettings, chain, quoted, whole_number};
use crate::tls;
use tls_stream::Tls;

const QUOTE: char = '"';
const DEFAULT_PORT: u16 = 5432;

/// The schemes of its addresses.
pub const POSTGRESQL_SCHEMES: &[&str] = &["postgresql", "postgres"];

#[derive(Debug)]
pub(crate) struct PostgreSql {
    config: Config,
    /// `None` in the clear.
    tls: Option<Tls>,
    settings: TableSettings,
    columns: ColumnMapping,
    /// What every connection begins with.
    session: String,
}

/// A connection that is ready to be asked.
pub(crate) struct Prepared {
    client: Client,
    statement: Statement,
    key: KeyType,
    columns: Vec<Column>,
}

/// What the column of the keys holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyType {
    Whole,
    Text,
    /// Text with blanks up to its length.
    Padded,
    Uuid,
}

/// A column behind the key's.
struct Column {
    feature: Arc<str>,
    form: Form,
}

/// How a column is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    Float,
    Decimal,
    Flag,
    Text,
}

impl PostgreSql {
    /// Opens no connection.
    pub(crate) fn new(
        settings: &TableSettings,
        columns: &ColumnMapping,
        timeout: Duration,
    ) -> Result<Self, String> {
        let server = &settings.server;
        let mut config = Config::new();
        config
            .host(&server.host)
            .port(server.port.unwrap_or(DEFAULT_PORT))
            .application_name("fate-serving")
            .connect_timeout(timeout)
            .ssl_mode(match settings.tls {
                Some(_) => SslMode::Require,
                None => SslMode::Disable,
            });
        config.user(server.user.as_deref().ok_or("the url names no user")?);
        if let Some(password) = &server.password {
            config.password(password);
        }
        config.dbname(
            server
                .database
                .as_deref()
                .ok_or("the url names no database")?,
        );
        let tls = settings.tls.as_ref().map(tls::client_config).transpose()?;
        Ok(Self {
            config,
            tls: tls.map(|config| Tls(Arc::new(config))),
            settings: settings.clone(),
            columns: columns.clone(),
            // The server shall not go on with what nobody waits for.
            session: format!(
                "SET statement_timeout = {}; SET default_transaction_read_only = on",
                timeout.as_millis()
            ),
        })
    }

    async fn connected<T>(&self, tls: T) -> Result<Client, String>
    where
        T: MakeTlsConnect<Socket, Stream: Send + 'static, TlsConnect: Send>,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let connected = self.config.connect(tls).await;
        let (client, connection) = connected.map_err(|error| self.failed(&error))?;
        // Ends with the client; what goes wrong, the client's next question tells.
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }

    /// Types of the table's columns, by name.
    async fn table_columns(&self, client: &Client) -> Result<Vec<(String, Type)>, Error> {
        let table = self.settings.quoted_table(QUOTE);
        let any = client
            .prepare(&format!("SELECT * FROM {table} LIMIT 0"))
            .await?;
        let columns = any.columns().iter();
        Ok(columns
            .map(|column| (column.name().to_owned(), column.type_().clone()))
            .collect())
    }

    async fn prepared(&self, client: Client) -> Result<Prepared, String> {
        let failed = |error: Error| self.failed(&error);
        client.batch_execute(&self.session).await.map_err(failed)?;
        let known = self.table_columns(&client).await.map_err(failed)?;
        let type_of = |name: &str| {
            let column = known.iter().find(|(known, _)| known == name);
            let column = column.ok_or_else(|| format!("there is no column {name}"))?;
            Ok::<&Type, String>(&column.1)
        };
        let id = self.settings.id_column.as_str();
        let key = key_type(type_of(id)?).ok_or_else(|| {
            format!("the column {id} holds neither whole numbers, texts nor UUIDs")
        })?;
        let names: Vec<&str> = match self.columns.columns() {
            Some(wanted) => wanted.collect(),
            None => known
                .iter()
                .map(|(name, _)| name.as_str())
                .filter(|name| *name != id)
                .collect(),
        };
        let mut columns = Vec::with_capacity(names.len());
        let mut fetched = vec![format!("{}::text", quoted(id, QUOTE))];
        for name in names {
            let form = form(type_of(name)?);
            fetched.push(form.fetched(&quoted(name, QUOTE)));
            if let Some(feature) = self.columns.feature(name) {
                columns.push(Column { feature, form });
            }
        }
        let question = format!(
            "SELECT {} FROM {} WHERE {} = ANY({})",
            fetched.join(", "),
            self.settings.quoted_table(QUOTE),
            quoted(id, QUOTE),
            key.parameter()
        );
        Ok(Prepared {
            statement: client.prepare(&question).await.map_err(failed)?,
            client,
            key,
            columns,
        })
    }

    fn failed(&self, error: &Error) -> String {
        format!("{}: {}", self.settings.server, chain(error))
    }
}

impl Dial for PostgreSql {
    type Connection = Prepared;

    async fn dial(&self) -> Result<Prepared, String> {
        let client = match &self.tls {
            Some(tls) => self.connected(tls.clone()).await?,
            None => self.connected(NoTls).await?,
        };
        self.prepared(client).await
    }

    async fn ask(
        &self,
        connection: &mut Prepared,
        keys: &[Arc<str>],
    ) -> Result<Vec<Answer>, AskError> {
        let spelled: Vec<Option<String>> =
            keys.iter().map(|key| connection.key.spelled(key)).collect();
        let texts: Vec<&str> = spelled.iter().flatten().map(String::as_str).collect();
        let numbers: Vec<i64> = texts.iter().filter_map(|key| whole_number(key)).collect();
        let parameter: &(dyn ToSql + Sync) = match connection.key {
            KeyType::Whole => &numbers,
            KeyType::Text | KeyType::Padded | KeyType::Uuid => &texts,
        };
        let mut rows = RowsByKey::default();
        let asked = async {
            let question = connection
                .client
                .query_raw(&connection.statement, [parameter]);
            let mut found = std::pin::pin!(question.await?);
            while let Some(row) = found.try_next().await? {
                let key: String = row.try_get(0)?;
                rows.add(connection.key.shortened(key), connection.answer(&row)?);
            }
            Ok(())
        };
        asked
            .await
            .map_err(|error: Error| AskError::Broken(self.failed(&error)))?;
        let answers = spelled.iter().map(|key| rows.answer(key.as_deref()));
        Ok(answers.collect())
    }
}

impl Prepared {
    fn answer(&self, row: &Row) -> Result<Answer, Error> {
        let mut builder = RowBuilder::default();
        for (place, column) in (1..).zip(&self.columns) {
            let feature = Arc::clone(&column.feature);
            match column.form {
                Form::Whole => {
                    if let Some(number) = row.try_get::<_, Option<i64>>(place)? {
                        builder.token(feature, &number.to_string());
                    }
                }
                Form::Float => {
                    if let Some(number) = row.try_get::<_, Option<f64>>(place)? {
                        builder.token(feature, &float_token(number));
                    }
                }
                Form::Decimal => {
                    if let Some(text) = row.try_get::<_, Option<&str>>(place)? {
                        builder.token(feature, &decimal_token(text));
                    }
                }
                Form::Flag => {
                    if let Some(flag) = row.try_get::<_, Option<bool>>(place)? {
                        builder.token(feature, if flag { "true" } else { "false" });
                    }
                }
                Form::Text => {
                    if let Some(text) = row.try_get::<_, Option<&str>>(place)? {
                        builder.text(feature, text);
                    }
                }
            }
        }
        Ok(builder.finish())
    }
}

fn key_type(of: &Type) -> Option<KeyType> {
    match *of {
        Type::INT2 | Type::INT4 | Type::INT8 => Some(KeyType::Whole),
        Type::TEXT | Type::VARCHAR => Some(KeyType::Text),
        Type::BPCHAR => Some(KeyType::Padded),
        Type::UUID => Some(KeyType::Uuid),
        _ => None,
    }
}

impl KeyType {
    /// The list of keys, of a type with which the column's index can be used.
    fn parameter(self) -> &'static str {
        match self {
            Self::Whole => "$1::int8[]",
            Self::Text => "$1::text[]",
            Self::Padded => "$1::bpchar[]",
            Self::Uuid => "$1::text[]::uuid[]",
        }
    }

    /// A key as the database writes it; `None`: there can be no row of it.
    fn spelled(self, key: &str) -> Option<String> {
        match self {
            Self::Whole => whole_number(key).map(|number| number.to_string()),
            // The one character that its texts cannot hold.
            Self::Text | Self::Padded => (!key.contains('\0')).then(|| key.to_owned()),
            Self::Uuid => key.parse().ok().map(|uuid: Uuid| uuid.to_string()),
        }
    }

    fn shortened(self, mut key: String) -> String {
        if self == Self::Padded {
            key.truncate(key.trim_end_matches(' ').len());
        }
        key
    }
}

fn form(of: &Type) -> Form {
    match *of {
        Type::INT2 | Type::INT4 | Type::INT8 => Form::Whole,
        Type::FLOAT4 | Type::FLOAT8 => Form::Float,
        Type::NUMERIC => Form::Decimal,
        Type::BOOL => Form::Flag,
        _ => Form::Text,
    }
}

impl Form {
    fn fetched(self, column: &str) -> String {
        match self {
            Self::Whole => format!("{column}::int8"),
            Self::Float => format!("{column}::float8"),
            Self::Decimal => format!("{column}::text"),
            Self::Flag => column.to_owned(),
            // One character more than is taken tells a row that is too large, without fetching all of it.
            Self::Text => format!("left({column}::text, {})", MAX_ROW_BYTES + 1),
        }
    }
}
