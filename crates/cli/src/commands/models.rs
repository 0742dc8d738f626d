//! `fate-serving models`: what servings hold.

use anyhow::Context as _;
use fate_server::config::Address;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::publishing::serving::{Held, Serving};
use crate::publishing::servings::ServingArgs;
use crate::runtime;
use crate::stdout::{self, Output, plain};

/// List the models and service ids of servings.
///
/// Ends with 1 when a serving does not answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    servings: ServingArgs,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// One serving's models, or why it did not tell.
struct Answer {
    serving: Address,
    models: anyhow::Result<Vec<Held>>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let answers = runtime::run(ask(args)).context("cannot start the runtime")??;
    let text = match args.output {
        Output::Text => answers.iter().map(text).collect(),
        Output::Json => {
            let servings: Vec<Value> = answers.iter().map(json).collect();
            format!("{:#}\n", json!({ "servings": servings }))
        }
    };
    stdout::print(&text).context("stdout")?;
    Ok(if answers.iter().all(|answer| answer.models.is_ok()) {
        Exit::Success
    } else {
        Exit::Failed
    })
}

async fn ask(args: &Args) -> Result<Vec<Answer>, Failure> {
    let mut answers = Vec::new();
    for serving in args.servings.resolve(&[]).await? {
        let models = async {
            Serving::connect(&serving, args.servings.timeout())
                .await?
                .models()
                .await
        };
        let models = models.await;
        answers.push(Answer { serving, models });
    }
    Ok(answers)
}

fn text(answer: &Answer) -> String {
    let serving = &answer.serving;
    let models = match &answer.models {
        Ok(models) => models,
        Err(cause) => return format!("{serving}  FAILED: {}\n", plain(&format!("{cause:#}"))),
    };
    let mut text = format!("{serving}  {} models\n", models.len());
    for model in models {
        let services = match model.service_ids.as_slice() {
            [] => "no service id".to_owned(),
            ids => format!("service ids {}", ids.join(", ")),
        };
        let verdict = match &model.content.verdict {
            Some(verdict) => format!(", {} (semantics {})", verdict.kind, verdict.semantics),
            None => String::new(),
        };
        let line = format!(
            "  {} {}: {services}{verdict}",
            model.key.namespace, model.key.table_name
        );
        text.push_str(&plain(&line));
        text.push('\n');
    }
    text
}

fn json(answer: &Answer) -> Value {
    let serving = answer.serving.to_string();
    match &answer.models {
        Err(cause) => json!({ "serving": serving, "error": format!("{cause:#}") }),
        Ok(models) => {
            let models: Vec<Value> = models
                .iter()
                .map(|model| {
                    let content = &model.content;
                    json!({
                        "namespace": model.key.namespace,
                        "tableName": model.key.table_name,
                        "role": content.role,
                        "partyId": content.part_id,
                        "loadedAt": content.timestamp,
                        "serviceIds": model.service_ids,
                        "kind": content.verdict.as_ref().map(|verdict| &verdict.kind),
                        "semantics": content.verdict.as_ref().map(|verdict| &verdict.semantics),
                    })
                })
                .collect();
            json!({ "serving": serving, "models": models })
        }
    }
}
