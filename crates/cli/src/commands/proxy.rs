//! `fate-serving proxy`: one proxy, until it is told to stop.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fate_edge::lane;
use fate_proxy::{Config, Embedding, Proxy, RunningProxy};
use fate_server::LogLevels;

use crate::exit::{Exit, Failure};
use crate::role::{self, Running};
use crate::runtime;

/// Of each port. Every lane has a connection of its own to every peer that it calls, and peers bound their number.
const MAX_LANES: usize = 8;

/// Run a serving-proxy: the way between this party's servers and other parties, and of applications to the guest.
///
/// SIGHUP reads the properties again. SIGTERM and Ctrl-C drain it: calls in flight are answered, new ones are refused with 111 (in packets 611). A second
/// signal, a second or more later, stops it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The proxy's properties
    #[arg(
        long,
        value_name = "FILE",
        default_value = "conf/application.properties"
    )]
    config: PathBuf,
    /// Check the properties, start nothing
    #[arg(long)]
    check_config: bool,
}

pub(crate) fn run(args: &Args, log_levels: LogLevels) -> Result<Exit, Failure> {
    let config = Config::from_file(&args.config).map_err(Failure::usage)?;
    if args.check_config {
        let about_files = fate_proxy::about_files(&config);
        return role::say_checked(&args.config, config.notes().iter().chain(&about_files));
    }
    runtime::run(serve(&args.config, config, log_levels)).context("cannot start the runtime")?
}

async fn serve(path: &Path, config: Config, log_levels: LogLevels) -> Result<Exit, Failure> {
    let embedding = Embedding {
        log_levels: Some(log_levels),
        lanes: Some(lane::fitting().min(MAX_LANES)),
        ..Embedding::default()
    };
    let reload = |proxy: &RunningProxy| {
        let changes = proxy.reload(&Config::from_file(path)?);
        changes.map_err(anyhow::Error::msg)?.say("serving-proxy");
        Ok(())
    };
    role::serve(Proxy::start_with(config, embedding), reload).await
}

impl Running for RunningProxy {
    async fn failed(&mut self) {
        RunningProxy::failed(self).await;
    }

    async fn drain(self) {
        RunningProxy::drain(self).await;
    }
}
