//! Scores the rows of a golden set through a running guest and compares every score with FATE's offline one: what
//! `demo` and `model verify` have in common.

mod answer;
mod compare;
mod question;
mod sample;
mod tally;

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::client::{Call, GrpcClient, HttpClient};
use crate::cluster::Service;
use answer::{BatchAnswer, SingleAnswer};
use compare::Outcome;

pub(crate) use question::{Question, questions};
pub(crate) use sample::{HTTP_PATH, Sample, samples};
pub(crate) use tally::Tally;

/// Longer than a cluster's own deadline, so that its answer tells what was late.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// What is scored and how exact it has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) service: &'a Service,
    pub(crate) samples: &'a [Sample<'a>],
    /// Largest difference that counts as equal, see [`Tally::max_difference`].
    pub(crate) tolerance: f64,
}

impl Job<'_> {
    /// One gRPC call for each row.
    pub(crate) async fn single(&self, client: &mut GrpcClient) -> Tally {
        let mut tally = Tally::new(self.tolerance);
        for sample in self.samples {
            let body = sample.single(self.service);
            let started = Instant::now();
            let answer = client.call(Call::Single, body).await;
            tally.took(started.elapsed());
            tally.record(sample.id, &single_outcome(answer, sample));
        }
        tally
    }

    /// One HTTP call for each row, in the form with head and body (contract 04 A.2.1).
    pub(crate) async fn http(&self, client: &HttpClient) -> Tally {
        let mut tally = Tally::new(self.tolerance);
        for sample in self.samples {
            let body = sample.head_and_body(self.service);
            let started = Instant::now();
            let answer = client.post(HTTP_PATH, body.into()).await;
            tally.took(started.elapsed());
            tally.record(sample.id, &single_outcome(answer, sample));
        }
        tally
    }

    /// gRPC batches of at most `size` rows.
    pub(crate) async fn batches(&self, client: &mut GrpcClient, size: usize) -> Tally {
        let mut tally = Tally::new(self.tolerance);
        for samples in self.samples.chunks(size.max(1)) {
            let body = sample::batch(self.service, samples);
            let started = Instant::now();
            let answer = client.call(Call::Batch, body).await;
            tally.took(started.elapsed());
            let outcomes = batch_outcomes(answer, samples);
            for (sample, outcome) in samples.iter().zip(&outcomes) {
                tally.record(sample.id, outcome);
            }
        }
        tally
    }
}

fn single_outcome(answer: anyhow::Result<Bytes>, sample: &Sample<'_>) -> Outcome {
    let answer = answer.map_err(|cause| format!("{cause:#}"))?;
    let data = SingleAnswer::read(&answer)?;
    compare::compare(&data, sample.expected)
}

/// One outcome for each row; a batch that failed as a whole has failed for each.
fn batch_outcomes(answer: anyhow::Result<Bytes>, samples: &[Sample<'_>]) -> Vec<Outcome> {
    let rows = answer
        .map_err(|cause| format!("{cause:#}"))
        .and_then(|answer| BatchAnswer::read(&answer, samples.len()));
    match rows {
        Ok(rows) => samples
            .iter()
            .zip(rows)
            .map(|(sample, data)| compare::compare(&data?, sample.expected))
            .collect(),
        Err(cause) => samples.iter().map(|_| Err(cause.clone())).collect(),
    }
}
