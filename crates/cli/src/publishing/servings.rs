//! Which servings a command is for: named on the command line, by the job's file, or by FATE-Flow's configuration.

use std::path::PathBuf;
use std::time::Duration;

use fate_registry::tree;
use fate_registry::{Addresses, Login, Provider, ZooKeeperSettings};
use fate_server::config::Address;

use super::flow_conf::{FlowConf, ZooKeeperConf};
use crate::exit::Failure;

/// Options of every command that talks to servings.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServingArgs {
    /// The servings' gRPC ports, separated by commas; they replace those of files
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',')]
    servings: Vec<Address>,
    /// FATE-Flow's server_conf.json, base_conf.yaml or service_conf.yaml: a list of servings, or with use_registry the
    /// ZooKeeper that knows them. Can be repeated: keys of later files replace those of earlier ones
    #[arg(long = "flow-conf", value_name = "FILE")]
    flow_conf: Vec<PathBuf>,
    /// What a serving may take for one call, and ZooKeeper for its answer
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

impl ServingArgs {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// The addresses in order, each once. `of_job` are those of the job's file: they count before FATE-Flow's
    /// configuration, as for FATE-Flow.
    ///
    /// # Errors
    /// Wrong usage when nothing names a serving, or an address or file is wrong; failed when the registry does not
    /// answer.
    pub(crate) async fn resolve(&self, of_job: &[String]) -> Result<Vec<Address>, Failure> {
        if !self.servings.is_empty() {
            return Ok(unique(self.servings.clone()));
        }
        if !of_job.is_empty() {
            return parse(of_job);
        }
        let mut conf = FlowConf::default();
        for file in &self.flow_conf {
            conf.add(file).map_err(Failure::usage)?;
        }
        let found = if conf.uses_registry() {
            self.of_registry(&conf).await?
        } else {
            conf.servings().map_err(Failure::usage)?
        };
        if found.is_empty() {
            return Err(Failure::usage(
                "please configure servings: --servings HOST:PORT, servings in the job's file, or --flow-conf with \
                 FATE-Flow's configuration",
            ));
        }
        parse(&found)
    }

    /// `host:port` of every provider of publishLoad, as FATE-Flow finds them: read now, no cache (contract 03 §5.5).
    async fn of_registry(&self, conf: &FlowConf) -> Result<Vec<String>, Failure> {
        let ZooKeeperConf { hosts, login } = conf.zookeeper().map_err(Failure::usage)?;
        let addresses: Addresses = hosts.join(",").parse().map_err(Failure::usage)?;
        let settings = ZooKeeperSettings {
            login: login.map(|(user, password)| Login { user, password }),
            ..ZooKeeperSettings::new(addresses, "client")
        };
        let service = "publishLoad";
        let reading = tree::children(&settings, "serving", "online", service);
        let texts = tokio::time::timeout(self.timeout(), reading)
            .await
            .map_err(|_| anyhow::anyhow!("ZooKeeper at {}: too late", settings.addresses))??;
        let found: Vec<String> = texts
            .iter()
            .filter_map(|text| Provider::read(text, service))
            .map(|provider| provider.authority())
            .collect();
        if found.is_empty() {
            let cause = format!(
                "no serving is registered in ZooKeeper at {}",
                settings.addresses
            );
            return Err(anyhow::anyhow!(cause).into());
        }
        Ok(found)
    }
}

fn parse(texts: &[String]) -> Result<Vec<Address>, Failure> {
    let addresses: Result<Vec<Address>, String> =
        texts.iter().map(|text| text.trim().parse()).collect();
    Ok(unique(addresses.map_err(Failure::usage)?))
}

fn unique(addresses: Vec<Address>) -> Vec<Address> {
    let mut seen = Vec::new();
    for address in addresses {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    seen
}
