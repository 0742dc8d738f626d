//! The way to a source on the network: answers that are remembered, one read for callers that want the same, a bound on
//! reads at a time, a time limit, and a circuit breaker.
//!
//! A read runs in a task of its own: a caller that gives up takes nobody else's answer along, and a read always reports
//! to the breaker.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};

use super::breaker::Breaker;
use super::columns::Answer;
use super::remembered::{MemorySettings, Remembered};
use crate::BoxFuture;

/// Keys that are asked for in one round trip.
const KEYS_AT_ONCE: usize = 1000;

/// The bounds of reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadSettings {
    /// For a read altogether, waiting and connecting included.
    pub timeout: Duration,
    /// Reads, and connections, at a time.
    pub pool: usize,
    pub memory: MemorySettings,
    /// Failures in a row after which the source is left alone.
    pub breaker_failures: u32,
    /// For so long.
    pub breaker_pause: Duration,
}

/// A source on the network.
pub(crate) trait Remote: Send + Sync + Debug {
    /// One answer for each key, in their order; or why there is none for any.
    fn read<'a>(&'a self, keys: &'a [Arc<str>]) -> BoxFuture<'a, Result<Vec<Answer>, String>>;
}

/// An answer, or why the source gave none.
pub(crate) type Outcome = Result<Answer, Arc<str>>;

#[derive(Debug)]
pub(crate) struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    remote: Box<dyn Remote>,
    timeout: Duration,
    places: Semaphore,
    remembered: Remembered,
    breaker: Breaker,
    flights: Mutex<HashMap<Arc<str>, Landing>>,
}

/// Where the outcome of a read will be.
type Landing = watch::Receiver<Option<Outcome>>;

/// A caller's way to the answer for a key.
enum Wait {
    Known(Answer),
    Coming(Landing),
}

impl Gate {
    pub(crate) fn new(name: &str, remote: Box<dyn Remote>, settings: &ReadSettings) -> Self {
        let places = settings.pool.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                remote,
                timeout: settings.timeout,
                places: Semaphore::new(places),
                remembered: Remembered::new(settings.memory.clone()),
                breaker: Breaker::new(settings.breaker_failures, settings.breaker_pause),
                flights: Mutex::default(),
            }),
        }
    }

    /// One outcome for each key, in their order. Ends within the time limit.
    pub(crate) async fn ask(&self, keys: &[Arc<str>]) -> Vec<Outcome> {
        let (waits, flight) = self.look(keys);
        if let Some(flight) = flight {
            flight.depart();
        }
        let mut outcomes = Vec::with_capacity(waits.len());
        for wait in waits {
            outcomes.push(match wait {
                Wait::Known(answer) => Ok(answer),
                Wait::Coming(landing) => landed(landing).await,
            });
        }
        outcomes
    }

    /// What is known, what is on its way, and a flight for the rest.
    fn look(&self, keys: &[Arc<str>]) -> (Vec<Wait>, Option<Flight>) {
        let mut new = Vec::new();
        let mut flights = self.inner.flights.lock();
        let waits = keys.iter().map(|key| {
            if let Some(answer) = self.inner.remembered.get(key) {
                return Wait::Known(answer);
            }
            if let Some(landing) = flights.get(key) {
                return Wait::Coming(landing.clone());
            }
            let (sender, landing) = watch::channel(None);
            flights.insert(Arc::clone(key), landing.clone());
            new.push((Arc::clone(key), sender));
            Wait::Coming(landing)
        });
        let waits = waits.collect();
        let flight = (!new.is_empty()).then(|| Flight {
            inner: Arc::clone(&self.inner),
            passengers: new,
        });
        (waits, flight)
    }
}

async fn landed(mut landing: Landing) -> Outcome {
    match landing.wait_for(Option::is_some).await {
        Ok(outcome) => outcome
            .clone()
            .unwrap_or_else(|| Err("the read was aborted".into())),
        Err(_) => Err("the read was aborted".into()),
    }
}

/// A read of keys that nobody else is reading. Whatever becomes of it, its keys can be read again afterwards.
struct Flight {
    inner: Arc<Inner>,
    passengers: Vec<(Arc<str>, watch::Sender<Option<Outcome>>)>,
}

impl Flight {
    fn depart(mut self) {
        if let Err(cause) = self.inner.breaker.admit() {
            self.land(Err(cause));
            return;
        }
        tokio::spawn(async move {
            let keys: Vec<Arc<str>> = self
                .passengers
                .iter()
                .map(|(key, _)| Arc::clone(key))
                .collect();
            let outcome = self.inner.read(&keys).await;
            self.inner.report(&outcome);
            self.land(outcome);
        });
    }

    fn land(&mut self, outcome: Result<Vec<Answer>, Arc<str>>) {
        let outcomes: Vec<Outcome> = match outcome {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(cause) => vec![Err(cause); self.passengers.len()],
        };
        for ((key, _), outcome) in self.passengers.iter().zip(&outcomes) {
            if let Ok(answer) = outcome {
                self.inner.remembered.put(key, answer);
            }
        }
        self.forget();
        for ((_, sender), outcome) in self.passengers.drain(..).zip(outcomes) {
            sender.send_replace(Some(outcome));
        }
    }

    fn forget(&self) {
        let mut flights = self.inner.flights.lock();
        for (key, _) in &self.passengers {
            flights.remove(key);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Inner {
    async fn read(&self, keys: &[Arc<str>]) -> Result<Vec<Answer>, Arc<str>> {
        match tokio::time::timeout(self.timeout, self.read_in_lots(keys)).await {
            Ok(read) => read.map_err(Arc::from),
            Err(_) => Err(format!("no answer within {} ms", self.timeout.as_millis()).into()),
        }
    }

    async fn read_in_lots(&self, keys: &[Arc<str>]) -> Result<Vec<Answer>, String> {
        let _place = self.places.acquire().await.map_err(|e| e.to_string())?;
        let mut answers = Vec::with_capacity(keys.len());
        for lot in keys.chunks(KEYS_AT_ONCE) {
            let some = self.remote.read(lot).await?;
            if some.len() != lot.len() {
                return Err(format!("{} answers for {} keys", some.len(), lot.len()));
            }
            answers.extend(some);
        }
        Ok(answers)
    }

    fn report(&self, outcome: &Result<Vec<Answer>, Arc<str>>) {
        let source = self.name.as_str();
        match outcome {
            Ok(_) if self.breaker.succeeded() => {
                tracing::info!(source, "the feature source answers again");
            }
            Ok(_) => {}
            Err(cause) if self.breaker.failed(cause) => {
                tracing::warn!(source, %cause, "the feature source is left alone for a while");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
