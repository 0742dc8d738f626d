//! `fate-serving unload`: takes a model off servings.

use std::path::PathBuf;

use anyhow::Context as _;
use fate_domain::model_key::ModelKey;
use fate_server::config::Address;

use crate::exit::{Exit, Failure};
use crate::publishing::job::Job;
use crate::publishing::report::Report;
use crate::publishing::serving::Serving;
use crate::publishing::servings::ServingArgs;
use crate::runtime;
use crate::stdout::Output;

/// Unload a model, with its service ids: one named here, or every party's of a job.
///
/// Servings that do not hold it are passed over; ends with 1 when a serving failed or none held it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model's namespace (party model id), role#party#model_id
    #[arg(requires = "table_name", required_unless_present = "config")]
    namespace: Option<String>,
    /// The model's table name (version)
    #[arg(required_unless_present = "config")]
    table_name: Option<String>,
    /// The job's file instead, as for load: every party's model
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["namespace", "table_name"])]
    config: Option<PathBuf>,
    #[command(flatten)]
    servings: ServingArgs,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let (keys, of_job) = match (&args.config, &args.namespace, &args.table_name) {
        (Some(file), ..) => {
            let job = Job::read(file)?;
            let keys = job.serving_parties().map(|party| party.key.clone());
            (keys.collect(), job.servings)
        }
        (None, Some(namespace), Some(table_name)) => {
            let key = ModelKey::new(table_name.as_str(), namespace.as_str());
            (vec![key], Vec::new())
        }
        _ => return Err(Failure::usage("name a model, or a job's file with -c")),
    };
    runtime::run(unload(args, &keys, &of_job)).context("cannot start the runtime")?
}

async fn unload(args: &Args, keys: &[ModelKey], of_job: &[String]) -> Result<Exit, Failure> {
    let servings = args.servings.resolve(of_job).await?;
    let mut report = Report::new(args.output, "unloaded");
    for address in &servings {
        unload_at(args, address, keys, &mut report).await?;
    }
    report.finish()
}

async fn unload_at(
    args: &Args,
    address: &Address,
    keys: &[ModelKey],
    report: &mut Report,
) -> Result<(), Failure> {
    let asked = async {
        let mut serving = Serving::connect(address, args.servings.timeout()).await?;
        let held = serving.models().await?;
        anyhow::Ok((serving, held))
    };
    let (mut serving, held) = match asked.await {
        Ok(asked) => asked,
        Err(cause) => {
            let cause = format!("{cause:#}");
            for key in keys {
                report.add(address, key, Err(anyhow::anyhow!(cause.clone())))?;
            }
            return Ok(());
        }
    };
    for key in keys {
        if held.iter().any(|held| held.key == *key) {
            report.add(address, key, serving.unload(key).await)?;
        } else {
            report.skip(Some(address), key, "not loaded here")?;
        }
    }
    Ok(())
}
