//! `fate-serving load`: publishes a model to servings as FATE-Flow's load does, without FATE-Flow.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use fate_server::config::Address;
use tokio::net::UdpSocket;

use crate::exit::{Exit, Failure};
use crate::publishing::job::{Job, JobFile, named};
use crate::publishing::report::Report;
use crate::publishing::requests::{self, LoadFrom, PartyPart};
use crate::publishing::serving::{Said, Serving};
use crate::publishing::servings::ServingArgs;
use crate::publishing::sources::{self, Sources};
use crate::publishing::transfer_endpoint::TransferEndpoint;
use crate::runtime;
use crate::signals::Signals;
use crate::stdout::Output;

/// Load a model into servings, from the files that FATE-Flow takes.
///
/// Every party of the job whose model is at hand is loaded at every serving, as FATE-Flow does for its own party; while
/// they load, this command answers FATE-Flow's transfer endpoint. A line for each serving; ends with 1 when one of them
/// failed or nothing was loaded.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    job: JobFile,
    /// FATE-Flow's model cache (model_local_cache), a model exported by it (.zip), or any path that model inspect reads;
    /// can be repeated [default: model_local_cache in the working directory]
    #[arg(long, value_name = "PATH")]
    models: Vec<PathBuf>,
    /// Only this party's model, e.g. guest:9999
    #[arg(long, value_name = "ROLE:ID")]
    party: Option<String>,
    #[command(flatten)]
    servings: ServingArgs,
    /// Where servings reach the transfer endpoint of this command: an address of this machine, with or without a port
    /// [default: the one that the way to each serving begins at, any port]
    #[arg(long, value_name = "IP[:PORT]", value_parser = listen_address)]
    listen: Option<SocketAddr>,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .or_else(|_| text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0)))
        .map_err(|_| "an address is IP or IP:PORT".to_owned())
        .and_then(|address| match address.ip().is_unspecified() {
            true => Err("servings cannot call 0.0.0.0; name an address of this machine".to_owned()),
            false => Ok(address),
        })
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let job = Job::read(&args.job.file)?;
    let parties = parties(&job, args.party.as_deref())?;
    let sources = match job.load_from {
        Some(_) => Sources::new(),
        None => sources::find(&args.models, parties.iter().copied())?,
    };
    runtime::run(async {
        let mut signals = Signals::install().context("cannot receive signals")?;
        tokio::select! {
            done = load(args, &job, &parties, sources) => done,
            signal = signals.next() => Err(anyhow::anyhow!("stopped by {signal}").into()),
        }
    })
    .context("cannot start the runtime")?
}

fn parties<'a>(job: &'a Job, only: Option<&str>) -> Result<Vec<&'a PartyPart>, Failure> {
    let is_asked = |party: &&PartyPart| only.is_none_or(|only| only == named(party));
    let parties: Vec<&PartyPart> = job.serving_parties().filter(is_asked).collect();
    if parties.is_empty() {
        let known: Vec<String> = job.serving_parties().map(named).collect();
        return Err(Failure::usage(format!(
            "no such party in the job, it has: {}",
            known.join(", ")
        )));
    }
    Ok(parties)
}

async fn load(
    args: &Args,
    job: &Job,
    parties: &[&PartyPart],
    sources: Sources,
) -> Result<Exit, Failure> {
    let servings = args.servings.resolve(&job.servings).await?;
    let mut endpoints = Endpoints {
        listen: args.listen,
        models: Arc::new(sources),
        running: BTreeMap::new(),
    };
    let mut report = Report::new(args.output, "loaded");
    for party in parties {
        if job.load_from.is_none() && !endpoints.models.contains_key(&party.key) {
            report.skip(
                None,
                &party.key,
                "its model is not here; its own party loads it",
            )?;
            continue;
        }
        for serving in &servings {
            let said = load_at(serving, args, job, party, &mut endpoints).await;
            report.add(serving, &party.key, said)?;
        }
    }
    report.finish()
}

async fn load_at(
    address: &Address,
    args: &Args,
    job: &Job,
    party: &PartyPart,
    endpoints: &mut Endpoints,
) -> anyhow::Result<Said> {
    let from = match &job.load_from {
        Some(from) => from.clone(),
        None => LoadFrom::flow(endpoints.url_for(address).await?),
    };
    let request = requests::load(&job.parties, party, from);
    let mut serving = Serving::connect(address, args.servings.timeout()).await?;
    serving.load(request).await
}

/// Transfer endpoints at the addresses of this machine that servings can reach, started when first needed.
struct Endpoints {
    listen: Option<SocketAddr>,
    models: Arc<Sources>,
    running: BTreeMap<SocketAddr, TransferEndpoint>,
}

impl Endpoints {
    async fn url_for(&mut self, serving: &Address) -> anyhow::Result<String> {
        let at = match self.listen {
            Some(address) => address,
            None => SocketAddr::new(way_to(serving).await?, 0),
        };
        if let Some(endpoint) = self.running.get(&at) {
            return Ok(endpoint.url());
        }
        let endpoint = TransferEndpoint::start(Arc::clone(&self.models), at)
            .await
            .with_context(|| format!("the transfer endpoint cannot listen at {at}"))?;
        let url = endpoint.url();
        self.running.insert(at, endpoint);
        Ok(url)
    }
}

/// Our end of a connection to a serving. "Connecting" UDP sends nothing, it only chooses the route.
async fn way_to(serving: &Address) -> anyhow::Result<IpAddr> {
    let cannot = || format!("no way to {serving}");
    let peer = tokio::net::lookup_host((serving.host.as_str(), serving.port))
        .await
        .with_context(cannot)?
        .next()
        .with_context(cannot)?;
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await.with_context(cannot)?;
    socket.connect(peer).await.with_context(cannot)?;
    Ok(socket.local_addr().with_context(cannot)?.ip())
}
