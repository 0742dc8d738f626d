//! `fate-serving model verify`: the acceptance test of a model, over real gRPC.

mod report;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use fate_golden::Set;
use fate_inference::Semantics;

use crate::client::GrpcClient;
use crate::cluster::{Cluster, Options, Publication, Service};
use crate::exit::{Exit, Failure};
use crate::party_models;
use crate::runtime;
use crate::scoring::{self, Job, Tally};
use crate::signals::Signals;
use report::Report;

/// Score the rows of golden sets online and compare with FATE's offline scores.
///
/// For each set a guest and its hosts are started in this process on loopback ports, the models are loaded and bound
/// as FATE-Flow does it, and every row goes through gRPC, alone and in batches. Ends with 1 when a score is off by
/// more than the tolerance, a row has no score, or a model is refused.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A set (guest_<id>/ and host_<id>/ with index.json, model/*.pb and features.csv; predictions.csv), or a
    /// directory of sets. Instead of index.json a party may have FATE-Flow's export of its model (one .zip)
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Rows in a batch
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// The largest difference that counts as equal: absolute for scores up to 1, relative for larger ones
    #[arg(long, value_name = "D", default_value = "1e-12", value_parser = tolerance)]
    tolerance: f64,
    /// Whose arithmetic the servers use: FATE's (fate) or FATE-Serving 2.1.7's (java)
    #[arg(long, default_value_t)]
    semantics: Semantics,
    /// Send cells as JSON numbers where their text is one, instead of as texts
    #[arg(long)]
    numbers: bool,
    /// Score only the first N predicted rows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rows: Option<u32>,
}

/// A set's rows, scored in two ways.
struct Scored {
    service: Service,
    single: Tally,
    batch: Tally,
}

impl Scored {
    fn is_good(&self) -> bool {
        self.single.is_good() && self.batch.is_good()
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(tolerance) if (0.0..f64::INFINITY).contains(&tolerance) => Ok(tolerance),
        _ => Err("a tolerance is a number from 0".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let directories = sets(&args.directories)?;
    runtime::run(verify(args, &directories)).context("cannot start the runtime")?
}

/// A directory that is not there is a wrong argument; one without sets is a failed test.
fn sets(directories: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut sets = Vec::new();
    for directory in directories {
        std::fs::read_dir(directory).map_err(|cause| {
            Failure::usage(format!("cannot read {}: {cause}", directory.display()))
        })?;
        sets.extend(fate_golden::sets_below(directory)?);
    }
    Ok(sets)
}

async fn verify(args: &Args, directories: &[PathBuf]) -> Result<Exit, Failure> {
    let mut signals = Signals::install().context("cannot receive signals")?;
    let mut report = Report::start(directories, args.batch)?;
    for directory in directories {
        let scored = tokio::select! {
            scored = verify_set(args, directory) => scored,
            signal = signals.next() => return Err(anyhow::anyhow!("stopped by {signal}").into()),
        };
        report.add(directory, &scored)?;
    }
    Ok(report.finish(args.tolerance)?)
}

async fn verify_set(args: &Args, directory: &PathBuf) -> anyhow::Result<Scored> {
    let set = Arc::new(Set::open_with(directory, party_models::open_party)?);
    let options = Options {
        semantics: args.semantics,
        numbers: args.numbers,
        batch_max: args.batch as usize,
        http: false,
    };
    let cluster = Cluster::start(&[Arc::clone(&set)], options).await?;
    let scored = score(args, &set, &cluster).await;
    cluster.stop().await;
    scored
}

async fn score(args: &Args, set: &Set, cluster: &Cluster) -> anyhow::Result<Scored> {
    let samples = scoring::samples(set, args.numbers, args.rows.map(|rows| rows as usize))?;
    let service = match cluster.publish(set).await? {
        Publication::Served(service) => service,
        Publication::Refused(reason) => anyhow::bail!("refused: {reason}"),
    };
    let mut client = GrpcClient::connect(&cluster.grpc_address(), scoring::CALL_TIMEOUT).await?;
    let job = Job {
        service: &service,
        samples: &samples,
        tolerance: args.tolerance,
    };
    let single = job.single(&mut client).await;
    let batch = job.batches(&mut client, args.batch as usize).await;
    Ok(Scored {
        service,
        single,
        batch,
    })
}
