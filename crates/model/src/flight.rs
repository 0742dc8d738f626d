//! Loads under way, one per model. FATE-Flow repeats a load after 30 s without cancelling the first: the repetition
//! joins the running load and gets its result (contract 03 §5.1).

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use fate_proto::model::PublishRequest;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::published::LoadedModel;

/// Models that may be loading or waiting to load at the same time; one more is answered 124 at once.
const MAX_FLIGHTS: usize = 64;

pub(crate) type LoadResult = Result<Arc<LoadedModel>, Fault>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Flights {
    table: Arc<Mutex<HashMap<ModelKey, Flight>>>,
}

#[derive(Debug)]
struct Flight {
    request: PublishRequest,
    result: watch::Receiver<Option<LoadResult>>,
}

impl Flights {
    /// Joins the running load if it answers the same request; waits for another load of the same model to end; else
    /// starts `work` in a task of its own, so that a caller who goes away does not break a load off in the middle.
    pub(crate) async fn run<W>(
        &self,
        key: &ModelKey,
        request: &PublishRequest,
        work: W,
    ) -> LoadResult
    where
        W: Future<Output = LoadResult> + Send + 'static,
    {
        let mut work = Some(work);
        loop {
            let (mut result, same) = self.join_or_start(key, request, &mut work)?;
            let ended = result.wait_for(Option::is_some).await;
            if !same {
                continue;
            }
            return match ended {
                Ok(result) => result.clone().unwrap_or_else(|| Err(broken_off())),
                Err(_) => Err(broken_off()),
            };
        }
    }

    fn join_or_start<W>(
        &self,
        key: &ModelKey,
        request: &PublishRequest,
        work: &mut Option<W>,
    ) -> Result<(watch::Receiver<Option<LoadResult>>, bool), Fault>
    where
        W: Future<Output = LoadResult> + Send + 'static,
    {
        let mut table = self.table.lock();
        if let Some(flight) = table.get(key) {
            return Ok((flight.result.clone(), flight.request == *request));
        }
        if table.len() >= MAX_FLIGHTS {
            return Err(Fault::new(
                ReturnCode::OVERLOAD,
                format!("{MAX_FLIGHTS} models are being loaded already; try again later"),
            ));
        }
        let work = work.take().ok_or_else(broken_off)?;
        let (sender, result) = watch::channel(None);
        table.insert(
            key.clone(),
            Flight {
                request: request.clone(),
                result: result.clone(),
            },
        );
        let landing = Landing {
            flights: self.clone(),
            key: key.clone(),
        };
        tokio::spawn(async move {
            let result = work.await;
            drop(landing);
            // Nobody listens when every caller has gone away; the load itself is done.
            let _ = sender.send(Some(result));
        });
        Ok((result, true))
    }
}

/// Takes the flight off the table, also when the load panics.
struct Landing {
    flights: Flights,
    key: ModelKey,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.table.lock().remove(&self.key);
    }
}

fn broken_off() -> Fault {
    Fault::new(
        ReturnCode::SYSTEM,
        "the load was broken off without a result; see the server's log",
    )
}
