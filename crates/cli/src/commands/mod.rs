//! The commands: one file and one variant each.

mod inspect;

use crate::exit::{Exit, Failure};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Look at models without a running node.
    #[command(subcommand)]
    Model(ModelCommand),
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ModelCommand {
    Inspect(inspect::Args),
}

impl Command {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        match self {
            Command::Model(ModelCommand::Inspect(args)) => inspect::run(&args),
        }
    }
}
