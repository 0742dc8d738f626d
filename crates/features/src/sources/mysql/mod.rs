//! `mysql`: a row of a table for each key, a batch by `IN`, over prepared statements; MySQL and MariaDB.

mod tls;

use std::sync::Arc;

use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Column as TableColumn, Conn, Error, Opts, OptsBuilder, Params, Row, Value};

use super::columns::{Answer, ColumnMapping, RowBuilder, decimal_token, float_token};
use super::connections::{AskError, Dial};
use super::table_rows::{RowsByKey, TableSettings, chain, quoted, whole_number};

const QUOTE: char = '`';
const DEFAULT_PORT: u16 = 3306;

/// The schemes of its addresses.
pub const MYSQL_SCHEMES: &[&str] = &["mysql", "mariadb"];

pub(crate) struct MySql {
    options: Opts,
    settings: TableSettings,
    columns: ColumnMapping,
}

/// Its options would show the password and the key.
impl std::fmt::Debug for MySql {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?}", self.settings)
    }
}

/// A connection that knows its table.
pub(crate) struct Known {
    connection: Conn,
    has_number_keys: bool,
    /// The question up to the list of keys.
    question: String,
    features: Vec<Arc<str>>,
}

impl MySql {
    /// Opens no connection.
    pub(crate) fn new(settings: &TableSettings, columns: &ColumnMapping) -> Result<Self, String> {
        let server = &settings.server;
        let database = server
            .database
            .as_deref()
            .ok_or("the url names no database")?;
        let tls = settings.tls.as_ref().map(tls::options).transpose()?;
        let options = OptsBuilder::default()
            .ssl_opts(tls)
            .ip_or_hostname(&server.host)
            .tcp_port(server.port.unwrap_or(DEFAULT_PORT))
            .user(server.user.as_deref())
            .pass(server.password.as_deref())
            .db_name(Some(database))
            // A socket file would be another server for those who are sent through a proxy.
            .prefer_socket(false);
        Ok(Self {
            options: options.into(),
            settings: settings.clone(),
            columns: columns.clone(),
        })
    }

    async fn known(&self, mut connection: Conn) -> Result<Known, String> {
        let table = self.settings.quoted_table(QUOTE);
        let any = connection
            .prep(format!("SELECT * FROM {table} LIMIT 0"))
            .await;
        let any = any.map_err(|error| self.failed(&error))?;
        let find = |name: &str| {
            let mut columns = any.columns().iter();
            let column = columns.find(|column| column.name_str() == name);
            column.ok_or_else(|| format!("there is no column {name}"))
        };
        let id = self.settings.id_column.as_str();
        let has_number_keys = is_whole(find(id)?);
        let names: Vec<String> = match self.columns.columns() {
            Some(wanted) => wanted.map(str::to_owned).collect(),
            None => {
                let all = any
                    .columns()
                    .iter()
                    .map(|column| column.name_str().into_owned());
                all.filter(|name| name != id).collect()
            }
        };
        let mut fetched = vec![quoted(id, QUOTE)];
        for name in &names {
            find(name)?;
            fetched.push(quoted(name, QUOTE));
        }
        let question = format!(
            "SELECT {} FROM {table} WHERE {} IN ",
            fetched.join(", "),
            quoted(id, QUOTE)
        );
        let features = names.iter().filter_map(|name| self.columns.feature(name));
        Ok(Known {
            features: features.collect(),
            connection,
            has_number_keys,
            question,
        })
    }

    fn failed(&self, error: &Error) -> String {
        format!("{}: {}", self.settings.server, chain(error))
    }
}

impl Dial for MySql {
    type Connection = Known;

    async fn dial(&self) -> Result<Known, String> {
        let connection = Conn::new(self.options.clone()).await;
        let connection = connection.map_err(|error| self.failed(&error))?;
        self.known(connection).await
    }

