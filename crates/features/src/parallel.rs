//! `parallel`: asks a single source for every row of a batch, many rows at a time (Java's
//! `ParallelBatchToSingleFeatureAdaptor`, contract 01 §8).
//!
//! Unlike Java's, a batch ends with one result for every row: the row's own fault, or 113 for what the deadline cut off.

use std::sync::Arc;
use std::time::Duration;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::registry::{self, Error};
use crate::{BatchRows, BoxFuture, FeatureRow, FeatureSource, Settings};

const NAME: &str = "parallel";

/// A row's position in its batch, and what the single source gave for it.
type Outcome = (usize, Result<FeatureRow, Fault>);

#[derive(Debug)]
struct Parallel {
    single: Arc<dyn FeatureSource>,
    /// One permit for every row that may be under way, over all batches.
    rows: Arc<Semaphore>,
    timeout: Duration,
}

pub(crate) fn open(settings: &Settings) -> Result<Arc<dyn FeatureSource>, Error> {
    let setting = |reason: String| Error::Setting {
        source_name: NAME,
        reason,
    };
    let name = settings.batch_single_source.as_deref().map(str::trim);
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
        setting(
            "feature.batch.single.adaptor is not set; it names the single source to ask".to_owned(),
        )
    })?;
    if settings.parallel_rows == 0 {
        return Err(setting(
            "no row may be asked for at a time; allow 1 or more".to_owned(),
        ));
    }
    // `parallel` itself is no single source, so it cannot be asked to ask itself.
    let single = registry::single_source(name, settings)
        .map_err(|cause| setting(format!("feature.batch.single.adaptor: {cause}")))?;
    Ok(Arc::new(Parallel {
        single,
        rows: Arc::new(Semaphore::new(
            settings.parallel_rows.min(Semaphore::MAX_PERMITS),
        )),
        timeout: settings.parallel_timeout,
    }))
}

impl FeatureSource for Parallel {
    fn name(&self) -> &str {
        NAME
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        self.single.fetch(ids)
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        Box::pin(async move { Ok(self.rows(ids).await) })
    }
}

impl Parallel {
    async fn rows(&self, ids: &[&str]) -> Vec<Result<FeatureRow, Fault>> {
        let mut rows = vec![None; ids.len()];
        // Dropping the set, at the end or when the caller gives up, stops the rows that are still under way.
        let mut tasks = JoinSet::new();
        let done = tokio::time::timeout(self.timeout, async {
            self.start(ids, &mut tasks).await;
            while let Some(outcome) = tasks.join_next().await {
                keep(outcome.ok(), &mut rows);
            }
        });
        let missing = match done.await {
            Ok(()) => Fault::new(ReturnCode::SYSTEM, "asking for the row was aborted"),
            Err(_) => Fault::new(
                ReturnCode::HOST_FEATURE_NOT_EXIST,
                format!("no features within {:?}", self.timeout),
            ),
        };
        // Rows that were ready in time while others still waited for their turn.
        while let Some(outcome) = tasks.try_join_next() {
            keep(outcome.ok(), &mut rows);
        }
        let row = |row: Option<_>| row.unwrap_or_else(|| Err(missing.clone()));
        rows.into_iter().map(row).collect()
    }

    /// Starts a task for every row as its turn comes.
    async fn start(&self, ids: &[&str], tasks: &mut JoinSet<Outcome>) {
        for (position, ids) in ids.iter().enumerate() {
            let Ok(turn) = Arc::clone(&self.rows).acquire_owned().await else {
                return;
            };
            let single = Arc::clone(&self.single);
            let ids = (*ids).to_owned();
            tasks.spawn(async move {
                let _turn = turn;
                (position, single.fetch(&ids).await)
            });
        }
    }
}

/// A task that panicked has no outcome; its row stays empty.
fn keep(outcome: Option<Outcome>, rows: &mut [Option<Result<FeatureRow, Fault>>]) {
    let Some((position, result)) = outcome else {
        return;
    };
    if let Some(row) = rows.get_mut(position) {
        *row = Some(result);
    }
}

#[cfg(test)]
mod tests;
