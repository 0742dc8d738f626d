//! `fate-serving features get`: one row, as a host would get it.

use std::path::PathBuf;

use anyhow::Context as _;
use fate_features::{FeatureRow, SourceReport};
use fate_server::{Config, LookedUp, look_up};
use serde_json::{Map, Value, json};

use crate::exit::{Exit, Failure};
use crate::runtime;
use crate::stdout::{self, Output, plain};

/// Look up the features of one row, and tell of each source whether it has them and how long it took.
///
/// Asks the sources of the configuration as a host would, without a server. Ends with 1 when there is no row.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A server's properties
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// An id of the row, as a guest sends it
    #[arg(long = "id", value_name = "NAME=VALUE", required = true, value_parser = id)]
    ids: Vec<(String, String)>,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

fn id(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("not NAME=VALUE".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let config = Config::from_file(&args.config).map_err(Failure::usage)?;
    let ids: Map<String, Value> = args
        .ids
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let ids = Value::Object(ids).to_string();
    let found = runtime::run(look_up(&config, &ids)).context("cannot start the runtime")?;
    let found = found.map_err(Failure::usage)?;
    let text = match args.output {
        Output::Text => text(&found),
        Output::Json => format!("{:#}\n", as_json(&found)),
    };
    stdout::print(&text).context("stdout")?;
    Ok(if found.row.is_ok() {
        Exit::Success
    } else {
        Exit::Failed
    })
}

/// Names and values of the row in the order of their sources.
fn members(row: &FeatureRow) -> Value {
    match row {
        FeatureRow::Numbers(numbers) => {
            let members = numbers
                .iter()
                .map(|(name, value)| (name.to_string(), json!(value)));
            Value::Object(members.collect())
        }
        // Sources give whole objects only.
        FeatureRow::Json(text) => serde_json::from_str(text).unwrap_or(Value::Null),
    }
}

fn outcome(report: &SourceReport) -> String {
    match &report.features {
        Ok(Some(count)) => format!("hit, {count} features"),
        Ok(None) => "miss".to_owned(),
        Err(cause) => format!("ERROR: {cause}"),
    }
}

fn text(found: &LookedUp) -> String {
    let mut lines: Vec<String> = found
        .sources
        .iter()
        .map(|report| {
            let millis = report.took.as_secs_f64() * 1e3;
            format!("{}: {} ({millis:.1} ms)", report.name, outcome(report))
        })
        .collect();
    match &found.row {
        Ok(row) => {
            if let Value::Object(members) = members(row) {
                lines.extend(
                    members
                        .iter()
                        .map(|(name, value)| format!("  {name} = {value}")),
                );
            }
        }
        Err(fault) => lines.push(format!("no row: {} {}", fault.code, fault.message)),
    }
    // Values are somebody else's.
    lines
        .iter()
        .map(|line| format!("{}\n", plain(line)))
        .collect()
}

fn as_json(found: &LookedUp) -> Value {
    let sources: Vec<Value> = found
        .sources
        .iter()
        .map(|report| {
            let (outcome, features, error) = match &report.features {
                Ok(Some(count)) => ("hit", Some(*count), None),
                Ok(None) => ("miss", None, None),
                Err(cause) => ("error", None, Some(cause)),
            };
            json!({
                "source": report.name,
                "outcome": outcome,
                "features": features,
                "error": error,
                "millis": report.took.as_secs_f64() * 1e3,
            })
        })
        .collect();
    match &found.row {
        Ok(row) => json!({ "row": members(row), "sources": sources }),
        Err(fault) => json!({
            "row": null,
            "retcode": fault.code.0,
            "retmsg": fault.message,
            "sources": sources,
        }),
    }
}
