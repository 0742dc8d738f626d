//! One source of a set: from rows of ids to features.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fate_domain::members::Members;

use super::columns::Answer;
use super::connections::Pooled;
use super::gate::{Gate, Outcome, Remote};
use super::http_batch::HttpBatch;
use super::key_template::{KeyTemplate, NoKey};
use super::mysql::MySql;
use super::postgresql::PostgreSql;
use super::redis::Redis;
use super::settings::{SourceKind, SourceSettings};
use super::snapshot::Snapshot;

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) required: bool,
    template: KeyTemplate,
    origin: Origin,
}

/// Where the rows are.
#[derive(Debug)]
enum Origin {
    Remote(Gate),
    Snapshot(Arc<Snapshot>),
}

/// Why a source says nothing of a row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// The source itself cannot be asked.
    Down(Arc<str>),
    /// This row alone: its ids or its values.
    Row(Arc<str>),
}

/// What a source says of the rows of a call.
#[derive(Debug)]
pub(crate) struct Visit {
    /// One for each row, in their order.
    pub(crate) answers: Vec<Result<Answer, Failure>>,
    pub(crate) took: Duration,
}

impl Source {
    /// Opens no connection.
    ///
    /// # Errors
    /// The settings cannot lead to one.
    pub(crate) fn open(settings: &SourceSettings) -> Result<Self, String> {
        Ok(Self {
            name: settings.name.clone(),
            required: settings.required,
            template: settings.key.clone(),
            origin: Origin::open(settings)?,
        })
    }

    /// Reads what can be read beforehand.
    pub(crate) async fn start(&self) {
        if let Origin::Snapshot(snapshot) = &self.origin {
            snapshot.start().await;
        }
    }

    /// Asks for all rows at once. Ends within the source's time limit.
    pub(crate) async fn visit(&self, rows: &[Members<'_>]) -> Visit {
        let began = Instant::now();
        let keys: Vec<Result<Arc<str>, NoKey>> =
            rows.iter().map(|row| self.template.key(row)).collect();
        let asked: Vec<Arc<str>> = keys.iter().flatten().cloned().collect();
        let mut outcomes = self.origin.ask(&asked).await.into_iter();
        let mut answer = |key| match key {
            Err(NoKey::Missing) => Ok(Answer::Nothing),
            Err(NoKey::Wrong(cause)) => Err(Failure::Row(cause.into())),
            Ok(_) => match outcomes.next() {
                Some(Ok(Answer::Poisoned(cause))) => Err(Failure::Row(cause)),
                Some(Ok(answer)) => Ok(answer),
                Some(Err(cause)) => Err(Failure::Down(cause)),
                None => Err(Failure::Down("no answer".into())),
            },
        };
        let answers = keys.into_iter().map(&mut answer).collect();
        Visit {
            answers,
            took: began.elapsed(),
        }
    }

    /// Asks for a key that hardly exists; whether it does is no matter.
    pub(crate) async fn probe(&self) -> Result<(), String> {
        let outcomes = self.origin.ask(&["fate-serving-probe".into()]).await;
        match outcomes.into_iter().next() {
            Some(Err(cause)) => Err(cause.to_string()),
            _ => Ok(()),
        }
    }
}

impl Origin {
    fn open(settings: &SourceSettings) -> Result<Self, String> {
        let (columns, timeout) = (&settings.columns, settings.reads.timeout);
        let remote: Box<dyn Remote> = match &settings.kind {
            SourceKind::Snapshot(file) => {
                let snapshot = Snapshot::new(&settings.name, file, columns);
                return Ok(Self::Snapshot(Arc::new(snapshot)));
            }
            SourceKind::Redis {
                server,
                is_cluster,
                form,
                tls,
            } => {
                let redis = Redis::new(server, *is_cluster, tls, *form, columns, timeout)?;
                Box::new(Pooled::new(redis))
            }
            SourceKind::PostgreSql(table) => {
                Box::new(Pooled::new(PostgreSql::new(table, columns, timeout)?))
            }
            SourceKind::MySql(table) => Box::new(Pooled::new(MySql::new(table, columns)?)),
            SourceKind::HttpBatch { url, tls } => {
                let pool = settings.reads.pool;
                Box::new(HttpBatch::new(url, tls, columns, timeout, pool)?)
            }
        };
        Ok(Self::Remote(Gate::new(
            &settings.name,
            remote,
            &settings.reads,
        )))
    }

    async fn ask(&self, keys: &[Arc<str>]) -> Vec<Outcome> {
        match self {
            Self::Remote(gate) => gate.ask(keys).await,
            Self::Snapshot(snapshot) => snapshot.ask(keys),
        }
    }
}
