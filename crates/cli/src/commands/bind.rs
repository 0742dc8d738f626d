//! `fate-serving bind`: binds a service id to a loaded model, as FATE-Flow's bind does.

use anyhow::Context as _;

use crate::exit::{Exit, Failure};
use crate::publishing::job::{Job, JobFile};
use crate::publishing::report::Report;
use crate::publishing::requests;
use crate::publishing::serving::{Said, Serving};
use crate::publishing::servings::ServingArgs;
use crate::runtime;
use crate::stdout::Output;

/// Bind a service id to a model that is loaded, from the file that FATE-Flow takes.
///
/// The initiator's model is bound at the servings of the file, or at all when its list is empty. A line for each serving;
/// ends with 1 when one of them failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    job: JobFile,
    /// Replaces the file's service_id
    #[arg(long, value_name = "ID")]
    service_id: Option<String>,
    #[command(flatten)]
    servings: ServingArgs,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let job = Job::read(&args.job.file)?;
    job.check_initiator_is_guest()?;
    let service_id = args
        .service_id
        .clone()
        .or_else(|| job.service_id.clone())
        .ok_or_else(|| Failure::usage("no service id: --service-id, or service_id in the file"))?;
    runtime::run(bind(args, &job, &service_id)).context("cannot start the runtime")?
}

async fn bind(args: &Args, job: &Job, service_id: &str) -> Result<Exit, Failure> {
    let servings = args.servings.resolve(&job.servings).await?;
    let mut report = Report::new(args.output, "bound");
    for address in &servings {
        let request = requests::bind(&job.parties, &job.initiator, service_id);
        let said = async {
            let mut serving = Serving::connect(address, args.servings.timeout()).await?;
            let said = serving.bind(request).await?;
            // A server has nothing to add to a success.
            anyhow::Ok(match said.code {
                0 => Said {
                    message: format!("service id {service_id}"),
                    ..said
                },
                _ => said,
            })
        };
        report.add(address, &job.initiator.key, said.await)?;
    }
    report.finish()
}
