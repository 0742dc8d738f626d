//! `fate-serving bench`: load on a guest, and what a prediction costs.

mod cpu;
mod load;
mod parties;
mod relay;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use fate_golden::Set;
use fate_server::config::Address;

use crate::exit::{Exit, Failure};
use crate::runtime;
use crate::scoring::{self, Question};
use crate::signals::Signals;
use crate::stdout;
use load::{Load, Pace, Way};
use parties::Parties;
use report::{Figures, Report};

/// Put load on a guest and measure latency, throughput and CPU per request.
///
/// The rows of the set rotate, every answer is read and its score compared with FATE's offline one. Without --grpc or
/// --http the command starts the guest and its hosts as processes of their own on loopback, with the set's rows in
/// memory, and stops them at the end.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The set whose model and rows are used
    #[arg(value_name = "SET")]
    set: PathBuf,
    /// A running guest's gRPC address
    #[arg(
        long,
        value_name = "HOST:PORT",
        requires = "service_id",
        conflicts_with = "http"
    )]
    grpc: Option<Address>,
    /// A running guest's HTTP address
    #[arg(long, value_name = "HOST:PORT", requires = "service_id")]
    http: Option<Address>,
    /// Service id that the running guest's model is bound to
    #[arg(long, value_name = "ID")]
    service_id: Option<String>,
    /// A process whose CPU counts; may be given several times. Processes that bench starts count by themselves
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// Ask the started guest over HTTP instead of gRPC
    #[arg(long, conflicts_with_all = ["grpc", "http"])]
    over_http: bool,
    /// Connections, each with one call at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// Open loop: calls per second of all clients together, whether or not answers keep up. Latency counts from the
    /// moment a call was due, so that a slow server cannot hide behind calls that were not made
    #[arg(long, value_name = "CALLS")]
    rate: Option<f64>,
    /// Refusals because of load (124, 624, 2124, 2624) are what is looked for: they count as refused, not as failures, and
    /// latencies are those of the other calls
    #[arg(long)]
    overload: bool,
    /// Rows per call; more than one makes batch calls
    #[arg(long, value_name = "ROWS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// Seconds that are measured
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Seconds before them
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=600))]
    warm_up: u32,
    /// Send features as JSON numbers where their text is one
    #[arg(long)]
    numbers: bool,
    /// Count the bytes between guest and hosts, with a relay in between: do not quote latency or CPU of such a run
    #[arg(long, conflicts_with_all = ["grpc", "http"])]
    wire: bool,
    /// Further lines for the started servers' properties, as key=value; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    property: Vec<String>,
    /// Another program whose `server` command is started, to compare versions [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// text for people, json for programs
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let rate_is_usable = args.rate.is_none_or(|rate| rate.is_finite() && rate > 0.0);
    if !rate_is_usable {
        return Err(Failure::usage(
            "--rate is a number of calls per second above 0",
        ));
    }
    let set = Set::open(&args.set)?;
    runtime::run(bench(args, &set)).context("cannot start the runtime")?
}

async fn bench(args: &Args, set: &Set) -> Result<Exit, Failure> {
    let mut signals = Signals::install().context("cannot receive signals")?;
    tokio::select! {
        done = measured(args, set) => done,
        // Dropping the run stops the processes it started.
        signal = signals.next() => Err(anyhow::anyhow!("stopped by {signal}").into()),
    }
}

async fn measured(args: &Args, set: &Set) -> Result<Exit, Failure> {
    let parties = match started(args) {
        true => Some(Parties::start(set, &parties_setting(args)).await?),
        false => None,
    };
    let load = load(args, set, parties.as_ref())?;
    let mut pids = args.pid.clone();
    pids.extend(parties.iter().flat_map(Parties::pids));

    let warm_up = Duration::from_secs(args.warm_up.into());
    load.run(warm_up).await?;
    let bytes_before = parties.as_ref().and_then(Parties::relayed);
    let before = cpu::of(&pids)?;
    let outcome = load.run(Duration::from_secs(args.seconds.into())).await?;
    let cpu = cpu::of(&pids)?.since(&before)?;
    let relayed = parties
        .as_ref()
        .and_then(Parties::relayed)
        .zip(bytes_before)
        .map(|(after, before)| after - before);
    let memory = cpu::resident_bytes(&pids)?;
    if let Some(parties) = parties {
        parties.stop().await?;
    }
    let figures = Figures::new(&outcome, load.rows_per_call(), cpu, relayed, memory);
    let report = Report::new(&set.name, &load, figures, outcome.first_failure);
    let text = match args.output {
        Output::Text => report.text(),
        Output::Json => report.json()?,
    };
    stdout::print(&text).context("stdout")?;
    Ok(if report.is_good() {
        Exit::Success
    } else {
        Exit::Failed
    })
}

fn started(args: &Args) -> bool {
    args.grpc.is_none() && args.http.is_none()
}

fn parties_setting(args: &Args) -> parties::Setting<'_> {
    parties::Setting {
        program: args.program.as_deref(),
        properties: &args.property,
        relay: args.wire,
    }
}

fn load<'a>(args: &'a Args, set: &'a Set, parties: Option<&'a Parties>) -> anyhow::Result<Load> {
    let way = match (&args.grpc, &args.http, parties) {
        (Some(address), _, _) => Way::Grpc(address.clone()),
        (None, Some(address), _) => Way::Http(address.clone()),
        (None, None, Some(parties)) if args.over_http => Way::Http(parties.guest_http()),
        (None, None, Some(parties)) => Way::Grpc(parties.guest_grpc()),
        (None, None, None) => anyhow::bail!("there is no guest to ask"),
    };
    let service_id = match (&args.service_id, parties) {
        (_, Some(parties)) => parties.service_id().to_owned(),
        (Some(id), None) => id.clone(),
        (None, None) => anyhow::bail!("there is no service id to ask for"),
    };
    let rows = usize::from(args.batch);
    let questions = questions(set, &service_id, rows, args.numbers)
        .with_context(|| format!("{} has no rows to ask for", set.directory.display()))?;
    Ok(Load {
        way,
        questions,
        clients: args.clients.into(),
        is_overload: args.overload,
        pace: args.rate.map_or(Pace::Closed, Pace::Open),
    })
}

fn questions(
    set: &Set,
    service_id: &str,
    rows: usize,
    numbers: bool,
) -> anyhow::Result<Vec<Question>> {
    let samples = scoring::samples(set, numbers, None)?;
    anyhow::ensure!(!samples.is_empty(), "predictions.csv is empty");
    Ok(scoring::questions(service_id, &samples, rows))
}
