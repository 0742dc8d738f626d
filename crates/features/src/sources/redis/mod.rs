//! `redis`: a hash or a JSON object for each key, a batch in one pipeline; from one server, or from a cluster.

mod link;

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, RedisResult, Value};

use super::columns::{self, Answer, ColumnMapping, MAX_ROW_BYTES, RowBuilder};
use super::connections::{AskError, Dial};
use super::server_url::ServerUrl;
use super::settings::RedisForm;
use crate::TlsSettings;
use link::{Dialer, Link};

/// The code of the error that a key of another type gives.
const WRONG_TYPE: &str = "WRONGTYPE";

pub(crate) struct Redis {
    dialer: Dialer,
    shown: String,
    form: RedisForm,
    columns: ColumnMapping,
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
        is_cluster: bool,
        tls: &TlsSettings,
        form: RedisForm,
        columns: &ColumnMapping,
        timeout: Duration,
    ) -> Result<Self, String> {
        Ok(Self {
            dialer: Dialer::new(server, is_cluster, tls, timeout)?,
            shown: server.to_string(),
            form,
            columns: columns.clone(),
        })
    }

    /// The commands for one key.
    fn ask_for(&self, key: &str, commands: &mut Vec<Cmd>) {
        let about = |name| {
            let mut command = redis::cmd(name);
            command.arg(key);
            command
        };
        match (self.form, self.columns.columns()) {
            // One byte more than is taken tells a row that is too large, without fetching all of it.
            (RedisForm::Json, _) => {
                let mut part = about("GETRANGE");
                part.arg(0).arg(MAX_ROW_BYTES);
                commands.push(part);
            }
            (RedisForm::Hash, None) => commands.push(about("HGETALL")),
            // Whether there is a row at all, the fields alone do not tell.
            (RedisForm::Hash, Some(fields)) => {
                let mut some = about("HMGET");
                some.arg(fields.collect::<Vec<_>>());
                commands.extend([about("EXISTS"), some]);
            }
        }
    }

    /// What the answers to [`Self::ask_for`] say.
    fn answer(
        &self,
        values: &mut impl Iterator<Item = RedisResult<Value>>,
    ) -> Result<Answer, AskError> {
        let mut next = || match values.next() {
            Some(Err(error)) if error.code() == Some(WRONG_TYPE) => {
                Ok(Err("the key holds a value of another type"))
            }
            Some(Err(error)) => Err(AskError::Refused(error.to_string())),
            Some(Ok(value)) => Ok(Ok(value)),
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
    type Connection = Link;

    async fn dial(&self) -> Result<Link, String> {
        let opened = self.dialer.dial().await;
        opened.map_err(|error| format!("{}: {error}", self.shown))
    }

    async fn ask(&self, link: &mut Link, keys: &[Arc<str>]) -> Result<Vec<Answer>, AskError> {
        let mut commands = Vec::with_capacity(2 * keys.len());
        for key in keys {
            self.ask_for(key, &mut commands);
        }
        let values = link.ask(commands).await;
        let values =
            values.map_err(|error| AskError::Broken(format!("{}: {error}", self.shown)))?;
        let mut values = values.into_iter();
        keys.iter().map(|_| self.answer(&mut values)).collect()
    }
}
