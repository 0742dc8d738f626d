//! What to try while the demo's servers are up.

use std::sync::Arc;

use fate_golden::Set;

use super::{Scored, Shown};
use crate::cluster::Cluster;
use crate::scoring::{self, HTTP_PATH, Sample};
use crate::stdout::plain;

/// A line for a shell that asks for a real row's score, and what it means.
pub(super) fn write(sets: &[Arc<Set>], cluster: &Cluster, shown: &[Shown]) -> String {
    let example = sets.iter().zip(shown).find_map(|(set, shown)| {
        let scored = shown.as_ref().ok()?;
        Some((first_row(set)?, scored))
    });
    let asked = match example {
        Some((sample, scored)) => ask(cluster, &sample, scored),
        None => "No model is served, there is nothing to ask.\n".to_owned(),
    };
    format!("\n{asked}Ctrl-C ends the demo.\n")
}

fn first_row(set: &Set) -> Option<Sample<'_>> {
    scoring::samples(set, false, Some(1))
        .ok()?
        .into_iter()
        .next()
}

fn ask(cluster: &Cluster, sample: &Sample<'_>, scored: &Scored) -> String {
    let service = &scored.service;
    let grpc = cluster.grpc_address();
    let http = cluster.http_address().unwrap_or_else(|| grpc.clone());
    let body = quoted(&sample.head_and_body(service));
    let score = match (sample.expected.detail.len(), sample.expected.score) {
        (3.., _) => format!("{:?}", sample.expected.detail),
        (_, Some(score)) => score.to_string(),
        (_, None) => "unknown".to_owned(),
    };
    format!(
        "The guest takes HTTP at http://{http} and gRPC at {grpc}. Ask it for a row's score:\n\n\
         curl -s http://{http}{HTTP_PATH} -H 'Content-Type: application/json' -d {body}\n\n\
         serviceId is what the model {} is bound to (every model of the table: its name), featureData is the guest's\n\
         part of the row, sendToRemoteFeatureData tells the hosts whose part to look up. FATE's offline score: {}\n",
        plain(&service.set),
        plain(&score)
    )
}

/// One word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_sees_one_word() {
        assert_eq!(quoted(r#"{"a":"it's"}"#), r#"'{"a":"it'\''s"}'"#);
    }
}
