//! The commands: one file (or folder) and one variant each.

mod bench;
mod bind;
mod demo;
mod doctor;
mod features;
mod infer;
mod inspect;
mod load;
mod models;
mod node;
mod proxy;
mod registry;
mod semantics;
mod server;
mod unbind;
mod unload;
mod verify;

use fate_server::LogLevels;

use crate::exit::{Exit, Failure};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Server(server::Args),
    Proxy(proxy::Args),
    Node(node::Args),
    Infer(infer::Args),
    Load(load::Args),
    Bind(bind::Args),
    Models(models::Args),
    Unbind(unbind::Args),
    Unload(unload::Args),
    Demo(demo::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    /// Look at models, test them, choose their arithmetic.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Try a host's feature sources.
    #[command(subcommand)]
    Features(features::FeaturesCommand),
    /// Look at the service registry in ZooKeeper.
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ModelCommand {
    Inspect(inspect::Args),
    Verify(verify::Args),
    Semantics(semantics::Args),
}

impl Command {
    /// Commands whose result is on stdout log only what is wrong.
    pub(crate) fn default_log_level(&self) -> &'static str {
        match self {
            Command::Server(_)
            | Command::Proxy(_)
            | Command::Node(_)
            | Command::Model(ModelCommand::Inspect(_)) => "info",
            Command::Infer(_)
            | Command::Load(_)
            | Command::Bind(_)
            | Command::Models(_)
            | Command::Unbind(_)
            | Command::Unload(_)
            | Command::Demo(_)
            | Command::Doctor(_)
            | Command::Features(_)
            | Command::Registry(_)
            | Command::Bench(_)
            | Command::Model(ModelCommand::Verify(_) | ModelCommand::Semantics(_)) => "warn",
        }
    }

    pub(crate) fn run(self, log_levels: LogLevels) -> Result<Exit, Failure> {
        match self {
            Command::Server(args) => server::run(&args, log_levels),
            Command::Proxy(args) => proxy::run(&args, log_levels),
            Command::Node(args) => node::run(&args, log_levels),
            Command::Infer(args) => infer::run(args),
            Command::Load(args) => load::run(&args),
            Command::Bind(args) => bind::run(&args),
            Command::Models(args) => models::run(&args),
            Command::Unbind(args) => unbind::run(&args),
            Command::Unload(args) => unload::run(&args),
            Command::Demo(args) => demo::run(&args),
            Command::Doctor(args) => doctor::run(&args),
            Command::Features(command) => features::run(&command),
            Command::Registry(command) => registry::run(&command),
            Command::Bench(args) => bench::run(&args),
            Command::Model(ModelCommand::Inspect(args)) => inspect::run(&args),
            Command::Model(ModelCommand::Verify(args)) => verify::run(&args),
            Command::Model(ModelCommand::Semantics(args)) => semantics::run(args),
        }
    }
}
