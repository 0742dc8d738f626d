//! `redis`: a hash or a JSON object for each key, a batch in one pipeline.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, Pipeline,
    RedisConnectionInfo, RedisError, TlsCertificates, Value,
};

use super::columns::{self, Answer, ColumnMapping, MAX_ROW_BYTES, RowBuilder};
use super::connections::{AskError, Dial};
use super::server_url::ServerUrl;
use super::settings::RedisForm;

const DEFAULT_PORT: u16 = 6379;
/// The code of the error that a key of another type gives.
const WRONG_TYPE: &str = "WRONGTYPE";

pub(crate) struct Redis {
    client: Client,
    shown: String,
    form: RedisForm,
    columns: ColumnMapping,
    timeout: Duration,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.shown)
    }
}

impl Redis {
    /// Opens no connection.
    pub(crate) fn new(
        server: &ServerUrl,
        tls_ca: Option<&Path>,
        form: RedisForm,
        columns: &ColumnMapping,
        timeout: Duration,
    ) -> Result<Self, String> {
        Ok(Self {
            client: client(server, tls_ca)?,
            shown: server.to_string(),
            form,
            columns: columns.clone(),
            timeout,
        })
    }

    /// The commands for one key.
    fn ask_for(&self, key: &str, question: &mut Pipeline) {
        match (self.form, self.columns.columns()) {
            // One byte more than is taken tells a row that is too large, without fetching all of it.
            (RedisForm::Json, _) => question.cmd("GETRANGE").arg(key).arg(0).arg(MAX_ROW_BYTES),
            (RedisForm::Hash, None) => question.cmd("HGETALL").arg(key),
            // Whether there is a row at all, the fields alone do not tell.
            (RedisForm::Hash, Some(fields)) => {
                let question = question.cmd("EXISTS").arg(key).cmd("HMGET").arg(key);
                question.arg(fields.collect::<Vec<_>>())
            }
        };
    }

    /// What the answers to [`Self::ask_for`] say.
    fn answer(&self, values: &mut impl Iterator<Item = Value>) -> Result<Answer, AskError> {
        let mut next = || match values.next() {
            Some(Value::ServerError(error)) if error.code() == WRONG_TYPE => {
                Ok(Err("the key holds a value of another type"))
            }
            Some(Value::ServerError(error)) => {
                Err(AskError::Refused(RedisError::from(error).to_string()))
            }
            Some(value) => Ok(Ok(value)),
            None => Err(AskError::Broken("answers are missing".to_owned())),
        };
        let poisoned = |cause: &str| Ok(Answer::Poisoned(cause.into()));
        match (self.form, self.columns.columns()) {
            (RedisForm::Json, _) => match next()? {
                Ok(Value::BulkString(object)) if object.is_empty() => Ok(Answer::Nothing),
                Ok(Value::BulkString(object)) => Ok(columns::of_json(&object, &self.columns)),
                Ok(_) => poisoned("the answer is no text"),
                Err(cause) => poisoned(cause),
            },
            (RedisForm::Hash, None) => match next()? {
                Ok(value) => Ok(self.whole_hash(value)),
                Err(cause) => poisoned(cause),
            },
            (RedisForm::Hash, Some(fields)) => {
                let (exists, values) = (next()?, next()?);
                match (exists, values) {
                    (Ok(Value::Int(0)), _) => Ok(Answer::Nothing),
                    (Ok(_), Ok(Value::Array(values))) => Ok(self.fields(fields, values)),
                    (Err(cause), _) | (_, Err(cause)) => poisoned(cause),
                    _ => poisoned("the answer is no list"),
                }
            }
        }
    }

    fn whole_hash(&self, value: Value) -> Answer {
        let pairs: Vec<(Value, Value)> = match value {
            Value::Map(pairs) => pairs,
            Value::Array(values) => {
                let mut values = values.into_iter();
                std::iter::from_fn(|| Some((values.next()?, values.next()?))).collect()
            }
            _ => return Answer::Poisoned("the answer is no hash".into()),
        };
        if pairs.is_empty() {
            return Answer::Nothing;
        }
        let mut row = RowBuilder::default();
        for (field, value) in pairs {
            let Value::BulkString(field) = field else {
                return Answer::Poisoned("the name of a field is no text".into());
            };
            let Ok(field) = String::from_utf8(field) else {
                return Answer::Poisoned("the name of a field is not UTF-8 text".into());
            };
            if let Err(cause) = self.add(&mut row, &field, value) {
                return Answer::Poisoned(cause.into());
            }
        }
        row.finish()
    }

    fn fields<'a>(&self, fields: impl Iterator<Item = &'a str>, values: Vec<Value>) -> Answer {
        let mut row = RowBuilder::default();
        for (field, value) in fields.zip(values) {
            if let Err(cause) = self.add(&mut row, field, value) {
                return Answer::Poisoned(cause.into());
            }
        }
        row.finish()
    }

    fn add(&self, row: &mut RowBuilder, field: &str, value: Value) -> Result<(), String> {
        let Some(feature) = self.columns.feature(field) else {
            return Ok(());
        };
        match value {
            Value::Nil => Ok(()),
            Value::BulkString(text) => row.bytes(feature, &text),
            _ => Err(format!("{field} is no text")),
        }
    }
}

impl Dial for Redis {
    type Connection = MultiplexedConnection;

    async fn dial(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let opened = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        opened
            .await
            .map_err(|error| format!("{}: {error}", self.shown))
    }

    async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        keys: &[Arc<str>],
    ) -> Result<Vec<Answer>, AskError> {
        let mut question = redis::pipe();
        for key in keys {
            self.ask_for(key, &mut question);
        }
        // The keys' own errors are answers, too.
        question.ignore_errors();
        let values: Result<Vec<Value>, RedisError> = question.query_async(connection).await;
        let values =
            values.map_err(|error| AskError::Broken(format!("{}: {error}", self.shown)))?;
        let mut values = values.into_iter();
        keys.iter().map(|_| self.answer(&mut values)).collect()
    }
}

fn client(server: &ServerUrl, tls_ca: Option<&Path>) -> Result<Client, String> {
    let (host, port) = (server.host.clone(), server.port.unwrap_or(DEFAULT_PORT));
    let is_secured = server.scheme == "rediss";
    let address = if is_secured {
        ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut session = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(user) = &server.user {
        session = session.set_username(user);
    }
    if let Some(password) = &server.password {
        session = session.set_password(password);
    }
    if let Some(database) = &server.database {
        let number = database.parse::<u16>();
        let number = number.map_err(|_| "the name behind the host is no number of a database")?;
        session = session.set_db(number.into());
    }
    let wrong = |error: RedisError| error.to_string();
    let info = address.into_connection_info().map_err(wrong)?;
    let info = info.set_redis_settings(session);
    if !is_secured {
        return Client::open(info).map_err(wrong);
    }
    let root_cert = tls_ca.map(std::fs::read).transpose();
    let root_cert = root_cert.map_err(|cause| format!("the authority cannot be read: {cause}"))?;
    let certificates = TlsCertificates {
        client_tls: None,
        root_cert,
    };
    Client::build_with_tls(info, certificates).map_err(wrong)
}
