//! `fate-serving model inspect`: what a model holds, what it needs, and whether this server can serve it.

mod report;
mod sizes;
mod text;

use std::path::PathBuf;

use anyhow::Context as _;
use fate_inference::Semantics;

use crate::exit::{Exit, Failure};
use crate::party_models;
use crate::stdout::{self, Output};
use report::ModelReport;

/// Show a model: components, features needed, sizes, and whether it can be served.
///
/// Ends with 1 when a model is refused. Every model of a set is shown; arbiters have no part in inference.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A set of parties (guest_<id>/, host_<id>/), one party's directory (index.json, model/*.pb), FATE-Flow's export
    /// (.zip) or model folder (model_local_cache/<party model id>/<version>), a record of a server's store (.model) or
    /// the store's folder models/, or a cache file of a Java server (model_<name>_<namespace>_cache)
    path: PathBuf,
    /// Whose arithmetic the verdict is about: FATE's (fate) or FATE-Serving 2.1.7's (java) [default: that of the record,
    /// or fate]
    #[arg(long)]
    semantics: Option<Semantics>,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let models = party_models::open(&args.path)?;
    let reports: Vec<ModelReport> = models
        .into_iter()
        .map(|model| ModelReport::new(model, args.semantics))
        .collect();
    let text = match args.output {
        Output::Text => text::write(&reports),
        Output::Json => {
            let json = serde_json::json!({ "models": reports });
            format!("{json:#}\n")
        }
    };
    stdout::print(&text).context("stdout")?;
    let servable = reports.iter().all(ModelReport::is_servable);
    Ok(if servable {
        Exit::Success
    } else {
        Exit::Failed
    })
}
