//! `sources`: rows put together from several places. Every source has a key that is made from the ids of a request, and
//! tells columns; all are asked at the same time, and of a feature that several tell the first source's value counts.
//!
//! A row of which some source knows nothing has what the others know; one that none knows is 113. A source that cannot be
//! asked, or whose values cannot be used, is 102 for the row, unless the source is not required: a score without its
//! features would be one that nobody asked for. A batch ends with 102 when a required source cannot be asked.
//!
//! A kind of source is a file here and a variant of [`SourceKind`].

mod breaker;
mod columns;
mod connections;
mod gate;
mod http_batch;
mod key_template;
mod mysql;
mod postgresql;
mod redis;
mod remembered;
mod server_url;
mod settings;
mod snapshot;
mod source;
mod table_rows;

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use fate_domain::fault::Fault;
use fate_domain::members::{MemberWriter, Members};
use fate_domain::return_code::ReturnCode;
use futures::future::join_all;

use self::columns::Answer;
use self::source::{Failure, Source, Visit};
use crate::registry::Error;
use crate::{BatchRows, BoxFuture, FeatureRow, FeatureSource, Settings};

pub use columns::ColumnMapping;
pub use gate::ReadSettings;
pub use key_template::KeyTemplate;
pub use mysql::MYSQL_SCHEMES;
pub use postgresql::POSTGRESQL_SCHEMES;
pub use remembered::MemorySettings;
pub use server_url::ServerUrl;
pub use settings::{REDIS_SCHEMES, RedisForm, SourceKind, SourceSettings};
pub use snapshot::{SnapshotForm, SnapshotSettings};
pub use table_rows::TableSettings;

pub(crate) const NAME: &str = "sources";

/// Takes down what sources do. Called once for each source and call.
pub trait FetchMeter: Send + Sync + Debug {
    /// A source told of the rows of a call: it did not know `missed` of them, and failed for `failed`.
    fn fetched(&self, source: &str, took: Duration, missed: usize, failed: usize);
}

/// The sources that rows are put together from, in the order of their precedence.
#[derive(Debug)]
pub struct SourceSet {
    sources: Vec<Source>,
    meter: Option<Arc<dyn FetchMeter>>,
}

/// What one source said of one row, for those who look into it.
#[derive(Debug, Clone)]
pub struct SourceReport {
    pub name: String,
    /// Features that the source has; `None`: it does not know the row.
    pub features: Result<Option<usize>, String>,
    pub took: Duration,
}

/// The set of the settings, for the table of sources.
pub(crate) fn opened(settings: &Settings) -> Result<Arc<dyn FeatureSource>, Error> {
    let set = settings.sources.as_ref().ok_or_else(|| Error::Setting {
        source_name: NAME,
        reason: "feature.sources is not set; it names the sources to ask".to_owned(),
    })?;
    Ok(Arc::clone(set) as Arc<dyn FeatureSource>)
}

impl SourceSet {
    /// Opens no connection yet; whether the sources are there shows when they are asked.
    ///
    /// # Errors
    /// Settings of a source cannot lead to it.
    pub fn open(
        settings: &[SourceSettings],
        meter: Option<Arc<dyn FetchMeter>>,
    ) -> Result<Self, Error> {
        let open = |one: &SourceSettings| {
            Source::open(one).map_err(|cause| Error::Setting {
                source_name: NAME,
                reason: format!("{}: {cause}", one.name),
            })
        };
        Ok(Self {
            sources: settings.iter().map(open).collect::<Result<_, _>>()?,
            meter,
        })
    }

    /// Reads the files of snapshots and watches them. Without a file there is no error: its source fails until there is
    /// one.
    pub async fn start(&self) {
        join_all(self.sources.iter().map(Source::start)).await;
    }

    /// A row, and what each source said of it.
    pub async fn inspect(&self, ids: &str) -> (Result<FeatureRow, Fault>, Vec<SourceReport>) {
        let rows = match parsed(ids) {
            Ok(row) => [row],
            Err(fault) => return (Err(fault), Vec::new()),
        };
        let visits = self.visit(&rows).await;
        let reports = self.sources.iter().zip(&visits);
        let reports = reports.map(|(source, visit)| report(source, visit));
        let reports = reports.collect();
        (self.merged(&visits, 0).map_err(RowFault::fault), reports)
    }

