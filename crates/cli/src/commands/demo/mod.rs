//! `fate-serving demo`: a guest and its hosts with real models, in one process.

mod invitation;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use fate_golden::Set;
use fate_inference::Semantics;

use crate::client::{GrpcClient, HttpClient};
use crate::cluster::{Cluster, Options, Publication, Service};
use crate::exit::{Exit, Failure};
use crate::runtime;
use crate::scoring::{self, Job, Tally};
use crate::signals::Signals;
use crate::stdout;
use table::Table;

/// The project's promise for every model below `models/`.
const TOLERANCE: f64 = 1e-12;
const BATCH: usize = 64;

/// Start a guest and its hosts in this process and score real rows with real models.
///
/// Every model below the directory is loaded and bound as FATE-Flow does it; every row is scored over HTTP, over gRPC
/// and in batches, and compared with FATE's offline score. Then the servers stay up until Ctrl-C.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End after the table: 0 when every score is FATE's (1e-12), otherwise 1
    #[arg(long)]
    once: bool,
    /// Directory of trained sets
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
}

/// A set's rows, scored in three ways.
struct Scored {
    service: Service,
    http: Tally,
    single: Tally,
    batch: Tally,
}

/// What happened to a set: its scores, or why there are none.
type Shown = anyhow::Result<Scored>;

impl Scored {
    fn tallies(&self) -> [(&'static str, &Tally); 3] {
        [
            ("HTTP", &self.http),
            ("gRPC", &self.single),
            ("gRPC batch", &self.batch),
        ]
    }

    fn is_good(&self) -> bool {
        self.tallies().iter().all(|(_, tally)| tally.is_good())
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let sets = open(&args.models)?;
    runtime::run(demo(args, &sets)).context("cannot start the runtime")?
}

fn open(models: &Path) -> Result<Vec<Arc<Set>>, Failure> {
    std::fs::read_dir(models).map_err(|cause| {
        let models = models.display();
        Failure::usage(format!(
            "cannot read {models}: {cause}; run it where models/ is, or name the directory with --models"
        ))
    })?;
    fate_golden::sets_below(models)?
        .iter()
        .map(|directory| Ok(Arc::new(Set::open(directory)?)))
        .collect()
}

async fn demo(args: &Args, sets: &[Arc<Set>]) -> Result<Exit, Failure> {
    let mut signals = Signals::install().context("cannot receive signals")?;
    let options = Options {
        semantics: Semantics::default(),
        numbers: false,
        batch_max: BATCH,
        http: true,
    };
    let cluster = Cluster::start(sets, options).await?;
    let shown = tokio::select! {
        shown = show(sets, &cluster) => shown?,
        signal = signals.next() => return Err(anyhow::anyhow!("stopped by {signal}").into()),
    };
    if !args.once {
        let text = invitation::write(sets, &cluster, &shown);
        stdout::print(&text).context("stdout")?;
        signals.next().await;
    }
    cluster.stop().await;
    let is_good = |shown: &Shown| matches!(shown, Ok(scored) if scored.is_good());
    Ok(if shown.iter().all(is_good) {
        Exit::Success
    } else {
        Exit::Failed
    })
}

/// Publishes and scores one set after the other; what happened, in the order of the sets.
async fn show(sets: &[Arc<Set>], cluster: &Cluster) -> anyhow::Result<Vec<Shown>> {
    let mut grpc = GrpcClient::connect(&cluster.grpc_address(), scoring::CALL_TIMEOUT).await?;
    let http_address = cluster.http_address().context("the guest has no HTTP")?;
    let http = HttpClient::new(http_address, scoring::CALL_TIMEOUT);
    let mut table = Table::start(sets)?;
    let mut all = Vec::new();
    for set in sets {
        let shown = score(set, cluster, &mut grpc, &http).await;
        table.add(set, &shown)?;
        all.push(shown);
    }
    table.finish()?;
    Ok(all)
}

async fn score(set: &Set, cluster: &Cluster, grpc: &mut GrpcClient, http: &HttpClient) -> Shown {
    let samples = scoring::samples(set, false, None)?;
    let service = match cluster.publish(set).await? {
        Publication::Served(service) => service,
        Publication::Refused(reason) => anyhow::bail!("refused: {reason}"),
    };
    let job = Job {
        service: &service,
        samples: &samples,
        tolerance: TOLERANCE,
    };
    let http = job.http(http).await;
    let single = job.single(grpc).await;
    let batch = job.batches(grpc, BATCH).await;
    Ok(Scored {
        service,
        http,
        single,
        batch,
    })
}
