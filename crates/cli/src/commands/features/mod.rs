//! `fate-serving features …`: a host's feature sources.

mod get;

use crate::exit::{Exit, Failure};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum FeaturesCommand {
    Get(get::Args),
}

pub(crate) fn run(command: &FeaturesCommand) -> Result<Exit, Failure> {
    match command {
        FeaturesCommand::Get(args) => get::run(args),
    }
}
