//! `fate-serving unbind`: takes a service id off a model.

use anyhow::Context as _;

use crate::exit::{Exit, Failure};
use crate::publishing::job::{Job, JobFile};
use crate::publishing::report::Report;
use crate::publishing::serving::Serving;
use crate::publishing::servings::ServingArgs;
use crate::runtime;
use crate::stdout::Output;

/// Unbind a service id from its model, from the file that bind took; the model stays loaded.
///
/// Servings where it is not bound to that model are passed over; ends with 1 when a serving failed or none had it.
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
    runtime::run(unbind(args, &job, &service_id)).context("cannot start the runtime")?
}

async fn unbind(args: &Args, job: &Job, service_id: &str) -> Result<Exit, Failure> {
    let servings = args.servings.resolve(&job.servings).await?;
    let key = &job.initiator.key;
    let mut report = Report::new(args.output, "unbound");
    for address in &servings {
        let asked = async {
            let mut serving = Serving::connect(address, args.servings.timeout()).await?;
            let held = serving.models().await?;
            let is_bound = held.iter().any(|held| {
                held.key == *key && held.service_ids.iter().any(|bound| bound == service_id)
            });
            if !is_bound {
                return Ok(None);
            }
            serving.unbind(key, service_id).await.map(Some)
        };
        match asked.await.transpose() {
            Some(said) => report.add(address, key, said)?,
            None => report.skip(
                Some(address),
                key,
                &format!("service id {service_id} is not bound to it here"),
            )?,
        }
    }
    report.finish()
}