    async fn ask(&self, known: &mut Known, keys: &[Arc<str>]) -> Result<Vec<Answer>, AskError> {
        let parameters: Vec<Value> = keys.iter().filter_map(|key| known.parameter(key)).collect();
        let mut rows = RowsByKey::default();
        if !parameters.is_empty() {
            let asked = known.ask(parameters, &mut rows).await;
            asked.map_err(|error| AskError::Broken(self.failed(&error)))?;
        }
        Ok(keys.iter().map(|key| rows.answer(Some(key))).collect())
    }
}

impl Known {
    /// `None`: there can be no row of that key. Compared with a text, a column of numbers would take `7x` for 7.
    fn parameter(&self, key: &str) -> Option<Value> {
        if self.has_number_keys {
            whole_number(key).map(Value::Int)
        } else {
            Some(Value::Bytes(key.as_bytes().to_vec()))
        }
    }

    async fn ask(&mut self, mut parameters: Vec<Value>, rows: &mut RowsByKey) -> Result<(), Error> {
        // Few lengths of the list make few statements; what is too much repeats a key.
        let length = parameters.len().next_power_of_two();
        if let Some(last) = parameters.last().cloned() {
            parameters.resize(length, last);
        }
        let places = vec!["?"; length].join(",");
        let statement = self
            .connection
            .prep(format!("{}({places})", self.question))
            .await?;
        let parameters = Params::Positional(parameters);
        let mut found = self.connection.exec_iter(&statement, parameters).await?;
        while let Some(row) = found.next().await? {
            if let Some((key, answer)) = answer(&self.features, row) {
                rows.add(key, answer);
            }
        }
        Ok(())
    }
}

/// The key of a row as text, and its features.
fn answer(features: &[Arc<str>], row: Row) -> Option<(String, Answer)> {
    let columns = row.columns();
    let mut cells = row.unwrap_raw().into_iter();
    let key = match cells.next()?? {
        Value::Bytes(text) => String::from_utf8(text).ok()?,
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        _ => return None,
    };
    let mut row = RowBuilder::default();
    for ((feature, cell), column) in features.iter().zip(cells).zip(columns.iter().skip(1)) {
        if let Err(cause) = add(&mut row, Arc::clone(feature), cell, column) {
            return Some((key, Answer::Poisoned(cause.into())));
        }
    }
    Some((key, row.finish()))
}

fn add(
    row: &mut RowBuilder,
    feature: Arc<str>,
    cell: Option<Value>,
    column: &TableColumn,
) -> Result<(), String> {
    match cell {
        None | Some(Value::NULL) => {}
        Some(Value::Int(number)) => row.token(feature, &number.to_string()),
        Some(Value::UInt(number)) => row.token(feature, &number.to_string()),
        Some(Value::Float(number)) => row.token(feature, &float_token(f64::from(number))),
        Some(Value::Double(number)) => row.token(feature, &float_token(number)),
        Some(Value::Bytes(bytes)) if is_decimal(column) => match std::str::from_utf8(&bytes) {
            Ok(text) => row.token(feature, &decimal_token(text)),
            Err(_) => return Err(format!("{feature} is not UTF-8 text")),
        },
        Some(Value::Bytes(bytes)) => row.bytes(feature, &bytes)?,
        Some(date @ (Value::Date(..) | Value::Time(..))) => {
            row.text(feature, date.as_sql(false).trim_matches('\''));
        }
    }
    Ok(())
}

fn is_decimal(column: &TableColumn) -> bool {
    matches!(
        column.column_type(),
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL
    )
}

fn is_whole(column: &TableColumn) -> bool {
    matches!(
        column.column_type(),
        ColumnType::MYSQL_TYPE_TINY
            | ColumnType::MYSQL_TYPE_SHORT
            | ColumnType::MYSQL_TYPE_INT24
            | ColumnType::MYSQL_TYPE_LONG
            | ColumnType::MYSQL_TYPE_LONGLONG
    )
}
