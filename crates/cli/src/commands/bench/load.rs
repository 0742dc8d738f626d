//! Clients that ask one question after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fate_server::config::Address;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{Call, GrpcClient, HttpClient};
use crate::scoring::{CALL_TIMEOUT, Question};

/// What is asked, by whom, how fast.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) way: Way,
    pub(super) questions: Vec<Question>,
    pub(super) clients: usize,
    pub(super) pace: Pace,
    /// Whether refusals because of load are what is looked for, and no failures.
    pub(super) is_overload: bool,
}

/// How clients reach the guest.
#[derive(Debug, Clone)]
pub(super) enum Way {
    Grpc(Address),
    Http(Address),
}

/// When a client makes its next call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// As soon as its last one is answered.
    Closed,
    /// When it is due: so many calls per second of all clients together, at equal intervals.
    Open(f64),
}

/// What became of the calls.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Of every call that was not refused, in no order.
    pub(super) latencies: Vec<Duration>,
    /// From the first call to the last answer.
    pub(super) elapsed: Duration,
    /// Calls without a good answer, also counted in `latencies`.
    pub(super) failures: usize,
    /// Calls that were refused because of load, where that is no failure.
    pub(super) refused: usize,
    pub(super) first_failure: Option<String>,
    pub(super) max_difference: f64,
    /// Of all requests' bodies.
    pub(super) bytes_asked: u64,
    /// Of all answers' bodies.
    pub(super) bytes_answered: u64,
}

impl Load {
    pub(super) fn rows_per_call(&self) -> usize {
        self.questions.first().map_or(1, |question| question.rows)
    }

    /// Asks for as long as told; calls under way at the end are waited for.
    ///
    /// # Errors
    /// A client that cannot connect. A call that fails is counted.
    pub(super) async fn run(&self, length: Duration) -> anyhow::Result<Outcome> {
        let mut clients = Vec::with_capacity(self.clients);
        for _ in 0..self.clients {
            clients.push(Client::connect(&self.way).await?);
        }
        let shared = Arc::new(Shared {
            questions: self.questions.clone(),
            next: AtomicUsize::new(0),
            due: Semaphore::new(0),
            start: Instant::now(),
            length,
            pace: self.pace,
            is_overload: self.is_overload,
        });
        if let Pace::Open(rate) = self.pace {
            let (shared, clients) = (Arc::clone(&shared), self.clients);
            thread::spawn(move || shared.ring(rate, clients));
        }
        let mut running = JoinSet::new();
        for client in clients {
            running.spawn(ask_on(client, Arc::clone(&shared)));
        }
        let mut outcome = Outcome::default();
        while let Some(done) = running.join_next().await {
            outcome.add(done?);
        }
        outcome.elapsed = shared.start.elapsed();
        Ok(outcome)
    }
}

/// What all clients of a run have in common.
#[derive(Debug)]
struct Shared {
    questions: Vec<Question>,
    /// Number of the next call.
    next: AtomicUsize,
    /// Calls of an open loop that are due and not taken yet.
    due: Semaphore,
    start: Instant,
    length: Duration,
    pace: Pace,
    is_overload: bool,
}

impl Shared {
    /// Number of the next call and when it was due, which has come; `None` when the time is over.
    async fn take(&self) -> Option<(usize, Instant)> {
        if let Pace::Open(_) = self.pace {
            self.due.acquire().await.ok()?.forget();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let due = match self.pace {
            Pace::Closed => Instant::now(),
            Pace::Open(rate) => self.due_at(number, rate),
        };
        self.is_within(due).then_some((number, due))
    }

    fn due_at(&self, number: usize, rate: f64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / rate)
    }

    fn is_within(&self, due: Instant) -> bool {
        due < self.start + self.length
    }

    /// Lets calls go when they are due, and at the end all clients. Needs a thread of its own: timers of the runtime end
    /// at full milliseconds, which would count as latency.
    fn ring(&self, rate: f64, clients: usize) {
        let calls = (0..).map(|number| self.due_at(number, rate));
        for due in calls.take_while(|due| self.is_within(*due)) {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.due.add_permits(1);
        }
        self.due.add_permits(clients);
    }
}

async fn ask_on(mut client: Client, shared: Arc<Shared>) -> Outcome {
    let mut outcome = Outcome::default();
    while let Some((number, due)) = shared.take().await {
        let question = &shared.questions[number % shared.questions.len()];
        let answer = client.ask(question).await;
        // From the due moment: a call that had to wait for its client waited for the server.
        let latency = due.elapsed();
        let refused = answer.as_ref().is_ok_and(|body| Question::is_refused(body));
        if refused && shared.is_overload {
            outcome.refused += 1;
        } else {
            outcome.latencies.push(latency);
            outcome.judge(question, answer);
        }
    }
    outcome
}

impl Outcome {
    fn judge(&mut self, question: &Question, answer: anyhow::Result<bytes::Bytes>) {
        self.bytes_asked += question.body.len() as u64;
        let judged = match answer {
            Ok(body) => {
                self.bytes_answered += body.len() as u64;
                question.largest_difference(&body)
            }
            Err(cause) => Err(format!("{cause:#}")),
        };
        match judged {
            Ok(difference) => self.max_difference = self.max_difference.max(difference),
            Err(cause) => {
                self.failures += 1;
                self.first_failure.get_or_insert(cause);
            }
        }
    }

    fn add(&mut self, other: Outcome) {
        self.latencies.extend(other.latencies);
        self.failures += other.failures;
        self.refused += other.refused;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.max_difference = self.max_difference.max(other.max_difference);
        self.bytes_asked += other.bytes_asked;
        self.bytes_answered += other.bytes_answered;
    }
}

#[derive(Debug)]
enum Client {
    Grpc(GrpcClient),
    Http(HttpClient),
}

impl Client {
    async fn connect(way: &Way) -> anyhow::Result<Client> {
        Ok(match way {
            Way::Grpc(address) => Client::Grpc(GrpcClient::connect(address, CALL_TIMEOUT).await?),
            Way::Http(address) => Client::Http(HttpClient::new(address.clone(), CALL_TIMEOUT)),
        })
    }

    async fn ask(&mut self, question: &Question) -> anyhow::Result<bytes::Bytes> {
        let call = match question.is_batch {
            true => Call::Batch,
            false => Call::Single,
        };
        let body = question.body.clone();
        match self {
            Client::Grpc(client) => client.call(call, body).await,
            Client::Http(client) => client.call(call, body).await,
        }
    }
}
