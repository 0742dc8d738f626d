//! Loads under way, one per model. FATE-Flow gives a load up after 30 s without cancelling it, and repeats it twice, after
//! pauses of 2 s and 4 s (contract 03 §5.1). A repetition joins the running load and gets its result; one that comes in
//! the pause after the load has ended gets it as well, so that a load that takes a little longer than FATE-Flow waits is
//! not begun anew at every try, and never told.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use fate_proto::model::PublishRequest;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::published::LoadedModel;

/// Models that may be loading or waiting to load at the same time; one more is answered 124 at once.
const MAX_FLIGHTS: usize = 64;

/// Whoever asked for a load that took longer may have given it up.
const LONG: Duration = Duration::from_secs(25);

/// Its repetition comes within this time.
const PAUSE: Duration = Duration::from_secs(8);

pub(crate) type LoadResult = Result<Arc<LoadedModel>, Fault>;

#[derive(Debug, Clone, Default)]
pub(crate) struct Flights {
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    under_way: HashMap<ModelKey, Flight>,
    /// Long flights that have just ended.
    landed: HashMap<ModelKey, Landed>,
}

#[derive(Debug)]
struct Flight {
    request: PublishRequest,
    started: Instant,
    result: watch::Receiver<Option<LoadResult>>,
}

#[derive(Debug)]
struct Landed {
    request: PublishRequest,
    at: Instant,
    /// Nobody needs to keep a model that is replaced.
    result: Result<Weak<LoadedModel>, Fault>,
}

impl Flights {
    /// Joins the running load if it answers the same request; waits for another load of the same model to end; else
    /// starts `work` in a task of its own, so that a caller who goes away does not break a load off in the middle.
    /// `is_published` tells whether a model that was loaded a moment ago is still the one that requests find.
    pub(crate) async fn run<W>(
        &self,
        key: &ModelKey,
        request: &PublishRequest,
        is_published: impl Fn(&Arc<LoadedModel>) -> bool,
        work: W,
    ) -> LoadResult
    where
        W: Future<Output = LoadResult> + Send + 'static,
    {
        if let Some(result) = self.just_landed(key, request)
            && result.as_ref().map_or(true, is_published)
        {
            return result;
        }
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

    fn just_landed(&self, key: &ModelKey, request: &PublishRequest) -> Option<LoadResult> {
        let mut table = self.table.lock();
        table.landed.retain(|_, landed| landed.at.elapsed() < PAUSE);
        let landed = table.landed.get(key)?;
        if landed.request != *request {
            return None;
        }
        match &landed.result {
            Ok(model) => model.upgrade().map(Ok),
            Err(fault) => Some(Err(fault.clone())),
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
        if let Some(flight) = table.under_way.get(key) {
            return Ok((flight.result.clone(), flight.request == *request));
        }
        if table.under_way.len() >= MAX_FLIGHTS {
            return Err(Fault::new(
                ReturnCode::OVERLOAD,
                format!("{MAX_FLIGHTS} models are being loaded already; try again later"),
            ));
        }
        let work = work.take().ok_or_else(broken_off)?;
        let (sender, result) = watch::channel(None);
        table.landed.remove(key);
        let flight = Flight {
            request: request.clone(),
            started: Instant::now(),
            result: result.clone(),
        };
        table.under_way.insert(key.clone(), flight);
        let mut landing = Landing {
            flights: self.clone(),
            key: key.clone(),
            result: None,
        };
        tokio::spawn(async move {
            let result = work.await;
            landing.result = Some(result.clone());
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
    result: Option<LoadResult>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut table = self.flights.table.lock();
        let flight = table.under_way.remove(&self.key);
        let long = flight.filter(|flight| flight.started.elapsed() >= LONG);
        if let (Some(flight), Some(result)) = (long, self.result.take()) {
            let landed = Landed {
                request: flight.request,
                at: Instant::now(),
                result: result.map(|model| Arc::downgrade(&model)),
            };
            table.landed.insert(self.key.clone(), landed);
        }
    }
}

fn broken_off() -> Fault {
    Fault::new(
        ReturnCode::SYSTEM,
        "the load was broken off without a result; see the server's log",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn request(file_path: &str) -> PublishRequest {
        PublishRequest {
            file_path: file_path.to_owned(),
            ..PublishRequest::default()
        }
    }

    /// A load that fails after some time, and counts itself.
    async fn load(
        flights: &Flights,
        file_path: &str,
        takes: u64,
        count: &Arc<AtomicUsize>,
    ) -> String {
        let count = Arc::clone(count);
        let work = async move {
            tokio::time::sleep(Duration::from_secs(takes)).await;
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            Err(Fault::new(ReturnCode::SYSTEM, format!("load {number}")))
        };
        let key = ModelKey::new("1", "guest#9999#m");
        let result = flights.run(&key, &request(file_path), |_| true, work).await;
        result.unwrap_err().message
    }

    /// FATE-Flow's own tries: 30 s each, repeated after 2 s and 4 s (contract 03 §5.1).
    async fn as_fate_flow(flights: &Flights, takes: u64, count: &Arc<AtomicUsize>) -> String {
        for pause in [2, 4, 8] {
            let limit = Duration::from_secs(30);
            let (mine, count) = (flights.clone(), Arc::clone(count));
            // The call goes on when FATE-Flow has given it up.
            let call = tokio::spawn(async move { load(&mine, "url", takes, &count).await });
            if let Ok(answer) = tokio::time::timeout(limit, call).await {
                return answer.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
        "no try was answered".to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn fate_flow_hears_of_every_load_that_its_tries_last_for() {
        for takes in [0, 29, 31, 45, 61, 63, 65, 95] {
            let count = Arc::default();
            let heard = as_fate_flow(&Flights::default(), takes, &count).await;
            assert_eq!(heard, "load 1", "{takes} s");
            assert_eq!(count.load(Ordering::SeqCst), 1, "{takes} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_request_and_a_later_one_are_loads_of_their_own() {
        let (flights, count) = (Flights::default(), Arc::default());
        assert_eq!(load(&flights, "a", 30, &count).await, "load 1");
        assert_eq!(load(&flights, "a", 30, &count).await, "load 1");
        assert_eq!(load(&flights, "b", 30, &count).await, "load 2");
        // What another load has replaced is no answer any more.
        assert_eq!(load(&flights, "a", 1, &count).await, "load 3");
        // A load that was answered in time is not remembered.
        assert_eq!(load(&flights, "a", 1, &count).await, "load 4");
        assert_eq!(load(&flights, "a", 30, &count).await, "load 5");
        tokio::time::sleep(PAUSE).await;
        assert_eq!(load(&flights, "a", 1, &count).await, "load 6");
    }
}
