//! `fate-serving server`: one node, until it is told to stop.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fate_edge::lane;
use fate_server::{Config, Embedding, LogLevels, RunningServer, Server};

use crate::exit::{Exit, Failure};
use crate::role::{self, Running};
use crate::runtime;

/// Run a serving-server, as guest, host or both.
///
/// SIGHUP reads the properties again. SIGTERM and Ctrl-C drain it: calls in flight are answered, new ones are refused with 111. A second signal,
/// a second or more later, stops it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The node's properties
    #[arg(
        long,
        value_name = "FILE",
        default_value = "conf/serving-server.properties"
    )]
    config: PathBuf,
    /// Check the properties, start nothing
    #[arg(long)]
    check_config: bool,
}

pub(crate) fn run(args: &Args, log_levels: LogLevels) -> Result<Exit, Failure> {
    let config = Config::from_file(&args.config).map_err(Failure::usage)?;
    if args.check_config {
        return role::say_checked(&args.config, config.notes());
    }
    runtime::run(serve(&args.config, config, log_levels)).context("cannot start the runtime")?
}

async fn serve(path: &Path, config: Config, log_levels: LogLevels) -> Result<Exit, Failure> {
    let embedding = Embedding {
        log_levels: Some(log_levels),
        lanes: Some(lane::fitting()),
        ..Embedding::default()
    };
    let reload = |server: &RunningServer| {
        let changes = server.reload(&Config::from_file(path)?);
        changes.map_err(anyhow::Error::msg)?.say("serving-server");
        Ok(())
    };
    role::serve(Server::start_with(config, embedding), reload).await
}

impl Running for RunningServer {
    async fn failed(&mut self) {
        RunningServer::failed(self).await;
    }

    async fn drain(self) {
        RunningServer::drain(self).await;
    }
}