    /// Tries every source once: its name, and what is wrong with it.
    pub async fn probe(&self) -> Vec<(String, Result<(), String>)> {
        let probes = self.sources.iter().map(|source| async {
            let outcome = source.probe().await;
            (source.name.clone(), outcome)
        });
        join_all(probes).await
    }

    async fn visit(&self, rows: &[Members<'_>]) -> Vec<Visit> {
        let visits = join_all(self.sources.iter().map(|source| source.visit(rows))).await;
        if let Some(meter) = &self.meter {
            for (source, visit) in self.sources.iter().zip(&visits) {
                let count = |what: fn(&Result<Answer, Failure>) -> bool| {
                    visit.answers.iter().filter(|answer| what(answer)).count()
                };
                let missed = count(|answer| matches!(answer, Ok(Answer::Nothing)));
                let failed = count(Result::is_err);
                meter.fetched(&source.name, visit.took, missed, failed);
            }
        }
        visits
    }

    /// The row at `place`, from what all sources said.
    fn merged(&self, visits: &[Visit], place: usize) -> Result<FeatureRow, RowFault> {
        let mut object = MemberWriter::new();
        let mut names: HashSet<&str> = HashSet::new();
        let (mut is_known, mut failure) = (false, None);
        for (source, visit) in self.sources.iter().zip(visits) {
            match visit.answers.get(place) {
                Some(Ok(Answer::Row(features))) => {
                    is_known = true;
                    for (name, token) in features.iter() {
                        if names.insert(name) {
                            object.member(name, token);
                        }
                    }
                }
                Some(Ok(_)) | None => {}
                Some(Err(cause)) => {
                    let fault = RowFault::Failed(source.name.clone(), cause.clone());
                    if source.required {
                        return Err(fault);
                    }
                    failure.get_or_insert(fault);
                }
            }
        }
        if is_known {
            Ok(FeatureRow::Json(object.finish()))
        } else {
            Err(failure.unwrap_or(RowFault::Unknown))
        }
    }
}

fn report(source: &Source, visit: &Visit) -> SourceReport {
    SourceReport {
        name: source.name.clone(),
        features: match visit.answers.first() {
            Some(Ok(Answer::Row(features))) => Ok(Some(features.len())),
            Some(Ok(_)) | None => Ok(None),
            Some(Err(Failure::Down(cause) | Failure::Row(cause))) => Err(cause.to_string()),
        },
        took: visit.took,
    }
}

/// Why there is no row.
enum RowFault {
    /// No source knows it.
    Unknown,
    /// A source failed.
    Failed(String, Failure),
}

impl RowFault {
    fn fault(self) -> Fault {
        match self {
            Self::Unknown => Fault::new(
                ReturnCode::HOST_FEATURE_NOT_EXIST,
                "no feature source knows the row",
            ),
            Self::Failed(source, Failure::Down(cause) | Failure::Row(cause)) => Fault::new(
                ReturnCode::FEATURE,
                format!("feature source {source}: {cause}"),
            ),
        }
    }

    fn is_down(&self) -> bool {
        matches!(self, Self::Failed(_, Failure::Down(_)))
    }
}

fn parsed(ids: &str) -> Result<Members<'_>, Fault> {
    Members::whole(ids).map_err(|error| {
        let text = format!("the ids are not a JSON object: {error}");
        Fault::new(ReturnCode::FEATURE, text)
    })
}

impl FeatureSource for SourceSet {
    fn name(&self) -> &str {
        NAME
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(async move {
            let rows = [parsed(ids)?];
            let visits = self.visit(&rows).await;
            self.merged(&visits, 0).map_err(RowFault::fault)
        })
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        Box::pin(async move {
            let parsed: Vec<Result<Members<'_>, Fault>> =
                ids.iter().map(|ids| parsed(ids)).collect();
            // A row without ids that can be read is asked for by none.
            let (mut rows, mut places) = (Vec::new(), Vec::new());
            for row in parsed {
                places.push(row.map(|row| {
                    rows.push(row);
                    rows.len() - 1
                }));
            }
            let visits = self.visit(&rows).await;
            let mut merged = Vec::with_capacity(ids.len());
            for place in places {
                merged.push(match place.map(|place| self.merged(&visits, place)) {
                    Err(fault) => Err(fault),
                    Ok(Ok(row)) => Ok(row),
                    // Told row by row it would look as if the ids were unknown.
                    Ok(Err(fault)) if fault.is_down() => return Err(fault.fault()),
                    Ok(Err(fault)) => Err(fault.fault()),
                });
            }
            Ok(merged)
        })
    }
}
